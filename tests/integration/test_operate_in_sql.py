"""What operators do to held messages, for people who live in psql: outbox.replay and outbox.discard."""

import random
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors

from relay.errors import ChoiceError
from relay.operators.choice import FAILED, read
from relay.operators.choice import HELD as HELD_STATES
from tests.integration.holding import enqueue, hold, send, state
from tests.seeds import seeds

HELD: LiteralString = "select {} from outbox.held h where id = any(%s) order by seq"


@pytest.fixture
def session(database: str) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def act(session: "psycopg.Connection", call: str, **values: Any) -> tuple[int | None, int]:
    """Call a function as a person would, `replay('why', topic => %(topic)s)`; return the act and the count."""
    found = session.execute(f"select act, messages from outbox.{call}".encode(), values).fetchone()
    assert found is not None
    return tuple(found)


def held(session: "psycopg.Connection", columns: str, ids: list[uuid.UUID]) -> list[Any]:
    return session.execute(HELD.format(columns).encode(), [ids]).fetchall()


def acts(session: "psycopg.Connection") -> int:
    (count,) = session.execute("select count(*) from outbox.operator_act").fetchall()[0]
    return int(count)


@pytest.mark.parametrize("failed", ["dead", "retrying", "unreachable"])
def test_what_has_failed_is_made_due_with_all_its_attempts_before_it(
    session: "psycopg.Connection", failed: str
) -> None:
    made = hold(session, failed, 3, key="k")
    assert act(session, "replay('the topic is mended', topic => 'orders')") == (1, 3)
    rows = held(session, "due_at <= clock_timestamp(), attempts, settled_as, replay, failed_at is not null", made)
    assert rows == [(True, 0, None, None, True)] * 3


def test_what_waits_or_is_scheduled_is_not_replayed(session: "psycopg.Connection") -> None:
    hold(session, "dead", key="k")
    waiting = hold(session, "waiting", key="k") + hold(session, "scheduled")
    before = held(session, "h::text", waiting)
    assert act(session, "replay('all of it', everything => true)") == (1, 1)
    assert held(session, "h::text", waiting) == before


@pytest.mark.parametrize("kind", ["dead", "retrying", "unreachable", "waiting", "scheduled"])
def test_any_held_message_can_be_discarded_by_its_id(session: "psycopg.Connection", kind: str) -> None:
    hold(session, "dead", key="k")
    (made,) = hold(session, kind, key="k")
    assert act(session, "discard('nobody wants it', ids => array[%(id)s::uuid])", id=made) == (1, 1)
    assert state(session, made) == "discarded"
    assert held(session, "settled_at <= clock_timestamp()", [made]) == [(True,)]


def test_a_discarded_head_frees_what_waits_behind_it(session: "psycopg.Connection") -> None:
    (head,) = hold(session, "dead", key="k")
    (behind,) = hold(session, "waiting", key="k")
    assert state(session, behind) == "blocked"
    act(session, "discard('poison', topic => 'orders', key => 'k')")
    assert (state(session, head), state(session, behind)) == ("discarded", "pending")


def test_a_filter_discards_what_has_failed_and_not_what_waits_behind_it(session: "psycopg.Connection") -> None:
    hold(session, "dead", key="k")
    waiting, scheduled = hold(session, "waiting", key="k"), hold(session, "scheduled", key="k")
    assert act(session, "discard('poison', topic => 'orders')") == (1, 1)
    assert held(session, "settled_as", waiting + scheduled) == [(None,), (None,)]


