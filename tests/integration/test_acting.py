"""An operator in charge: pause, limit, show, erase, relays and log, in a script and on a terminal."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from relay import __version__, locks
from relay.connection import connect
from relay.judge import read_topics
from relay.leasing.fleet import tie
from relay.leasing.lease import Leases
from relay.operators import relays
from relay.operators.find import partition_of
from tests.command import environment, relay
from tests.faults.world import wait_until
from tests.integration.holding import enqueue, hold, send, state
from tests.terminal import Terminal

NASTY = "\x1b[2J\x1b]0;owned\x07\r[bold red]k\u202e[/]\n"
WHY = ("--why", "the consumer is ill")


@pytest.fixture
def session(database: str) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def answer(found: "subprocess.CompletedProcess[str]") -> Any:
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def write(session: "psycopg.Connection", topic: str, payload: bytes | None, **more: object) -> UUID:
    values = {"key": None, "content_type": "application/json", "headers": None, **more}
    ((made,),) = session.execute(
        "insert into outbox.message (topic, payload, key, content_type, headers) "
        "values (%(topic)s, %(payload)s, %(key)s, %(content_type)s, %(headers)s::jsonb) returning id",
        {"topic": topic, "payload": payload, **values},
    ).fetchall()
    return UUID(str(made))


def test_unknown_topic_is_not_paused_and_the_nearest_is_named(database: str, session: "psycopg.Connection") -> None:
    enqueue(session, topic="orders")
    found = relay("pause", "ordres", *WHY, DATABASE_URL=database)
    assert found.returncode == 2
    assert "nothing is known of a topic 'ordres'; did you mean orders?" in found.stderr
    listed = relay("pause", "invoice", *WHY, DATABASE_URL=database, RELAY_TOPICS='{"invoices": {}}')
    assert "did you mean invoices?" in listed.stderr
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="nothing is known of a topic 'ordres'"):
        session.execute("select outbox.pause('ordres', 'x')")
    assert session.execute("select count(*) from outbox.operator_act").fetchone() == (0,)
    assert relay("pause", "ordres", "--unknown", *WHY, DATABASE_URL=database).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("0",), "RATE is 0; allowed: messages a second, above 0, such as 500 or 0.5; or --none; to stop a topic use"),
        (("-5",), "RATE is -5; allowed"),
        (("nan",), "RATE is 'nan'; allowed"),
        (("inf",), "RATE is 'inf'; allowed"),
        (("many",), "RATE is 'many'; allowed"),
        ((), "RATE is not given; allowed"),
        (("5", "--none"), "RATE and --none are both given"),
    ],
)
def test_rate_that_means_nothing_is_refused(database: str, arguments: tuple[str, ...], words: str) -> None:
    found = relay("limit", "orders", *arguments, *WHY, DATABASE_URL=database)
    assert found.returncode == 2
    assert words in found.stderr


@pytest.mark.parametrize("rate", ["0", "-1", "'NaN'", "'infinity'", "'-infinity'"])
def test_rate_that_means_nothing_is_refused_in_sql(session: "psycopg.Connection", rate: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="rate is"):
        session.execute(f"select outbox.limit('orders', {rate}, 'x', true)".encode())


def test_pause_limit_and_resume_are_said_once_and_recorded(database: str, session: "psycopg.Connection") -> None:
    enqueue(session, topic="orders")
    for arguments, words in (
        (("pause", "orders"), "topic orders is paused (act 1); nothing more of it is published"),
        (("pause", "orders"), "topic orders is paused already"),
        (("limit", "orders", "0.5"), "topic orders is limited to 0.5 messages/s (act 2)"),
        (("limit", "orders", "0.5"), "topic orders is limited to 0.5 messages/s, as before"),
        (("resume", "orders"), "topic orders is resumed (act 3)"),
        (("resume", "orders"), "topic orders was not paused"),
        (("limit", "orders", "--none"), "topic orders has no limit (act 4)"),
    ):
        found = relay(*arguments, *WHY, DATABASE_URL=database)
        assert (found.returncode, found.stdout.startswith(words)) == (0, True), found
    settings = json.dumps({"orders": {"rate": 50}})
    found = relay("limit", "orders", "--none", *WHY, DATABASE_URL=database, RELAY_TOPICS=settings)
    assert "no limit of an operator's; that of the settings holds, 50 messages/s, as before" in found.stdout
    logged = answer(relay("log", "--json", "--limit", "3", DATABASE_URL=database))
    assert [(one["number"], one["act"]) for one in logged["acts"]] == [(4, "limit"), (3, "resume"), (2, "limit")]
    assert logged["more"] is True
    assert logged["acts"][2]["choice"] == {"topic": "orders", "rate": 0.5}
    assert logged["acts"][2]["why"] == "the consumer is ill"
    older = answer(relay("log", "--json", "--below", "2", DATABASE_URL=database))
    assert [one["number"] for one in older["acts"]] == [1]
    assert answer(relay("log", "--json", "--act", "pause", "--topic", "mails", DATABASE_URL=database))["acts"] == []
    table = relay("log", "--who", "postgres", "--act", "pause", DATABASE_URL=database).stdout
    assert "pause topic orders" in table
    assert "limit" not in table


def test_two_operators_at_once_say_it_once(database: str, session: "psycopg.Connection") -> None:
    enqueue(session, topic="orders")
    numbers: list[object] = []

    def pause() -> None:
        with psycopg.connect(database, autocommit=True) as mine:
            numbers.append(mine.execute("select outbox.pause('orders', 'x')").fetchall()[0][0])

    together = [threading.Thread(target=pause) for _ in range(8)]
    for one in together:
        one.start()
    for one in together:
        one.join()
    assert sorted(map(str, numbers)) == ["1", *["None"] * 7]
    assert session.execute("select count(*) from outbox.operator_act").fetchone() == (1,)


def test_pause_waits_for_every_relay_and_names_the_one_that_does_not_obey(
    database: str, session: "psycopg.Connection"
) -> None:
    enqueue(session, topic="orders")
    with connect(database, "deaf") as deaf:
        deaf.execute("select pg_advisory_lock_shared(1869968386, 0)")
        found = relay("pause", "orders", "--wait", "0.5", *WHY, DATABASE_URL=database)
        assert found.returncode == 1
        assert "within 0.5 s these relays did not say that they obey: deaf" in found.stderr
        deaf.execute("select pg_advisory_lock_shared(1869968402, 1)")
        assert relay("pause", "orders", *WHY, DATABASE_URL=database).returncode == 0
        live = answer(relay("relays", "--json", DATABASE_URL=database))
        assert [(one["name"], one["shards"]) for one in live["relays"]] == [("deaf", [])]
        assert [one["topic"] for one in live["topics"]] == ["orders"]


def test_relay_is_as_silent_as_status_says_however_long_it_is_at_a_statement(
    database: str, session: "psycopg.Connection"
) -> None:
    with connect(database, "alpha") as alpha, ThreadPoolExecutor(1) as thread:
        Leases(alpha)
        tie(alpha, alpha.info.backend_pid, locks.LOOP)
        at_work = thread.submit(alpha.execute, "select pg_sleep(3)")
        busy = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(3)'"
        wait_until(lambda: session.execute(busy).fetchone() == (1,), 10)
        assert [(one.name, one.silent_seconds) for one in relays.read(session)] == [("alpha", 0.0)]
        at_work.result()
        wait_until(lambda: relays.read(session)[0].silent_seconds not in {None, 0.0}, 10)


def test_relays_tell_since_when_they_have_each_shard_and_their_version(
    database: str, session: "psycopg.Connection"
) -> None:
    with connect(database, "alpha") as alpha, connect(database, "old") as old:
        leases = Leases(alpha)
        old.execute("select pg_advisory_lock_shared(%s, 0), pg_advisory_lock(%s, 9)", [locks.MEMBER, locks.LEASE])
        ((before,),) = session.execute("select date_trunc('second', clock_timestamp())").fetchall()
        leases.take([0, 1])
        wait_until(lambda: session.execute("select clock_timestamp() - %s > '2 s'", [before]).fetchone() == (True,), 10)
        leases.take([2, 3])
        live = {one["name"]: one for one in answer(relay("relays", "--json", DATABASE_URL=database))["relays"]}
        assert (live["alpha"]["version"], live["old"]["version"]) == (__version__, None)
        assert live["old"]["shards"] == [{"shard": 9, "since": None}]
        assert [one["shard"] for one in live["alpha"]["shards"]] == [0, 1, 2, 3]
        first, same, later, _ = (datetime.fromisoformat(one["since"]) for one in live["alpha"]["shards"])
        assert before <= first == same < later <= datetime.now(UTC) + timedelta(seconds=1)
        with Terminal("relays", DATABASE_URL=database) as terminal:
            screen = terminal.end()
        assert f"0 1 since {first:%Y-%m-%d %H:%M:%S}" in screen
        assert f"2 3 since {later:%Y-%m-%d %H:%M:%S}" in screen
        assert "9 since ?" in screen
        leases.give_up([1])
        leases.take([1])
        leases.give_up([0, 2, 3])
        anew = [(one.shards, one.shards_since[0] == first) for one in relays.read(session) if one.name == "alpha"]
        assert anew == [([1], False)]
        told = "select count(*) from pg_locks where locktype = 'advisory' and classid::bigint between %s and %s"
        assert session.execute(told, [locks.SINCE, locks.SINCE + 255]).fetchone() == (1,)


@pytest.mark.parametrize(("version", "number"), [("0.1.0", 1_000), ("12.3.45", 12_003_045), ("1.2.3rc1", 1_002_003)])
def test_version_fits_into_the_number_of_a_lock(version: str, number: int) -> None:
    assert locks.version_number(version) == number < 2**31


def test_reason_is_needed_where_nobody_can_be_asked(database: str, session: "psycopg.Connection") -> None:
    enqueue(session, topic="orders")
    found = relay("pause", "orders", DATABASE_URL=database)
    assert found.returncode == 2
    assert "--why is not given" in found.stderr
    with Terminal("pause", "orders", DATABASE_URL=database) as terminal:
        terminal.expect("why (it is recorded): ")
        terminal.answer("its consumer is ill\n")
        assert "topic orders is paused (act 1)" in terminal.end()


def test_message_is_shown_whole_and_found_in_kafka(
    database: str, kafka_brokers: str, topic: str, session: "psycopg.Connection"
) -> None:
    made = [write(session, topic, b'{"n":1,"who":"Ann\xc3\xa9"}', key=f"k{n}", headers='{"a": "b"}') for n in range(20)]
    keyless = write(session, topic, None)
    both = {"DATABASE_URL": database, "KAFKA_BROKERS": kafka_brokers}
    assert relay("show", str(made[0]), **both).stdout.startswith(f"pending  {made[0]}")
    assert relay("drain", "--wait", "60", **both).returncode == 0
    there = {one.id: (one.partition, one.offset) for one in read_topics(kafka_brokers, [topic])}
    for id_ in (made[7], keyless):
        found = answer(relay("show", str(id_), "--json", **both))
        assert (found["kafka"]["partition"], found["kafka"]["offset"]) == there[str(id_)]
    shown = relay("show", str(made[7])[:30], **both)
    lines = [line.strip() for line in shown.stdout.splitlines()]
    partition, offset = there[str(made[7])]
    assert lines[0] == f"sent  {made[7]}"
    assert f"in kafka  topic {topic}, partition {partition}, offset {offset}" in lines
    assert '"who": "Annü"'.replace("ü", "é") in lines
    assert "header    a: b" in lines
    assert "not looked for" in relay("show", str(made[7]), DATABASE_URL=database).stdout


def test_partition_of_a_key_is_that_of_kafkas_own_clients() -> None:
    # org.apache.kafka.common.utils.UtilsTest, testMurmur2
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, number in known.items():
        assert partition_of(key, 2**31 - 1) == (number & 0x7FFFFFFF) % (2**31 - 1)


def test_unknown_and_ambiguous_ids_are_refused(database: str, session: "psycopg.Connection") -> None:
    one, two = UUID(int=0xABCD << 112 | 1), UUID(int=0xABCD << 112 | 2)
    for id_ in (one, two):
        session.execute("insert into outbox.message (id, topic) values (%s, 'orders')", [id_])
    for text, words in (
        ("abcd", f"'abcd' is the beginning of several ids: {one}, {two}"),
        ("abce", "no message 'abce' is known"),
        ("a", "'a' is not the id of a message"),
        ("x' or 1=1", "is not the id of a message"),
    ):
        found = relay("show", text, DATABASE_URL=database)
        assert found.returncode == 2
        assert words in found.stderr
    assert relay("show", str(two), DATABASE_URL=database).returncode == 0


@pytest.mark.parametrize(
    ("payload", "content_type", "words"),
    [
        (b"\xff\xfe\x00A" * 200, "application/avro", "00000000  ff fe 00 41"),
        (b"x" * (20 << 20), "text/plain", "… cut: it has 20,971,520 bytes (--raw writes all)"),
        (b"\x80" * (20 << 20), None, "… cut: it has 20,971,520 bytes"),
        (NASTY.encode(), "text/plain", "\\x1b[2J\\x1b]0;owned\\x07\\r[bold red]k\\u202e[/]"),
        (b"[" * 100_000, "application/json", "[[[["),
        (b"{not json", "application/json", "{not json"),
    ],
)
def test_hostile_payload_is_shown_escaped_and_cut(
    database: str, session: "psycopg.Connection", payload: bytes, content_type: str | None, words: str
) -> None:
    id_ = write(
        session, "orders", payload, content_type=content_type, key=NASTY * 2_000, headers=f'{{"h": "{"x" * 9_000}"}}'
    )
    found = relay("show", str(id_), DATABASE_URL=database)
    assert found.returncode == 0
    assert words in found.stdout
    assert len(found.stdout) < 20_000
    assert all(one.isprintable() or one == "\n" for one in found.stdout)
    told = answer(relay("show", str(id_), "--json", DATABASE_URL=database))
    assert told["payload_bytes"] == len(payload)
    written = subprocess.run(
        [sys.executable, "-m", "relay", "show", str(id_), "--raw"],
        env=environment(DATABASE_URL=database),
        capture_output=True,
        check=True,
    )
    assert written.stdout == payload


def test_huge_key_and_escapes_are_cut_in_every_list(database: str, session: "psycopg.Connection") -> None:
    hold(session, "dead", key=NASTY + "x" * 100_000, code=NASTY, error=NASTY + "y" * 100_000)
    why = f"{NASTY} it was so {'z' * 5_000}"
    assert relay("discard", "--topic", "orders", "--why", why, "--yes", DATABASE_URL=database).returncode == 0
    hold(session, "dead", key=NASTY + "x" * 100_000, code=NASTY, error=NASTY + "y" * 100_000)
    for arguments in (("failed",), ("log",), ("relays",)):
        with Terminal(*arguments, DATABASE_URL=database) as terminal:
            screen = terminal.end()
        assert not [bad for bad in ("\x1b[2J", "\x1b]", "\x07", "\r[", "\u202e") if bad in screen]
        assert len(screen) < 10_000, arguments


def test_erased_message_is_nowhere_any_more_and_the_fact_stays(database: str, session: "psycopg.Connection") -> None:
    secret = "ann@example.org"
    sent = [write(session, "orders", secret.encode(), key=secret, headers=f'{{"h": "{secret}"}}') for _ in range(3)]
    send(session, topic="orders", key="other")
    (gone,) = hold(session, "dead", topic="orders", key=secret)
    session.execute("select outbox.discard('x', topic => 'orders', key => %s)", [secret])
    (dead,) = hold(session, "dead", topic="orders", key=secret)
    (waiting,) = hold(session, "waiting", topic="orders", key=secret)
    places = session.execute("select shard, seq from outbox.message order by seq").fetchall()
    found = relay("erase", "--topic", "orders", "--key", secret, "--why", "asked to", "--yes", DATABASE_URL=database)
    assert (found.returncode, found.stdout.split(";")[0]) == (0, "erased 6 messages (act 2)")
    assert session.execute("select shard, seq from outbox.message order by seq").fetchall() == places
    for table in ("message", "held", "operator_act", "erased"):
        ((left,),) = session.execute(
            f"select count(*) from outbox.{table} t where strpos(t::text, %s) + strpos(t::text, %s) > 0".encode(),
            [secret, secret.encode().hex()],
        ).fetchall()
        assert left == 0, table
    assert [state(session, id_) for id_ in (*sent, gone, dead, waiting)] == ["sent"] * 3 + ["discarded"] * 3
    shown = relay("show", str(sent[0]), DATABASE_URL=database).stdout
    assert "what it said was erased by act 2" in shown
    assert "erase by postgres" in shown
    again = relay("replay", str(sent[0]), "--sent", "--why", "x", "--yes", DATABASE_URL=database)
    assert again.returncode == 2
    assert "was erased: there is nothing left to send" in again.stderr
    assert session.execute("select messages from outbox.replay('x', topic => 'orders', sent => true)").fetchone() == (
        1,
    )
    assert "erase 0" not in relay("erase", str(dead), "--why", "x", "--yes", DATABASE_URL=database).stdout


def test_message_that_was_not_sent_yet_is_not_erased(database: str, session: "psycopg.Connection") -> None:
    (sent,) = send(session)
    (pending,) = enqueue(session)
    found = relay("erase", str(sent), str(pending), "--why", "x", "--yes", DATABASE_URL=database)
    assert found.returncode == 2
    assert f"not sent yet, and a relay will send it in its turn: {pending}" in found.stderr
    assert session.execute("select count(*) from outbox.erased").fetchone() == (0,)
    assert session.execute("select count(*) from outbox.message where payload is null").fetchone() == (0,)


def test_argument_that_is_no_text_hostile_or_huge_is_no_traceback_and_steers_no_terminal(database: str) -> None:
    huge, reason = b"x" * 100_000, ("--why", "x", "--yes")
    calls = {
        ("show", b"\xff\xfe"): "the argument '\\udcff\\udcfe' is not UTF-8 text; nothing was done",
        ("discard", "--topic", "orders", "--key", b"\xed\xa0\x80", *reason): "is not UTF-8 text",
        ("show", NASTY): "is not the id of a message",
        ("show", huge): "x' … and 99,700 characters more is not the id of a message",
        ("pause", huge, *WHY): "nothing is known of a topic",
        ("limit", NASTY, "5", *WHY): "nothing is known of a topic",
        ("discard", "--topic", "orders", "--key", huge, *reason): "nothing to do",
    }

    def said(call: tuple[str | bytes, ...]) -> tuple[int, str]:
        command = [sys.executable, "-m", "relay", *call]
        # In the form that Python has of arguments whatever the machine's language is.
        done = subprocess.run(
            command, env=environment(DATABASE_URL=database, PYTHONUTF8="1"), capture_output=True, check=False
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    with ThreadPoolExecutor(2) as beside:
        answers = dict(zip(calls, beside.map(said, calls), strict=True))
    for call, words in calls.items():
        code, text = answers[call]
        assert code == (0 if words == "nothing to do" else 2), text
        assert words in text or code == 0, text
        assert "Traceback" not in text
        assert all(one.isprintable() or one == "\n" for one in text), text
        assert len(text) < 5_000, call


def test_erasing_asks_and_an_answer_of_no_changes_nothing(database: str, session: "psycopg.Connection") -> None:
    (sent,) = send(session)
    assert relay("erase", str(sent), DATABASE_URL=database).returncode == 2
    with Terminal("erase", str(sent), "--why", "x", DATABASE_URL=database) as terminal:
        terminal.expect("erase 1 message? This is final. [y/N]: ")
        terminal.answer("n\n")
        assert "nothing was changed" in terminal.end()
    assert terminal.code == 1
    unknown = relay("erase", str(UUID(int=1)), "--why", "x", "--yes", DATABASE_URL=database)
    assert (unknown.returncode, f"message {UUID(int=1)} is not known" in unknown.stderr) == (2, True)
    for arguments in ((), ("--key", "k"), ("--topic", "t")):
        assert relay("erase", *arguments, "--why", "x", "--yes", DATABASE_URL=database).returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completes_commands_and_topics(shell: str) -> None:
    variables = {"RELAY_TOPICS": '{"orders": {}, "invoices": {}}'}
    script = subprocess.run(
        [sys.executable, "-c", "from relay.cli.main import app; app(prog_name='relay')"],
        env=environment(_RELAY_COMPLETE=f"source_{shell}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "_RELAY_COMPLETE" in script.stdout
    typed = {"bash": {"COMP_WORDS": "relay pause o", "COMP_CWORD": "2"}}.get(
        shell, {"_TYPER_COMPLETE_ARGS": "relay pause o", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    )
    found = subprocess.run(
        [sys.executable, "-c", "from relay.cli.main import app; app(prog_name='relay')"],
        env=environment(_RELAY_COMPLETE=f"complete_{shell}", **variables, **typed),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "orders" in found.stdout
    assert "invoices" not in found.stdout
