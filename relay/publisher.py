"""Publishing a page to Kafka as fast as it goes.

Guarantees: what an outcome calls published was acknowledged on all in-sync replicas; messages of one key are written in
the order of the page, also across the repeats that a failure makes; nothing is queued any more when `publish` returns
or raises. Knows nothing of PostgreSQL.

A page goes out in waves, of each partition at most one request, and the next wave only once the last is acknowledged: a
message that fails leaves nothing behind it that could still be written. A failure always means a new producer.
"""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from relay.blame import blames_broker
from relay.envelope import Envelope
from relay.message import Page
from relay.outcome import Outcome
from relay.producer import WAVE_BYTES, WAVE_MESSAGES, Fatal, StillOurs, make, say, settle, take_back
from relay.routing import Routes

OVERHEAD = 340
"""Bytes that a message costs in a batch beside its own texts: Kafka's record framing, names and fixed values of the
CloudEvents headers, and a source of at most 100."""


class NotQueued(Exception):
    """A message of the page cannot even be queued: its topic is unknown here, or it is too large."""


class WaveFailed(Exception):
    """Kafka did not take a wave of the page; nothing behind it was queued."""


class Publisher:
    """Sends pages whole.

    Args:
        properties: librdkafka properties of the user, `bootstrap.servers` among them.
        envelope: makes a message's headers.
        routes: where logical topics go.

    Raises:
        SettingsError: librdkafka refuses the properties.
    """

    def __init__(self, properties: Mapping[str, Any], envelope: Envelope, routes: Routes) -> None:
        self._properties = properties
        self._envelope = envelope
        self._routes = routes
        self._failures: list[KafkaError] = []
        self._producer = make(properties, self._failures.append)

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
        count = size = 0
        for rows in page.rows.values():
            for row in rows:
                _, _, _, topic, key, type_, payload, content_type, own, _, _ = row
                text = len(key or "") + len(type_ or topic) + len(content_type or "") + len(own or "")
                more = len(payload or b"") + text * 4 + OVERHEAD
                if count and (size + more > WAVE_BYTES or count >= WAVE_MESSAGES):
                    self._end_wave(began, still_ours)
                    count = size = 0
                try:
                    produce(names[topic], payload, key, headers=envelope(row))  # type: ignore[arg-type]
                except (KafkaException, BufferError):
                    raise NotQueued from None
                count += 1
                size += more

    def _renew(self) -> None:
        take_back(self._producer)
        self._failures.clear()
        self._producer = make(self._properties, self._failures.append)