@pytest.mark.parametrize(("kind", "said"), [("waiting", "blocked"), ("scheduled", "scheduled"), ("dead", "dead")])
def test_a_state_chooses_what_is_in_it(session: "psycopg.Connection", kind: str, said: str) -> None:
    hold(session, "dead", key="k")
    hold(session, "retrying", topic="other")
    made = hold(session, kind, 2, key="k")
    count = 3 if kind == "dead" else 2
    assert act(session, "discard('the topic is gone', state => %(said)s)", said=said) == (1, count)
    assert held(session, "settled_as", made) == [("discarded",)] * 2


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("topic => 'orders'", "abcd"),
        ("topic => 'orders', key => '1'", "ab"),
        ("error => 'msg_size_too_large'", "ad"),
        ("error => 'SIGNATURE'", "bc"),
        ("error => 'a%%'", ""),
        ("state => 'retrying'", "bc"),
        ("after => now() - interval '150 minutes'", "bcde"),
        ("before => now() - interval '150 minutes'", "a"),
        ("after => now() - interval '150 minutes', before => now() - interval '30 minutes'", "be"),
        ("topic => 'orders', error => 'signature', state => 'retrying', before => now() - interval '30 min'", "b"),
        ("everything => true", "abcde"),
        ("everything => true, before => now() - interval '30 minutes'", "abe"),
        ("topic => 'nobody'", ""),
    ],
)
def test_all_that_is_named_of_a_choice_must_hold(session: "psycopg.Connection", choice: str, chosen: str) -> None:
    code, error = "INVALID_RECORD", "no signature in the headers"
    made = {
        "a": hold(session, "dead", key="1", ago="3 hours"),
        "b": hold(session, "retrying", key="1", ago="2 hours", code=code, error=error),
        "c": hold(session, "retrying", key="2", code=code, error=error),
        "d": hold(session, "dead", key="2"),
        "e": hold(session, "dead", topic="mails", key="1", ago="1 hour", code="POLICY", error="no"),
    }
    assert act(session, f"replay('why', {choice})")[1] == len(chosen)
    replayed = {name for name, ids in made.items() if held(session, "attempts", ids) == [(0,)]}
    assert replayed == set(chosen)


@pytest.mark.parametrize("function", ["replay", "discard"])
@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("", "nothing is chosen"),
        ("everything => null", "nothing is chosen"),
        ("ids => '{}'", "ids is empty"),
        ("ids => array[null]::uuid[]", "ids is empty, or has a null"),
        ("ids => array[gen_random_uuid()], topic => 'a'", "ids alone"),
        ("ids => array[gen_random_uuid()], after => now()", "ids alone"),
        ("ids => array[gen_random_uuid()], everything => true", "ids alone"),
        ("everything => true, topic => 'a'", "everything is given together"),
        ("key => '7'", "key is given without topic"),
        ("error => ''", "error is empty"),
        ("state => 'sent'", "state is 'sent'; allowed: dead, retrying, unreachable"),
        ("after => now(), before => now() - interval '1 day'", "is not earlier than before"),
    ],
)
def test_a_choice_that_is_empty_or_contradicts_itself_is_refused(
    session: "psycopg.Connection", function: str, choice: str, words: str
) -> None:
    made = hold(session, "dead")
    comma = ", " if choice else ""
    with pytest.raises(errors.InvalidParameterValue, match=words) as refusal:
        act(session, f"{function}('why'{comma}{choice})")
    assert "nothing was changed" in (refusal.value.diag.message_hint or "")
    assert held(session, "settled_as, attempts", made) == [(None, 3)]


@pytest.mark.parametrize("said", ["blocked", "scheduled", "replaying"])
def test_what_has_not_failed_cannot_be_replayed_by_its_state(session: "psycopg.Connection", said: str) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="allowed: dead, retrying, unreachable"):
        act(session, "replay('why', state => %(said)s)", said=said)


@pytest.mark.parametrize("narrowing", ["error => 'x'", "state => 'dead'"])
def test_sent_messages_have_neither_error_nor_state(session: "psycopg.Connection", narrowing: str) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="messages that were sent"):
        act(session, f"replay('why', topic => 'orders', sent => true, {narrowing})")


@pytest.mark.parametrize("why", ["null", "''", "'  '"])
def test_a_reason_is_demanded(session: "psycopg.Connection", why: str) -> None:
    made = hold(session, "dead")
    with pytest.raises(errors.InvalidParameterValue, match="why is empty"):
        act(session, f"discard({why}, everything => true)")
    assert held(session, "settled_as", made) == [(None,)]


def test_an_act_is_recorded_with_who_when_why_what_and_how_many(database: str) -> None:
    with psycopg.connect(database, autocommit=True, application_name="ada@laptop") as session:
        hold(session, "dead", 4)
        act(session, "replay('the limit was raised', topic => 'orders', error => 'size')")
        recorded = session.execute(
            "select id, who, client, act, why, choice, messages, clock_timestamp() - at < interval '1 minute'"
            " from outbox.operator_act"
        ).fetchall()
    choice = {"topic": "orders", "error": "size", "everything": False, "sent": False, "force": False}
    assert recorded == [(1, "postgres", "ada@laptop at 127.0.0.1", "replay", "the limit was raised", choice, 4, True)]


