"""What a campaign plays on: servers of its own, three relays' seats with a network between, topics, and the ledger.

PostgreSQL has a small disk. Kafka makes no topic by itself, and has a port for each relay, behind that relay's proxy,
beside the one for the judge and for administrators: whatever happens to a relay's way, they see what truly is there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from relay import locks, migrate
from relay.judge import Watch, watching
from relay.leasing.lease import fair_share
from relay.local.kafka import Kafka
from relay.local.postgres import Postgres
from relay.local.process import free_port
from tests.faults.disk import Disk, small_disk
from tests.faults.ledger import Ledger
from tests.faults.proxy import Network, Proxy, network
from tests.faults.seat import Seat
from tests.faults.tuning import SEATS, settings
from tests.faults.world import OWNERS, wait_until

CLOCKED = "one"
"""The relay that has a clock of its own; the others run without the library that it takes."""

TOPICS: Mapping[str, int] = {"orders": 4, "payments": 2, "letters": 2}
"""The topics that are there from the beginning, with their partitions."""

LETTERS_TAKE = 20_000
"""Bytes that a message for "letters" may have: some have more, and are for an operator. Nothing waits behind them."""

POSTGRES = {
    "max_prepared_transactions": "200",
    # Commits that are not synchronous stay unflushed for long, so that a crash does undo some.
    "wal_writer_delay": "10s",
    "max_wal_size": "128MB",
    "max_connections": "150",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a fault can lay hands on."""

    postgres: Postgres
    disk: Disk
    kafka: Kafka
    admin: AdminClient
    seats: Mapping[str, Seat]
    ledger: Ledger
    watch: Watch
    discarded: set[str] = field(default_factory=set)
    """Ids of what operators gave up; whether it arrives is a matter of moments."""

    @property
    def url(self) -> str:
        """The database, straight."""
        return self.postgres.url()

    def administer(self) -> "psycopg.Connection":
        """Open a session of an administrator, straight to the server."""
        return psycopg.connect(self.url, autocommit=True, connect_timeout=10)

    def owners(self) -> Counter[str]:
        """How many shards each relay holds."""
        with self.administer() as connection:
            held = connection.execute(OWNERS, (locks.LEASE,)).fetchall()
        return Counter(name.removeprefix(locks.application_name("")) for _, name in held)

    def shared_out(self) -> bool:
        """Whether every relay that should be at work is, with its fair share of the shards."""
        owners = self.owners()
        wanted = sorted(name for name, seat in self.seats.items() if seat.wanted)
        fair = sorted(fair_share(place, range(len(wanted)), owners.total()) for place in range(len(wanted)))
        return owners.total() > 0 and sorted(owners) == wanted and sorted(owners.values()) == fair

    def state(self, message_id: str) -> str:
        """What the outbox says of a message."""
        with self.administer() as connection:
            found = connection.execute("select * from outbox.message_state where id = %s", (message_id,)).fetchone()
        return str(found)

    def states(self) -> Counter[str]:
        """How many messages are in which state, as the outbox tells it to people."""
        with self.administer() as connection:
            found = connection.execute("select state, count(*) from outbox.message_state group by state").fetchall()
        return Counter(dict(found))

    def gave_up(self) -> list[str]:
        """The relays that ended by themselves."""
        return [name for name, seat in self.seats.items() if seat.gave_up]

    def make_topic(self, name: str, partitions: int) -> None:
        """Make a topic in Kafka."""
        self.admin.create_topics([NewTopic(name, partitions, 1)])[name].result(30)

    def delete_topic(self, name: str) -> None:
        """Delete a topic, and return when it is gone."""
        self.admin.delete_topics([name])[name].result(30)
        wait_until(lambda: name not in self.admin.list_topics(timeout=10).topics, 30)

    def set_topic(self, topic: str, name: str, value: str | None) -> None:
        """Change one of a topic's settings in Kafka, or take it back."""
        how = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(name, value, incremental_operation=how)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(30)


@contextmanager
def stage(folder: Path, seed: int, program: Sequence[str], topics: Sequence[str]) -> Iterator[Stage]:
    """Set it all up, with two relays at work, while the block lasts.

    Args:
        folder: for logs and Kafka's data.
        seed: decides how the relays are set.
        program: what each relay runs.
        topics: what the judge reads.
    """
    with ExitStack() as cleanup:
        disk = cleanup.enter_context(small_disk())
        postgres = cleanup.enter_context(Postgres(disk.folder / "postgres", settings=POSTGRES))
        migrate.upgrade(postgres.url())
        ways = cleanup.enter_context(network())
        kafka, ports = _kafka(folder / "kafka", ways, cleanup)
        made = Stage(
            postgres,
            disk,
            kafka,
            AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 2}),
            {
                name: Seat(
                    name,
                    ways.to(postgres.port),
                    ports[name],
                    folder,
                    settings=settings(seed, name),
                    program=program,
                    clocked=name == CLOCKED,
                )
                for name in SEATS
            },
            Ledger(postgres.url(), {"letters": LETTERS_TAKE}),
            cleanup.enter_context(watching(kafka.brokers, topics)),
        )
        made.ledger.create()
        for topic, partitions in TOPICS.items():
            made.make_topic(topic, partitions)
        made.set_topic("letters", "max.message.bytes", str(LETTERS_TAKE))
        for seat in made.seats.values():
            cleanup.callback(seat.close)
        made.seats["one"].start()
        made.seats["two"].start()
        yield made


def _kafka(folder: Path, ways: Network, cleanup: ExitStack) -> tuple[Kafka, Mapping[str, Proxy]]:
    """Start a broker with a listener for each seat, which is said to be where that seat's proxy is."""
    main, controller = free_port(), free_port()
    behind = {name: free_port() for name in SEATS}
    proxies = {name: ways.to(port) for name, port in behind.items()}
    ours = {"PLAINTEXT": main, "CONTROLLER": controller}
    listening = {**ours, **{name.upper(): port for name, port in behind.items()}}
    advertised = {**ours, **{name.upper(): proxy.port for name, proxy in proxies.items()}}
    properties = {
        "listeners": _addresses(listening),
        "advertised.listeners": _addresses(advertised),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listening),
        "inter.broker.listener.name": "PLAINTEXT",
        "auto.create.topics.enable": "false",
    }
    return cleanup.enter_context(Kafka(folder, main, controller, properties=properties)), proxies


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
