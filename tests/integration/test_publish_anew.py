"""Sent messages are published anew while they are kept: which ones, and what becomes of their rows."""

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from tests.integration.holding import PASS, enqueue, hold, pass_over, send, state
from tests.seeds import seeds

COPIED = "shard, seq, id, topic, key, type, payload, content_type, headers, created_at"

SETTLE = """
-- settle: what a relay does once it has published a held row
update outbox.held set settled_as = 'sent', settled_at = clock_timestamp()
where settled_as is null and failed_at is null
"""


@pytest.fixture
def session(database: str) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def rows(session: "psycopg.Connection", query: str, **values: Any) -> list[Any]:
    return session.execute(query.encode(), values).fetchall()


def replay_sent(session: "psycopg.Connection", choice: str, **values: Any) -> int:
    ((count,),) = rows(session, f"select messages from outbox.replay('why', {choice}, sent => true)", **values)
    return int(count)


def now(session: "psycopg.Connection") -> datetime:
    ((time,),) = rows(session, "select clock_timestamp()")
    assert isinstance(time, datetime)
    return time


def test_a_sent_message_is_copied_whole_to_be_published_anew_and_nothing_waits_for_it(
    session: "psycopg.Connection",
) -> None:
    rows(
        session,
        "insert into outbox.message (topic, key, type, payload, content_type, headers) values"
        """ ('orders', 'k', 'placed', '\\x00ff', 'application/avro', '{"trace": "1"}') returning 1""",
    )
    pass_over(session)
    assert replay_sent(session, "topic => 'orders'") == 1
    assert rows(session, f"select {COPIED} from outbox.held") == rows(session, f"select {COPIED} from outbox.message")
    assert rows(
        session,
        "select scope, due_at <= clock_timestamp(), attempts, failed_at, replay, settled_as, state"
        " from outbox.held_state",
    ) == [("none", True, 0, None, 1, None, "replaying")]
    assert rows(session, "select count(*) from outbox.message_state where state <> 'sent' or sent_at is null") == [(0,)]


def test_only_what_was_sent_is_published_anew(session: "psycopg.Connection") -> None:
    sent = send(session, 3, key="k")
    hold(session, "dead", key="k")
    hold(session, "waiting", key="k")
    hold(session, "scheduled", key="k")
    session.execute("select outbox.discard('why', ids => %s)", [hold(session, "dead", key="other")])
    enqueue(session, 2, key="k")
    assert replay_sent(session, "everything => true") == 3
    assert sorted(id_ for (id_,) in rows(session, "select id from outbox.held where replay = 2")) == sorted(sent)


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("topic => 'orders'", "abc"),
        ("topic => 'orders', key => '1'", "a"),
        ("topic => 'orders', key => '1', after => %(between)s", ""),
        ("topic => 'orders', key => '2'", "bc"),
        ("after => %(between)s", "cd"),
        ("before => %(between)s", "ab"),
        ("topic => 'orders', after => %(between)s", "c"),
        ("after => %(between)s, before => now() + interval '1 hour'", "cd"),
        ("everything => true", "abcd"),
        ("topic => 'nobody'", ""),
    ],
)
def test_sent_messages_are_chosen_by_topic_key_and_the_time_of_sending(
    session: "psycopg.Connection", choice: str, chosen: str
) -> None:
    made = {"a": send(session, key="1"), "b": send(session, key="2")}
    between = now(session)
    made |= {"c": send(session, key="2"), "d": send(session, topic="mails", key="2")}
    replay_sent(session, choice, between=between)
    replayed = {id_ for (id_,) in rows(session, "select id from outbox.held")}
    assert {name for name, ids in made.items() if set(ids) <= replayed} == set(chosen)


def test_what_is_being_published_anew_is_not_taken_twice_and_can_be_once_it_was(session: "psycopg.Connection") -> None:
    sent = send(session, 2)
    assert replay_sent(session, "topic => 'orders'") == 2
    assert replay_sent(session, "topic => 'orders'") == 0
    session.execute(SETTLE)
    assert replay_sent(session, "topic => 'orders'") == 2
    assert rows(session, "select replay, settled_as from outbox.held") == [(3, None)] * 2
    assert [state(session, id_) for id_ in sent] == ["sent", "sent"]


def test_publishing_anew_can_be_called_off_and_asked_for_again(session: "psycopg.Connection") -> None:
    (sent,) = send(session)
    replay_sent(session, "topic => 'orders'")
    ((count,),) = rows(session, "select messages from outbox.discard('a mistake', state => 'replaying')")
    assert count == 1
    assert state(session, sent) == "sent"
    assert replay_sent(session, "ids => %(ids)s", ids=[sent]) == 1


def test_what_was_sent_after_it_had_been_held_is_reopened_as_new_and_keeps_its_time(
    session: "psycopg.Connection",
) -> None:
    (made,) = hold(session, "retrying", key="k")
    session.execute("update outbox.held set settled_as = 'sent', settled_at = '2020-01-02 03:00Z'")
    before = rows(session, "select state, sent_at from outbox.message_state")
    assert replay_sent(session, "before => '2020-01-02 03:00:01Z'") == 1
    assert rows(session, "select scope, attempts, failed_at, error, settled_at, state from outbox.held_state") == [
        ("none", 0, None, None, None, "replaying")
    ]
    assert rows(session, "select state, sent_at from outbox.message_state") == before
    session.execute(SETTLE)
    assert rows(session, "select state, sent_at from outbox.message_state") == before
    assert replay_sent(session, "after => '2020-01-02 03:00:01Z'") == 0
    assert replay_sent(session, "after => '2020-01-02 03:00Z'") == 1
    assert state(session, made) == "sent"