def test_an_act_on_nothing_is_no_act(session: "psycopg.Connection") -> None:
    assert act(session, "replay('why', topic => 'orders')") == (None, 0)
    assert act(session, "discard('why', everything => true)") == (None, 0)
    assert acts(session) == 0


@pytest.mark.parametrize("function", ["replay", "discard"])
def test_a_dry_run_counts_and_changes_nothing(session: "psycopg.Connection", function: str) -> None:
    made = hold(session, "dead", 5)
    before = held(session, "h::text", made)
    assert act(session, f"{function}('', everything => true, dry_run => true)") == (None, 5)
    assert act(session, f"{function}(null, ids => %(ids)s::uuid[], dry_run => true)", ids=made[:2]) == (None, 2)
    assert held(session, "h::text", made) == before
    assert acts(session) == 0


def test_a_rolled_back_act_leaves_neither_change_nor_record(session: "psycopg.Connection") -> None:
    made = hold(session, "dead")
    with session.transaction(force_rollback=True):
        assert act(session, "discard('why', everything => true)") == (1, 1)
    assert held(session, "settled_as", made) == [(None,)]
    assert acts(session) == 0


def scheduled(session: "psycopg.Connection") -> uuid.UUID:
    return hold(session, "scheduled")[0]


def waiting(session: "psycopg.Connection") -> uuid.UUID:
    hold(session, "dead", key="k")
    return hold(session, "waiting", key="k")[0]


def freed(session: "psycopg.Connection") -> uuid.UUID:
    return hold(session, "waiting", key="k")[0]


def sent(session: "psycopg.Connection") -> uuid.UUID:
    return send(session)[0]


def sent_when_held(session: "psycopg.Connection") -> uuid.UUID:
    (made,) = hold(session, "dead", key="k")
    session.execute("update outbox.held set settled_as = 'sent', settled_at = now() where id = %s", [made])
    return made


def discarded(session: "psycopg.Connection") -> uuid.UUID:
    (made,) = hold(session, "dead")
    act(session, "discard('why', ids => array[%(id)s::uuid])", id=made)
    return made


def pending(session: "psycopg.Connection") -> uuid.UUID:
    return enqueue(session)[0]


def unknown(_: "psycopg.Connection") -> uuid.UUID:
    return uuid.uuid4()


def uncommitted(session: "psycopg.Connection") -> uuid.UUID:
    with session.transaction(force_rollback=True):
        return enqueue(session)[0]


def pruned(session: "psycopg.Connection") -> uuid.UUID:
    (made,) = send(session)
    session.execute("delete from outbox.message where id = %s", [made])
    return made


def replaying(session: "psycopg.Connection") -> uuid.UUID:
    (made,) = send(session)
    act(session, "replay('why', ids => array[%(id)s::uuid], sent => true)", id=made)
    return made


def dead(session: "psycopg.Connection") -> uuid.UUID:
    return hold(session, "dead")[0]


REFUSED: list[tuple[Callable[["psycopg.Connection"], uuid.UUID], str, str, str]] = [
    (scheduled, "replay", "", "is scheduled for .* UTC, it has not failed"),
    (waiting, "replay", "", "waits behind .*, which has failed, and follows it by itself"),
    (freed, "replay", "", "is pending, nothing is in its way any more"),
    (sent, "replay", "", "was sent at .* UTC; as a sent message it can be published anew"),
    (sent_when_held, "replay", "", "was sent at .* UTC; as a sent message"),
    (discarded, "replay", "", "was discarded at .* UTC, which is final"),
    (pending, "replay", "", "is pending, it is not held: a relay sends it in its turn"),
    (replaying, "replay", "", "is being published anew already, by act 1"),
    (unknown, "replay", "", "is not known: it was never committed, or it is no longer kept"),
    (uncommitted, "replay", "", "is not known"),
    (pruned, "replay", "", "is not known"),
    (dead, "replay", "sent", "is dead, and was never sent"),
    (scheduled, "replay", "sent", "is scheduled for .* UTC, and was not sent yet"),
    (waiting, "replay", "sent", "is blocked, and was not sent yet"),
    (pending, "replay", "sent", "is pending, and was not sent yet"),
    (discarded, "replay", "sent", "was discarded at .* UTC, which is final"),
    (replaying, "replay", "sent", "is being published anew already, by act 1"),
    (unknown, "replay", "sent", "is not known"),
    (pruned, "replay", "sent", "is not known"),
    (sent, "discard", "", "was sent at .* UTC\n"),
    (sent_when_held, "discard", "", "was sent at .* UTC\n"),
    (discarded, "discard", "", "was discarded at .* UTC, which is final"),
    (pending, "discard", "", "is pending, it is not held: a relay sends it in its turn"),
    (unknown, "discard", "", "is not known"),
    (pruned, "discard", "", "is not known"),
]


