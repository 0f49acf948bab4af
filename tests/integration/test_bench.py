"""`relay bench` as its first user meets it: it works, it leaves nothing, and it says what is wrong."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import psutil
import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

import relay.local.kafka
from relay.bench.parts import CATALOGUE
from relay.local.kafka import Kafka
from relay.local.postgres import Postgres
from tests.command import REPOSITORY, environment
from tests.command import relay as run_relay

SECONDS = 600
CACHE = {"RELAY_CACHE": os.environ["RELAY_CACHE"]}
ONE = ("bench", "--quick", "drain")
RELAY = (sys.executable, "-m", "relay")

WITHOUT = """
# A Python in which a package is not installed.
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *arguments):
        return None if name == {package!r} else self.finder.find_spec(name, *arguments)
sys.meta_path[:] = map(Without, sys.meta_path)
from relay.cli.main import main
main()
"""

FILL = """
insert into outbox.message (topic, key, payload) select 'orders', n::text, 'x' from generate_series(1, 500) as n
"""
LOOK = """
select (select json_agg(m order by id) from outbox.message as m)::text,
       (select json_agg(c order by shard, batch) from outbox.checkpoint as c)::text,
       (select json_agg(s order by id) from outbox.snapshot as s)::text
"""


@dataclass
class Bench:
    """A benchmark at work, with a folder of its own for what is temporary."""

    command: tuple[str, ...]
    variables: dict[str, str]
    folder: Path
    errors: str = ""
    output: str = ""
    process: "subprocess.Popen[str]" = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder.parent,
            env=environment(TMPDIR=str(self.folder), **CACHE, **self.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, text: str) -> None:
        """Read on until it says something."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line
            if text in line:
                return
        pytest.fail(f"it ended without saying {text!r}:\n{self.errors}")

    def ended(self) -> int:
        """Read to the end of what it says, and return its exit code. A traceback is never an answer."""
        self.output, errors = self.process.communicate(timeout=SECONDS)
        self.errors += errors or ""
        assert "Traceback" not in self.errors, self.errors
        return self.process.returncode

    def left(self) -> list[str]:
        """Whatever is there that was not there before: processes, and files in its folder."""
        # A guard ends by itself when the benchmark has ended, a moment later.
        _, alive = psutil.wait_procs([one for one in psutil.process_iter() if self._is_ours(one)], timeout=5)
        return [*map(str, alive), *map(str, self.folder.iterdir())]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("TMPDIR") == str(self.folder)
        except psutil.Error:
            return False


Start = Callable[..., Bench]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `relay`, or another program; what a failed test has left is ended."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    running: list[Bench] = []

    def start_one(*arguments: str, program: tuple[str, ...] = RELAY, **variables: str) -> Bench:
        running.append(Bench((*program, *arguments), variables, folder))
        return running[-1]

    yield start_one
    for bench in running:
        bench.process.kill()
        bench.process.communicate()


@pytest.fixture
def given(postgres: Postgres, kafka_brokers: str) -> dict[str, str]:
    """Servers of somebody else, that the benchmark is pointed at."""
    return {"DATABASE_URL": postgres.url(), "KAFKA_BROKERS": kafka_brokers}


@pytest.fixture
def traces(postgres: Postgres, kafka_admin: AdminClient) -> Callable[[], list[str]]:
    """Tells the databases and topics of benchmarks that there are."""

    def look() -> list[str]:
        with psycopg.connect(postgres.url()) as connection:
            databases = [name for (name,) in connection.execute("select datname from pg_database").fetchall()]
        names = [*databases, *kafka_admin.list_topics(timeout=10).topics]
        return [name for name in names if name.startswith(("relay_bench", "relay-bench"))]

    return look


def refuse(constant: str) -> NoReturn:
    pytest.fail(f"{constant} is no JSON")


def outbox(url: str) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute(LOOK).fetchone()


