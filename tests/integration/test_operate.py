"""`relay failed`, `relay replay` and `relay discard`, as an operator uses them: in a script, and on a terminal."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.command import SECONDS, relay
from tests.integration.holding import enqueue, hold, send, state
from tests.terminal import Terminal

NASTY = "\x1b[2J\x1b]0;owned\x07\r[bold red]k\u202e[/]\n"
"""What clears a screen, names a window, goes back in the line, speaks markup and turns the line around."""

REAL = ("--why", "the limit was raised", "--yes")


@pytest.fixture
def session(database: str) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def untouched(session: "psycopg.Connection") -> bool:
    ((rows, acts),) = session.execute(
        "select count(*) filter (where settled_as is not null or attempts = 0),"
        " (select count(*) from outbox.operator_act) from outbox.held"
    ).fetchall()
    return bool(rows == acts == 0)


def answer(found: "subprocess.CompletedProcess[str]") -> Any:
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_what_has_failed_is_shown_in_groups_and_one_by_one(database: str, session: "psycopg.Connection") -> None:
    (first,) = hold(session, "dead", key="7", ago="3 hours")
    hold(session, "waiting", 4, key="7")
    hold(session, "retrying", 2, topic="mails", code="INVALID_RECORD", error="no signature")
    hold(session, "scheduled", 5)
    found = relay("failed", DATABASE_URL=database)
    assert (found.returncode, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert lines[0] == "held: scheduled 5, blocked 4, retrying 2, dead 1"
    assert any("2" in line and "retrying" in line and "mails" in line and "INVALID_RECORD" in line for line in lines)
    at = lines.index(f"dead  {first}  topic orders, key 7")
    assert "(3 h), failed 3 times by its own fault, 4 wait behind it" in lines[at + 1]
    assert lines[at + 2].strip() == "MSG_SIZE_TOO_LARGE: the broker takes no message of this size"
    assert sum(line.startswith("retrying  ") for line in lines) == 2


def test_what_has_failed_is_told_as_json(database: str, session: "psycopg.Connection") -> None:
    (first,) = hold(session, "dead", key="7", ago="3 hours")
    hold(session, "waiting", 4, key="7")
    hold(session, "dead", 2, key="8")
    found = answer(relay("failed", "--json", "--limit", "1", DATABASE_URL=database))
    assert (found["held"], found["count"]) == ({"blocked": 4, "dead": 3}, 3)
    (group,) = found["groups"]
    assert (group["state"], group["topic"], group["code"], group["messages"]) == (
        "dead",
        "orders",
        "MSG_SIZE_TOO_LARGE",
        3,
    )
    (message,) = found["messages"]
    assert message["held_since"] == group["held_since"]
    expected = {"id": str(first), "key": "7", "state": "dead", "attempts": 3, "waiting": 4, "next_at": None}
    assert expected.items() <= message.items()


def test_the_list_is_limited_and_says_how_much_more_there_is(database: str, session: "psycopg.Connection") -> None:
    hold(session, "dead", 30)
    shown = relay("failed", DATABASE_URL=database).stdout
    assert shown.count("dead  ") >= 20
    assert "and 10 more (--limit)" in shown
    grouped = relay("failed", "--group", DATABASE_URL=database).stdout
    assert "30" in grouped
    assert "without a key" not in grouped


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 6),
        (("--topic", "orders"), 5),
        (("--topic", "orders", "--key", "7"), 1),
        (("--error", "size"), 6),
        (("--state", "dead"), 2),
        (("--state", "blocked"), 3),
        (("--older-than", "2h"), 1),
        (("--before", "2h"), 1),
        (("--after", "2h"), 5),
        (("--after", "1d", "--older-than", "3600s"), 1),
    ],
)
def test_the_list_is_filtered(
    database: str, session: "psycopg.Connection", options: tuple[str, ...], count: int
) -> None:
    hold(session, "dead", key="7", ago="3 hours")
    hold(session, "waiting", 3, key="7")
    hold(session, "retrying", 4)
    hold(session, "dead", topic="mails")
    assert answer(relay("failed", "--json", *options, DATABASE_URL=database))["count"] == count


def test_nothing_failed_is_told(database: str, session: "psycopg.Connection") -> None:
    assert relay("failed", DATABASE_URL=database).stdout == "held: nothing\nnothing has failed\n"
    hold(session, "scheduled")
    assert "held: scheduled 1\n" in relay("failed", DATABASE_URL=database).stdout


def test_replay_says_what_it_does_and_records_who_and_why(database: str, session: "psycopg.Connection") -> None:
    made = hold(session, "dead", 3, key="7")
    found = relay("replay", "--topic", "orders", "--error", "SIZE", *REAL, DATABASE_URL=database)
    assert found.returncode == 0, found.stderr
    assert "replay 3 failed messages of topic 'orders', with an error like 'SIZE':" in found.stdout
    assert "replayed 3 messages (act 1)" in found.stdout
    assert [state(session, id_) for id_ in made] == ["retrying"] * 3
    ((who, client, why, choice),) = session.execute(
        "select who, client, why, choice from outbox.operator_act"
    ).fetchall()
    assert (who, why) == ("postgres", "the limit was raised")
    assert "@" in client
    assert choice["topic"] == "orders"


def test_discard_by_ids_settles_those_and_no_others(database: str, session: "psycopg.Connection") -> None:
    made = hold(session, "dead", 3)
    found = answer(relay("discard", str(made[0]), str(made[2]), "--json", *REAL, DATABASE_URL=database))
    assert found == {
        "act": "discard",
        "messages": 2,
        "parts": [{"topic": "orders", "state": "dead", "messages": 2}],
        "number": 1,
        "done": 2,
        "dry_run": False,
    }
    assert [state(session, id_) for id_ in made] == ["discarded", "dead", "discarded"]


def test_sent_messages_are_published_anew_by_time_and_topic(database: str, session: "psycopg.Connection") -> None:
    send(session, 4)
    send(session, 2, topic="mails")
    found = answer(
        relay("replay", "--sent", "--topic", "orders", "--after", "1h", "--json", *REAL, DATABASE_URL=database)
    )
    assert (found["messages"], found["done"], found["parts"][0]["state"]) == (4, 4, "sent")
    assert session.execute("select count(*) from outbox.held_state where state = 'replaying'").fetchall() == [(4,)]


@pytest.mark.parametrize("command", ["replay", "discard"])
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    database: str, session: "psycopg.Connection", command: str
) -> None:
    hold(session, "dead", 7)
    shown = relay(command, "--all", "--dry-run", DATABASE_URL=database)
    assert shown.returncode == 0
    assert f"{command} 7" in shown.stdout
    told = answer(relay(command, "--all", "--dry-run", "--why", "x", "--yes", "--json", DATABASE_URL=database))
    assert (told["messages"], told["done"], told["number"], told["dry_run"]) == (7, 0, None, True)
    assert untouched(session)


@pytest.mark.parametrize("command", ["replay", "discard"])
def test_nothing_to_do_is_told_and_is_no_mistake(database: str, session: "psycopg.Connection", command: str) -> None:
    found = relay(command, "--topic", "nobody", *REAL, DATABASE_URL=database)
    assert found.returncode == 0
    assert f"nothing to {command}" in found.stdout
    assert untouched(session)


MISTAKES = [
    (("replay",), "nothing is chosen"),
    (("replay", "--sent"), "nothing is chosen"),
    (("discard", "nonsense", "--before", "never"), "'nonsense' is not the id of a message"),
    (("discard", "nonsense", "--before", "never"), "--before is 'never'; allowed: a time such as"),
    (("discard", "--after", "1h", "--older-than", "2h"), "not earlier than --before"),
    (("replay", "--state", "blocked"), "--state is 'blocked'; allowed: dead, retrying, unreachable"),
    (("discard", "--sent", "--topic", "t"), "No such option"),
    (("discard", "--all", "--why", " "), "--why is empty"),
    (("failed", "--key", "7"), "--key is given without --topic"),
    (("failed", "--limit", "-1"), "--limit"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_a_choice_that_means_nothing_is_refused_by_the_name_of_the_option(
    database: str, session: "psycopg.Connection", arguments: tuple[str, ...], words: str
) -> None:
    hold(session, "dead")
    extra = REAL if arguments[0] != "failed" and "--why" not in arguments else ()
    found = relay(*arguments, *extra, DATABASE_URL=database)
    assert (found.returncode, found.stdout) == (2, "")
    assert words in " ".join(found.stderr.split())
    assert untouched(session)


def test_an_id_that_cannot_be_acted_on_is_refused_with_the_reason(database: str, session: "psycopg.Connection") -> None:
    (fine,), (pending,), nowhere = hold(session, "dead"), enqueue(session), uuid.uuid4()
    found = relay("discard", str(fine), str(pending), str(nowhere), *REAL, DATABASE_URL=database)
    assert (found.returncode, found.stdout) == (2, "")
    assert f"message {pending} is pending, it is not held" in found.stderr
    assert f"message {nowhere} is not known" in found.stderr
    assert "nothing was changed" in found.stderr
    assert untouched(session)


@pytest.mark.parametrize("command", ["replay", "discard"])
def test_without_a_terminal_and_without_yes_nothing_is_done(
    database: str, session: "psycopg.Connection", command: str
) -> None:
    hold(session, "dead")
    unasked = relay(command, "--all", "--why", "x", DATABASE_URL=database)
    assert (unasked.returncode, unasked.stdout) == (2, "")
    assert "say --yes" in unasked.stderr
    unexplained = relay(command, "--all", "--yes", DATABASE_URL=database)
    assert (unexplained.returncode, unexplained.stdout) == (2, "")
    assert "--why is not given" in unexplained.stderr
    assert untouched(session)


@pytest.mark.parametrize("command", ["failed", "replay", "discard"])
def test_a_missing_outbox_is_a_mistake_with_its_mend(empty_database: str, command: str) -> None:
    extra = () if command == "failed" else ("--all", *REAL)
    found = relay(command, *extra, DATABASE_URL=empty_database)
    assert (found.returncode, found.stdout) == (2, "")
    assert "relay migrate" in found.stderr


@pytest.mark.parametrize("command", ["failed", "replay", "discard"])
def test_a_role_that_may_not_is_told_where_its_rights_are_written(
    database: str, session: "psycopg.Connection", command: str
) -> None:
    role = f"nosy_{uuid.uuid4().hex[:8]}"
    session.execute(f"create role {role} login".encode())
    session.execute(f"grant usage on schema outbox to {role}".encode())
    session.execute(f"grant select on all tables in schema outbox to {role}".encode())
    extra = () if command == "failed" else ("--all", *REAL)
    found = relay(command, *extra, DATABASE_URL=database.replace("postgres@", f"{role}@"))
    assert (found.returncode, found.stdout) == (2, "")
    assert f"role {role} may not do this (permission denied for function" in found.stderr
    assert "docs/migrations.md" in found.stderr


def test_somebody_else_who_acts_and_does_not_end_is_a_clear_failure(
    database: str, session: "psycopg.Connection"
) -> None:
    made = hold(session, "dead")
    with psycopg.connect(database) as other:
        other.execute("select outbox.discard('at lunch', everything => true)")
        found = relay("replay", "--all", *REAL, DATABASE_URL=database)
    assert found.returncode == 1
    assert "somebody else is acting on these messages" in found.stderr
    assert "nothing was changed" in found.stderr
    assert state(session, made[0]) == "discarded"


def test_on_a_terminal_it_asks_why_and_whether_and_then_does_it(database: str, session: "psycopg.Connection") -> None:
    made = hold(session, "dead", 3)
    with Terminal("discard", "--topic", "orders", DATABASE_URL=database) as terminal:
        terminal.expect("why (it is recorded): ")
        assert "discard 3 held messages of topic 'orders':" in terminal.screen
        assert untouched(session)
        terminal.answer("\n")
        terminal.answer("poison\n")
        terminal.expect("discard 3 messages? [y/N]: ")
        assert untouched(session)
        terminal.answer("y\n")
        assert "discarded 3 messages (act 1)" in terminal.end()
    assert terminal.code == 0
    assert state(session, made[0]) == "discarded"
    assert session.execute("select why from outbox.operator_act").fetchall() == [("poison",)]


@pytest.mark.parametrize(("typed", "code"), [("n\n", 1), ("\n", 1), ("\x04", 130), (None, 130)])
def test_anything_but_yes_does_nothing(
    database: str, session: "psycopg.Connection", typed: str | None, code: int
) -> None:
    hold(session, "dead", 3)
    with Terminal("replay", "--all", "--why", "x", "--json", DATABASE_URL=database) as terminal:
        terminal.expect("replay 3 messages? [y/N]: ")
        assert "replay 3 failed messages of all topics:" in terminal.screen
        if typed is None:
            terminal.interrupt()
        else:
            terminal.answer(typed)
        assert "nothing was changed" in terminal.end()
    assert terminal.code == code
    assert untouched(session)


def test_an_act_that_is_interrupted_is_undone(database: str, session: "psycopg.Connection") -> None:
    hold(session, "dead", 3)
    with psycopg.connect(database) as other:
        other.execute("select id from outbox.held for update")
        with Terminal("discard", "--all", "--why", "x", "--yes", DATABASE_URL=database) as terminal:
            deadline = time.monotonic() + SECONDS
            while session.execute("select from pg_locks where not granted").fetchall() == []:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            terminal.interrupt()
            terminal.end()
    assert terminal.code == 130
    assert untouched(session)


def test_what_is_set_aside_after_it_was_shown_is_not_in_it(database: str, session: "psycopg.Connection") -> None:
    hold(session, "dead", 3)
    with Terminal("discard", "--all", "--why", "x", DATABASE_URL=database) as terminal:
        terminal.expect("discard 3 messages? [y/N]: ")
        (later,) = hold(session, "dead")
        terminal.answer("y\n")
        assert "discarded 3 messages" in terminal.end()
    assert state(session, later) == "dead"


def test_what_was_settled_after_it_was_shown_is_not_counted(database: str, session: "psycopg.Connection") -> None:
    made = hold(session, "retrying", 3)
    with Terminal("discard", "--all", "--why", "x", DATABASE_URL=database) as terminal:
        terminal.expect("discard 3 messages? [y/N]: ")
        session.execute("update outbox.held set settled_as = 'sent', settled_at = now() where id = %s", [made[0]])
        terminal.answer("y\n")
        screen = terminal.end()
    assert "discarded 2 messages (act 1)" in screen
    assert "1 of those shown were settled meanwhile" in screen


def test_twenty_thousand_are_replayed_in_one_act_with_progress_on_the_terminal(
    database: str, session: "psycopg.Connection"
) -> None:
    hold(session, "dead", 20_000)
    with Terminal("replay", "--all", "--why", "x", "--yes", DATABASE_URL=database) as terminal:
        screen = terminal.end()
    assert terminal.code == 0
    assert "20000/20000" in screen
    assert "replayed 20,000 messages (act 1)" in screen
    assert session.execute("select messages from outbox.operator_act").fetchall() == [(20_000,)]
    assert session.execute("select count(*) from outbox.held where attempts = 0").fetchall() == [(20_000,)]


def nasty(session: "psycopg.Connection") -> None:
    hold(session, "dead", key=NASTY, code=NASTY, error=f"the broker said {NASTY}")


@pytest.mark.parametrize("arguments", [("failed",), ("discard", "--topic", "orders", "--key", NASTY, *REAL)])
def test_what_others_wrote_cannot_steer_the_terminal(
    database: str, session: "psycopg.Connection", arguments: tuple[str, ...]
) -> None:
    nasty(session)
    with Terminal(*arguments, DATABASE_URL=database) as terminal:
        screen = terminal.end()
    assert terminal.code == 0
    assert not [steering for steering in ("\x1b[2J", "\x1b]", "\x07", "\r[", "\u202e") if steering in screen]
    assert "\\x1b[2J\\x1b]0;owned\\x07\\r[bold red]k\\u202e[/]\\n" in "".join(screen.split("\r\n"))


def test_json_escapes_what_others_wrote(database: str, session: "psycopg.Connection") -> None:
    nasty(session)
    found = relay("failed", "--json", DATABASE_URL=database)
    assert json.loads(found.stdout)["messages"][0]["key"] == NASTY
    assert found.stdout.isascii()
    assert "\x1b" not in found.stdout
