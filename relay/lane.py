"""A producer, and the way in which pages go through it: in waves.

Guarantees: what an outcome calls published was acknowledged on all in-sync replicas; messages of one key are written in
the order of the page, also across the repeats that a failure makes; nothing is queued any more when `publish` returns
or raises. Knows nothing of PostgreSQL.

A wave has of each partition at most one request, and the next wave comes only once the last is acknowledged: a message
that fails leaves nothing behind it that could still be written. A failure always means a new producer.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from relay.blame import blames_broker
from relay.envelope import Envelope
from relay.message import Page
from relay.outcome import Outcome
from relay.producer import TAKEOVER, WAVE_BYTES, Fatal, StillOurs, make, say, settle, take_back
from relay.routing import Routes


class NotQueued(Exception):
    """A message of the page cannot even be queued: its topic is unknown here, or it is too large."""


class WaveFailed(Exception):
    """Kafka did not take a wave of the page; nothing behind it was queued."""


class Lane:
    """Sends pages whole.

    Args:
        properties: librdkafka properties of the user, `bootstrap.servers` among them.
        envelope: makes a message's headers.
        routes: where logical topics go.
        takeover: seconds after which other relays take the shards of one that hangs.

    Raises:
        SettingsError: librdkafka refuses the properties.
    """

    def __init__(
        self, properties: Mapping[str, Any], envelope: Envelope, routes: Routes, takeover: float = TAKEOVER
    ) -> None:
        self._properties = properties
        self._takeover = takeover
        self._envelope = envelope
        self._routes = routes
        self._failures: list[KafkaError] = []
        self._producer = make(properties, self._failures.append, takeover)

    def close(self) -> None:
        """Drop what is queued, so that nothing goes out once the leases are given up."""
        take_back(self._producer)

    def publish(self, page: Page, still_ours: StillOurs) -> Outcome:
        """Send a page, and wait until Kafka has answered for every message of it.

        Args:
            page: what to send.
            still_ours: called at least every half second.

        Raises:
            Whatever `still_ours` raises; what was queued is taken back first.
        """
        outcome = Outcome(suspects=True)
        try:
            outcome = self._attempt(page, still_ours)
        except (NotQueued, Fatal):
            # Which message is at fault, if one is, is found out one by one.
            pass
        finally:
            # Also on the way out with an exception: what is queued must not outlive the leases.
            if not outcome.published:
                self._renew()
        return outcome

    def _attempt(self, page: Page, still_ours: StillOurs) -> Outcome:
        began = time.monotonic()
        try:
            self._produce(page, began, still_ours)
            self._end_wave(began, still_ours)
        except WaveFailed as failed:
            return Outcome(suspects=True) if self._blamed() else Outcome(broker=str(failed))
        return Outcome({shard: len(rows) for shard, rows in page.rows.items()})

    def _end_wave(self, began: float, still_ours: StillOurs) -> None:
        """Wait until all that is queued was acknowledged."""
        # Waiting asks only while Kafka is slow; a page of many quick waves must not go on once its shards are lost.
        still_ours()
        late = settle(self._producer, began, still_ours, self._blamed)
        if late or self._failures:
            raise WaveFailed(late or say(self._failures[0]))

    def _blamed(self) -> bool:
        return not all(map(blames_broker, self._failures))

    def _produce(self, page: Page, began: float, still_ours: StillOurs) -> None:
        """Queue a page, a wave at a time: the hot path of the relay."""
        produce, envelope = self._producer.produce, self._envelope
        names = {row[3]: self._routes(row[3]) for rows in page.rows.values() for row in rows}
        if None in names.values():
            raise NotQueued
        queued: dict[str | None, int] = defaultdict(int)
        for rows in page.rows.values():
            for row in rows:
                _, _, _, logical, key, _, payload, _, _, _, size = row
                topic = names[logical]
                queued[topic] += size
                if queued[topic] > WAVE_BYTES and queued[topic] > size:
                    self._end_wave(began, still_ours)
                    queued.clear()
                    queued[topic] = size
                try:
                    produce(topic, payload, key, headers=envelope(row))  # type: ignore[arg-type]
                except (KafkaException, BufferError):
                    raise NotQueued from None

    def _renew(self) -> None:
        take_back(self._producer)
        self._failures.clear()
        self._producer = make(self._properties, self._failures.append, self._takeover)
