"""A running relay prunes by itself, and nothing that goes wrong with it touches the relaying."""

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import TypeVar

import psycopg
import pytest

from relay import events, locks
from relay.configuration.loading import load
from relay.configuration.settings import Settings
from relay.retention import chores
from relay.retention.chores import Chores
from tests.faults.world import World, wait_until
from tests.integration.sending import Connection, Sender, enqueue, number, send_all

Told = TypeVar("Told", bound=events.Event)

SIZE = "select sum(pg_total_relation_size(relid)) from pg_partition_tree('outbox.message') where isleaf"


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def settings(database: str) -> Settings:
    return load({"DATABASE_URL": database, "RELAY_RETENTION": "0"}, needs=("database_url",))


class Heard:
    """What was told, on whichever thread."""

    def __init__(self) -> None:
        self._told: list[events.Event] = []
        self._news = threading.Condition()

    def __call__(self, event: events.Event) -> None:
        with self._news:
            self._told.append(event)
            self._news.notify_all()

    def first(self, kind: type[Told]) -> Told:
        """Wait for the first event of a kind."""
        with self._news:
            assert self._news.wait_for(lambda: any(isinstance(event, kind) for event in self._told), 30)
            return next(event for event in self._told if isinstance(event, kind))


def test_a_running_relay_gives_disk_space_back(here: World, owner: Connection) -> None:
    empty = number(owner, SIZE)
    here.enqueue(200, payload=b"x" * 2_000)
    assert number(owner, SIZE) > empty
    with here.judged() as judge:
        relay = here.relay("one", RELAY_RETENTION="0")
        judge.arrived(200)
        wait_until(lambda: number(owner, SIZE) == empty, 60)
        here.enqueue(5)
        judge.arrived(205)
    wait_until(lambda: relay.said("new messages go to slot 1 from now on"), 30)
    assert relay.said("slot 0 is empty: all in it was sent long enough ago, ")
    assert relay.terminate() == 0
    assert not relay.said("Running job")


def test_a_relay_without_the_rights_to_prune_publishes_and_says_what_it_lacks(here: World, owner: Connection) -> None:
    owner.execute("drop role if exists publisher_only")
    owner.execute("create role publisher_only login")
    for grant in (
        "usage on schema outbox",
        "select on all tables in schema outbox",
        "insert on outbox.checkpoint, outbox.snapshot, outbox.held",
        "update on outbox.held",
        "usage, select on all sequences in schema outbox",
        "execute on function outbox.shard_count",
    ):
        owner.execute(f"grant {grant} to publisher_only".encode())
    url = here.database_url.replace("postgres@", "publisher_only@")
    relay = here.relay("one", DATABASE_URL=url, RELAY_RETENTION="0")
    with here.judged() as judge:
        wait_until(lambda: relay.said("pruning: role publisher_only lacks: delete on outbox.checkpoint"), 60)
        assert relay.said("what was sent stays on disk until it is tried again with success")
        here.enqueue(3)
        judge.arrived(3)
    assert relay.terminate() == 0
    owner.execute("drop owned by publisher_only")
    owner.execute("drop role publisher_only")


def test_a_slot_in_use_is_told_with_who_uses_it(database: str, owner: Connection, settings: Settings) -> None:
    enqueue(owner, 5)
    send_all(database)
    heard = Heard()
    with psycopg.connect(database) as dump:
        dump.execute("select count(*) from outbox.message")
        Chores(settings, heard).prune()
        pid = dump.info.backend_pid
    busy = heard.first(events.SlotBusy)
    assert (busy.slot, f"pid {pid}" in busy.holders[0]) == (0, True)
    Chores(settings, heard).prune()
    assert heard.first(events.SlotEmptied).slot == 0


def test_a_database_that_is_away_is_told_and_raises_nothing(settings: Settings) -> None:
    heard = Heard()
    nowhere = settings.model_copy(update={"database_url": "postgresql://u:geheim@127.0.0.1:1/d"})
    Chores(nowhere, heard).prune()
    failed = heard.first(events.ChoreFailed)
    assert "127.0.0.1:1/d does not answer" in failed.reason
    assert "geheim" not in failed.reason
    assert "nothing is lost" in failed.consequence


def test_a_session_that_is_cut_is_told_and_tried_again(
    database: str, owner: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run dies in the middle; the next one finishes what it left."""
    monkeypatch.setattr(chores, "FIRST_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(chores, "SOONEST_SECONDS", 1.0)
    enqueue(owner, 100)
    heard = Heard()
    with psycopg.connect(database) as blocker, closing(Sender(database)) as sender:
        sender.all()
        blocker.execute("lock table outbox.checkpoint in access exclusive mode")
        chore = Chores(settings, heard)
        chore.start()
        wait_until(lambda: bool(number(owner, WAITING)), 30)
        owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
        assert heard.first(events.ChoreFailed).chore == "pruning"
        blocker.rollback()
        assert heard.first(events.SlotEmptied).slot == 0
        chore.stop()


WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


def test_a_stop_ends_a_run_that_waits(
    database: str, owner: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "FIRST_SECONDS", (0.0, 0.0))
    chore = Chores(settings, Heard())
    with psycopg.connect(database) as blocker:
        blocker.execute("lock table outbox.checkpoint in access exclusive mode")
        chore.start()
        wait_until(lambda: bool(number(owner, WAITING)), 30)
        chore.stop()
        assert number(owner, WAITING) == 0


def test_while_another_relay_prunes_nothing_is_told(owner: Connection, settings: Settings) -> None:
    owner.execute("select pg_advisory_lock(%s, 0)", (locks.PRUNE,))
    told: list[events.Event] = []
    Chores(settings, told.append).prune()
    assert told == []


def test_every_run_opens_a_session_and_closes_it(owner: Connection, settings: Settings) -> None:
    Chores(settings, Heard()).prune()
    wait_until(
        lambda: number(owner, "select count(*) from pg_stat_activity where application_name ~ '^outbox'") == 0, 10
    )