@pytest.mark.timeout(SECONDS + 30)
def test_every_part_measures_and_nothing_that_exists_is_touched(
    start: Start, database: str, kafka_brokers: str, traces: Callable[[], list[str]]
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(FILL)
    before = outbox(database)
    # In the query a database's name wins over that in the path.
    url = f"{database.rpartition('/')[0]}/postgres?dbname={database.rpartition('/')[2]}"
    bench = start("bench", "--quick", "--json", DATABASE_URL=url, KAFKA_BROKERS=kafka_brokers)
    assert bench.ended() == 0, bench.errors
    figures = json.loads(bench.output, parse_constant=refuse)["figures"]
    assert {figure["part"] for figure in figures} == {entry.name for entry in CATALOGUE}
    for figure in figures:
        values = (figure["value"], *filter(None, (figure["reference"], figure["ratio"])), *figure["runs"])
        assert all(map(math.isfinite, values)), figure
        assert figure["name"]
        assert figure["unit"]
    assert len({(figure["part"], figure["name"]) for figure in figures}) == len(figures)
    assert bench.errors
    assert outbox(database) == before
    assert (traces(), bench.left()) == ([], [])


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "enqueuing"),
        (signal.SIGTERM, "bare loop"),
        (signal.SIGINT, "run 1 of 1: relay"),
        (signal.SIGHUP, "lz4, run 1 of 1: relay"),
    ],
)
def test_it_can_be_stopped_at_any_moment_and_leaves_nothing(
    start: Start, given: dict[str, str], traces: Callable[[], list[str]], number: signal.Signals, moment: str
) -> None:
    bench = start(*ONE, **given)
    bench.until(moment)
    bench.process.send_signal(number)
    assert bench.ended() == 128 + number, bench.errors
    assert bench.errors.splitlines()[-1] == f"relay: {number.name}: stopped, and what was made for it is removed"
    assert bench.output == ""
    assert (traces(), bench.left()) == ([], [])


def test_servers_that_it_started_itself_are_stopped_with_it(start: Start) -> None:
    bench = start(*ONE)
    bench.until("starting throwaway servers")
    bench.process.send_signal(signal.SIGTERM)
    assert bench.ended() == 128 + signal.SIGTERM, bench.errors
    assert bench.left() == []


def test_a_second_benchmark_on_one_server_is_refused_and_harms_nothing(
    start: Start, given: dict[str, str], traces: Callable[[], list[str]]
) -> None:
    first = start(*ONE, **given)
    first.until("enqueuing")
    second = start(*ONE, **given)
    assert second.ended() == 2
    assert "another benchmark is running at 127.0.0.1" in second.errors
    assert first.ended() == 0, first.errors
    assert "goals: " in first.output
    assert traces() == []


def test_a_closed_pipe_ends_it_quietly_with_the_plot_drawn(
    start: Start, given: dict[str, str], traces: Callable[[], list[str]], tmp_path: Path
) -> None:
    bench = start(*ONE, "--plot", str(tmp_path / "figures.svg"), **given)
    assert bench.process.stdout is not None
    bench.process.stdout.close()
    bench.process.stdout = None
    assert bench.ended() == 1
    assert "drain of 20,000 messages, compression none" in (tmp_path / "figures.svg").read_text()
    assert bench.errors.splitlines()[-1].startswith("drain, compression lz4")
    assert (traces(), bench.left()) == ([], [])