@pytest.mark.parametrize(("make", "function", "flag", "words"), REFUSED)
@pytest.mark.parametrize("dry_run", [False, True])
def test_an_id_that_cannot_be_acted_on_is_refused_with_the_reason_and_nothing_is_done(
    session: "psycopg.Connection",
    make: Callable[["psycopg.Connection"], uuid.UUID],
    function: str,
    flag: str,
    words: str,
    *,
    dry_run: bool,
) -> None:
    others = send(session) if flag else hold(session, "dead", topic="other")
    made = make(session)
    before = session.execute("select h::text from outbox.held h order by seq").fetchall()
    done = acts(session)
    extra = f"{', sent => true' if flag else ''}{', dry_run => true' if dry_run else ''}"
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match=f"^message {made} {words}"):
        act(session, f"{function}('why', ids => %(ids)s::uuid[]{extra})", ids=[*others, made])
    assert session.execute("select h::text from outbox.held h order by seq").fetchall() == before
    assert acts(session) == done


@pytest.mark.parametrize("make", [scheduled, waiting, freed, sent, discarded, pending, replaying])
def test_what_cannot_be_replayed_is_not_counted_by_a_filter(
    session: "psycopg.Connection", make: Callable[["psycopg.Connection"], uuid.UUID]
) -> None:
    hold(session, "dead", key="k")
    before = act(session, "replay('why', topic => 'orders', dry_run => true)")[1]
    make(session)
    after = act(session, "replay('why', topic => 'orders')")[1]
    assert after - before == int(make is waiting)  # which makes a head to wait behind


def test_many_ids_that_cannot_be_are_told_up_to_ten(session: "psycopg.Connection") -> None:
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as refusal:
        act(session, "discard('why', ids => %(ids)s::uuid[])", ids=[uuid.uuid4() for _ in range(25)])
    assert str(refusal.value.diag.message_primary).count("is not known") == 10
    assert "and 15 more" in str(refusal.value)


DEMAND = """
-- demand_choice
select outbox.demand_choice(
    %(act)s, row(%(ids)s::uuid[], %(topic)s, %(key)s, %(error)s, %(state)s, %(after)s, %(before)s, %(everything)s,
                 %(sent)s, false)::outbox.choice)
"""


@pytest.mark.parametrize("seed", seeds("operate in SQL"))
def test_the_command_line_refuses_just_the_choices_that_the_functions_refuse(
    session: "psycopg.Connection", seed: int
) -> None:
    chance = random.Random(seed)
    now = datetime.now(UTC)

    def maybe(*values: Any) -> Any:
        return chance.choice(values) if chance.random() < 0.3 else None

    outcomes = set()
    for _ in range(600):
        act = chance.choice(("replay", "discard"))
        named = {
            "ids": maybe([str(uuid.uuid4())]),
            "topic": maybe("orders", ""),
            "key": maybe("7", ""),
            "error": maybe("size", ""),
            "state": maybe("dead", "blocked", "sent"),
            "after": maybe("1h", "3h"),
            "before": maybe("2h", "0s"),
            "everything": chance.random() < 0.3,
            "sent": act == "replay" and chance.random() < 0.3,
        }
        refused_here = refused_there = False
        times = {
            name: now - timedelta(hours=int(named[name][0])) if named[name] else None for name in ("after", "before")
        }
        try:
            session.execute(DEMAND, {**named, **times, "act": act})
        except errors.InvalidParameterValue:
            refused_there = True
        try:
            read(**named, states=FAILED if act == "replay" else HELD_STATES).at(now)
        except ChoiceError:
            refused_here = True
        assert refused_here == refused_there, (seed, act, named)
        outcomes.add(refused_here)
    assert outcomes == {True, False}