def test_what_is_kept_only_because_it_was_held_can_be_published_anew(session: "psycopg.Connection") -> None:
    (made,) = hold(session, "dead", key="k")
    session.execute("update outbox.held set settled_as = 'sent', settled_at = now()")
    session.execute("delete from outbox.message")
    assert replay_sent(session, "topic => 'orders', key => 'k'") == 1
    assert state(session, made) == "sent"
    session.execute(SETTLE)
    assert replay_sent(session, "ids => %(ids)s", ids=[made]) == 1


def test_a_copy_that_could_not_be_published_is_replayed_like_any_other(session: "psycopg.Connection") -> None:
    (sent,) = send(session)
    replay_sent(session, "topic => 'orders'")
    session.execute(
        "update outbox.held set failed_at = now(), fault = 'message', error = 'no', due_at = 'infinity', attempts = 5"
    )
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="could not be published anew by act 1"):
        replay_sent(session, "ids => %(ids)s", ids=[sent])
    assert rows(session, "select messages from outbox.replay('again', ids => %(ids)s)", ids=[sent]) == [(1,)]
    assert rows(session, "select attempts, due_at <= clock_timestamp(), replay from outbox.held") == [(0, True, 1)]


def test_positions_of_another_cluster_say_nothing_of_what_was_sent(session: "psycopg.Connection") -> None:
    sent = send(session)
    session.execute("update outbox.snapshot set system_identifier = 1")
    for choice in ("topic => 'orders'", "ids => %(ids)s"):
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="belong to another cluster"):
            replay_sent(session, choice, ids=sent)


class History:
    """Writers that commit late or roll back, and relays that pass over what is visible, also half of it."""

    def __init__(self, session: "psycopg.Connection", database: str, chance: random.Random) -> None:
        self.session = session
        self.database = database
        self.chance = chance
        self.open: list[psycopg.Connection] = []
        self.sent: dict[UUID, datetime] = {}
        """Before which moment each message was passed."""
        self.moments = [now(session) - timedelta(days=1)]

    def step(self) -> None:
        match self.chance.choice(("write", "open", "more", "end", "target", "upto", "finish")):
            case "write":
                enqueue(self.session, self.chance.randint(1, 9), key=self.chance.choice("abc"))
            case "open":
                self.open.append(psycopg.connect(self.database))
                enqueue(self.open[-1], self.chance.randint(1, 9), key=self.chance.choice("abc"))
            case "more" if self.open:
                enqueue(self.chance.choice(self.open), 3, key=self.chance.choice("abc"))
            case "end" if self.open:
                ending = self.open.pop(self.chance.randrange(len(self.open)))
                self.chance.choice((ending.commit, ending.rollback))()
                ending.close()
            case "finish":
                self.pass_over(PASS)
            case "upto" | "target" as how:
                self.pass_over(PARTLY, reach=0.5 if how == "target" else self.chance.random())

    def pass_over(self, statement: LiteralString, **values: Any) -> None:
        pass_over(self.session, statement, **values)
        moment = now(self.session)
        covered = rows(self.session, "select id from outbox.message_state where state = 'sent'")
        self.sent |= {id_: moment for (id_,) in covered if id_ not in self.sent}
        self.moments.append(moment)

    def between(self, after: datetime, before: datetime) -> list[UUID]:
        return sorted(id_ for id_, moment in self.sent.items() if after < moment <= before)

    def close(self) -> None:
        for connection in self.open:
            connection.close()


def passed(session: "psycopg.Connection", after: datetime | None, before: datetime) -> list[UUID]:
    query = "select id from outbox.passed(%(after)s::timestamptz, %(before)s::timestamptz, null)"
    return sorted(id_ for (id_,) in rows(session, query, after=after, before=before))


PARTLY: LiteralString = """
-- pass_partly: a difference that is under way: what its target sees, up to a number
with horizon as (
    insert into outbox.snapshot (taken, floor, system_identifier)
    select pg_current_snapshot(), %(floor)s, system_identifier from pg_control_system()
    returning id
), newest as (
    select distinct on (shard) * from outbox.checkpoint order by shard, batch desc
)
insert into outbox.checkpoint (shard, batch, seen, target, upto, sent)
select c.shard, c.batch + 1, c.seen, coalesce(c.target, horizon.id),
       greatest(c.upto, %(reach)s * pg_sequence_last_value('outbox.message_seq'))::bigint, 1
from horizon, newest c
"""


@pytest.mark.parametrize("seed", seeds("publish anew", 4))
def test_a_time_chooses_what_was_passed_in_it_whatever_committed_when(
    session: "psycopg.Connection", database: str, seed: int
) -> None:
    """At any positions, also in the middle of a difference, with transactions that commit late or roll back."""
    with closing(History(session, database, random.Random(seed))) as history:
        for _ in range(80):
            history.step()
        for _ in range(40):
            after, before = sorted(history.chance.choices(history.moments, k=2))
            assert passed(session, after, before) == history.between(after, before)
            assert passed(session, None, before) == history.between(history.moments[0], before)