def test_nobody_listening_to_its_progress_ends_it_and_leaves_nothing(
    start: Start, given: dict[str, str], traces: Callable[[], list[str]]
) -> None:
    bench = start(*ONE, **given)
    bench.until("enqueuing")
    assert bench.process.stderr is not None
    bench.process.stderr.close()
    bench.process.stderr = None
    assert bench.ended() == 1
    assert (traces(), bench.left()) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "complaint"),
    [
        (("dran",), {}, 2, "relay: 'dran' is no part of the benchmark; there are drain"),
        (("--plot", "figures.pdf"), {}, 2, "--plot figures.pdf is of no known kind; allowed: .svg, .png"),
        (("--plot", "/nowhere/at/all.svg"), {}, 2, "--plot /nowhere/at/all.svg cannot be written: No such file"),
        (
            (),
            {"DATABASE_URL": "host=db password=geheim"},
            2,
            "DATABASE_URL is not what it should be; allowed: postgres",
        ),
        ((), {"DATABASE_URL": "postgresql://a:geheim@127.0.0.1:1/shop"}, 1, "127.0.0.1:1/shop does not answer"),
        ((), {"KAFKA_BROKERS": "127.0.0.1:1"}, 1, "kafka at 127.0.0.1:1 does not answer"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_measured(
    given: dict[str, str], arguments: tuple[str, ...], variables: dict[str, str], code: int, complaint: str
) -> None:
    found = run_relay("bench", "--quick", *arguments, **CACHE, **given | variables)
    assert (found.returncode, found.stdout) == (code, ""), found.stderr
    assert complaint in found.stderr
    assert "geheim" not in found.stderr


@pytest.fixture
def role(postgres: Postgres) -> Iterator[str]:
    """The URL of a role that may nothing but what the test grants."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("create role measurer login")
        yield postgres.url().replace("//postgres@", "//measurer@")
        connection.execute("drop role measurer")


def test_a_role_that_may_not_create_a_database_is_refused(role: str, kafka_brokers: str) -> None:
    found = run_relay(*ONE, DATABASE_URL=role, KAFKA_BROKERS=kafka_brokers)
    assert found.returncode == 2
    assert "the role of DATABASE_URL may not create a database at 127.0.0.1" in found.stderr


def test_the_right_to_create_a_database_is_enough(
    postgres: Postgres, role: str, kafka_brokers: str, traces: Callable[[], list[str]]
) -> None:
    with psycopg.connect(postgres.url()) as connection:
        connection.execute("alter role measurer createdb")
    found = run_relay(*ONE, DATABASE_URL=role, KAFKA_BROKERS=kafka_brokers)
    assert found.returncode == 0, found.stderr
    assert traces() == []


def test_a_kafka_that_lets_nobody_create_a_topic_is_told_before_anything_is_measured(
    postgres: Postgres, own_kafka: Callable[[], Kafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    authorizer = (
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
        "allow.everyone.if.no.acl.found=true\n"
    )
    monkeypatch.setattr(relay.local.kafka, "PROPERTIES", relay.local.kafka.PROPERTIES + authorizer)
    kafka = own_kafka()
    everybody = ("User:*", "*")
    cluster = (ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL, *everybody)
    rules = [
        AclBinding(*cluster, AclOperation.ALL, AclPermissionType.ALLOW),
        AclBinding(*cluster, AclOperation.CREATE, AclPermissionType.DENY),
        AclBinding(
            ResourceType.TOPIC,
            "relay-bench",
            ResourcePatternType.PREFIXED,
            *everybody,
            AclOperation.CREATE,
            AclPermissionType.DENY,
        ),
    ]
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    for made in admin.create_acls(rules).values():
        made.result(30)
    found = run_relay(*ONE, DATABASE_URL=postgres.url(), KAFKA_BROKERS=kafka.brokers)
    assert found.returncode == 2, found.stderr
    assert f"kafka at {kafka.brokers} refuses to create a topic" in found.stderr
    assert "uthorization failed" in found.stderr


def test_without_matplotlib_a_plot_is_refused_and_says_how_to_get_it(start: Start) -> None:
    program = (sys.executable, "-c", WITHOUT.format(package="matplotlib"))
    bench = start("bench", "--plot", "figures.svg", program=program)
    assert bench.ended() == 2
    assert bench.errors == (
        "relay: --plot needs matplotlib, which is not installed: pip install 'outbox-relay[bench]'\n"
    )


def test_without_psutil_the_help_still_lists_every_part_and_what_it_measures(start: Start) -> None:
    bench = start("bench", "--help", program=(sys.executable, "-c", WITHOUT.format(package="psutil")))
    assert bench.ended() == 0, bench.errors
    words = " ".join(bench.output.split())
    for entry in CATALOGUE:
        assert f"{entry.name}: {entry.about}" in words


def test_the_long_benchmark_stores_what_it_found_and_draws_it(
    start: Start, given: dict[str, str], traces: Callable[[], list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "docs" / "performance"
    page = folder.with_suffix(".md")
    page.parent.mkdir()
    page.write_text((REPOSITORY / "docs" / "performance.md").read_text())
    program = (sys.executable, "-m", "bench")
    bench = start("--scale", "quick", "--folder", str(folder), "drain", program=program, **given)
    assert bench.ended() == 0, bench.errors
    assert json.loads((folder / "figures.json").read_text())["drain"]["figures"]
    assert "drain of 20,000 messages" in page.read_text()
    assert "drain of 20,000 messages" in (folder / "figures.svg").read_text()
    again = start("--scale", "quick", "--resume", "--folder", str(folder), "drain", program=program, **given)
    assert again.ended() == 0, again.errors
    assert again.errors == "every part that was asked for is stored already\n"
    unknown = start("dran", program=program)
    assert unknown.ended() == 2
    assert unknown.errors.startswith("bench: 'dran' is no part of the benchmark")
    assert (traces(), bench.left()) == ([], [])
