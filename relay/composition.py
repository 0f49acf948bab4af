"""The composition root: every part of a relay is made and wired together here, and taken down in a safe order."""

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from relay import events, locks, rights
from relay.behind import Behind
from relay.configuration.settings import Settings
from relay.connection import connect, where, which_server
from relay.errors import DatabaseUnreachable
from relay.flow import Flow
from relay.holding.custody import Custody
from relay.holding.held import Held
from relay.holding.retries import Retries
from relay.leasing.fleet import Fleet, tie
from relay.leasing.lease import Leases
from relay.leasing.pulse import Pulse
from relay.policy import Policy, Rule
from relay.publishing.alone import Alone
from relay.publishing.delivery import Delivery
from relay.publishing.envelope import envelope
from relay.publishing.lane import Lane
from relay.publishing.publisher import Publisher
from relay.publishing.routing import Routes
from relay.reading.ahead import Ahead
from relay.reading.bell import Bell
from relay.reading.checkpoint import Checkpoints
from relay.reading.doorbell import Doorbell
from relay.reading.reader import Reader
from relay.reading.rules import Rulebook
from relay.record import Pace, Record
from relay.relay import Relay
from relay.restoring.durability import Durability
from relay.stopping import Stop

if TYPE_CHECKING:
    import psycopg

    from relay.tracing.spans import Spans

RETRY_ROWS = 500
"""Held messages of each shard that are read at once."""


class Sessions:
    """The sessions of one relay: all on the same server, known as belonging together, closed by `cleanup`."""

    def __init__(self, settings: Settings, cleanup: ExitStack) -> None:
        self._settings = settings
        self._cleanup = cleanup
        self.first = self._open()
        """It holds the leases, and records: both are lost together."""
        rights.claim_revision(self.first)
        rights.demand(self.first)
        self._server = which_server(self.first)
        tie(self.first, self.first.info.backend_pid, locks.LOOP)

    def beside(self, kind: int) -> "psycopg.Connection":
        """Open a session on the same server: positions of one mean nothing on another that the address also has."""
        session = self._open()
        if which_server(session) != self._server:
            raise DatabaseUnreachable("the address of DATABASE_URL leads to several servers, or has just moved")
        tie(session, self.first.info.backend_pid, kind)
        return session

    def _open(self) -> "psycopg.Connection":
        return self._cleanup.enter_context(closing(connect(self._settings.database_url, self._settings.name)))


class Senders:
    """What sends, made alike for the loop and for what is tried again."""

    def __init__(self, settings: Settings, spans: "Spans | None") -> None:
        routes, headers = Routes(settings), envelope(settings.headers, settings.source)
        properties = {**settings.kafka, "bootstrap.servers": settings.kafka_brokers}
        self._how = properties, spans.around(headers, routes) if spans else headers, routes, settings.takeover_seconds
        self._rules = policy(settings)

    def publisher(self) -> Publisher:
        """Make the producers of the loop: while one waits for its acknowledgements, the other sends."""
        return Publisher((Lane(*self._how), Lane(*self._how)))

    def delivery(self, publisher: Publisher | Lane) -> Delivery:
        """Make what sends pages, and one by one what Kafka refuses."""
        return Delivery(publisher, Alone(*self._how), self._rules)

    def again(self) -> Delivery:
        """Make what sends held messages, with a producer of its own."""
        return self.delivery(Lane(*self._how))


def compose(
    settings: Settings, stop: Stop, pulse: Pulse, tell: events.Tell, cleanup: ExitStack, *, spans: "Spans | None"
) -> Relay:
    """Wire a relay together. What is closed first is what could still send; the leases go last."""
    sessions = Sessions(settings, cleanup)
    lease_session = sessions.first
    replicated = settings.durability == "replicated"
    pages = partial(
        Reader, sessions.beside(locks.LOOP), rows=settings.page_rows, size=settings.page_bytes, replicated=replicated
    )
    doorbell = Doorbell(sessions.beside(locks.BESIDE)) if settings.doorbell else None
    if doorbell:
        cleanup.callback(doorbell.close)
    senders = Senders(settings, spans)
    publisher = senders.publisher()
    delivery = senders.delivery(publisher)
    cleanup.callback(delivery.close)
    reader = pages()
    held = Held(lease_session, rows=RETRY_ROWS, size=settings.page_bytes)
    flow = Flow({logical: topic.rate for logical, topic in settings.topics.items() if topic.rate is not None})
    checkpoints = Checkpoints(lease_session)
    retries = Retries(held, senders.again, flow, checkpoints.trails.passes)
    cleanup.callback(retries.close)
    leases = Leases(lease_session)
    tell(events.Started(settings.name, where(settings.database_url), leases.shards, lambda: publisher.queued))
    return Relay(
        leases=leases,
        fleet=Fleet(lease_session, settings.name, settings.takeover_seconds, tell),
        record=Record(
            checkpoints,
            Custody(held, retries, settings.held_limit, tell),
            Pace(settings.checkpoint_interval_seconds, settings.checkpoint_messages),
            tell,
        ),
        reader=reader,
        ahead=Ahead(reader),
        behind=Behind(checkpoints.trails, flow),
        reader_behind=pages(),
        rulebook=Rulebook(lease_session),
        flow=flow,
        durability=Durability(lease_session, replicated=replicated, tell=tell),
        delivery=delivery,
        bell=Bell(lease_session, doorbell, settings.poll_interval_seconds, stop.woken),
        pulse=pulse,
        tell=tell,
        stopping=stop,
    )


def policy(settings: Settings) -> Policy:
    """Gather what the settings say about failures."""
    topics = {
        logical: Rule(topic.on_failure or settings.on_failure, topic.max_attempts or settings.max_attempts)
        for logical, topic in settings.topics.items()
    }
    return Policy(
        Rule(settings.on_failure, settings.max_attempts),
        topics,
        settings.retry_first_seconds,
        settings.retry_longest_seconds,
    )
