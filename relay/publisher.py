"""Publishing a page to Kafka as fast as it goes.

Guarantees: what an outcome calls published was acknowledged on all in-sync replicas; messages of one key are written in
the order of the page, also across the repeats that a failure makes; nothing is queued any more when `publish` returns
or raises. Knows nothing of PostgreSQL.

A failure always means a new producer: a message that failed leaves a gap, behind which later ones of its key could
still go out. With the gapless guarantee librdkafka writes nothing more once a message has failed for good.
"""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from relay.blame import blames_broker
from relay.envelope import Envelope
from relay.message import Page
from relay.outcome import Outcome
from relay.producer import PATIENCE, Fatal, StillOurs, flush, make, say, settle, take_back
from relay.routing import Routes


class NotQueued(Exception):
    """A message of the page cannot even be queued: its topic is unknown here, or it is too large."""


class QueueStuck(Exception):
    """The queue is full and does not empty."""


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
        except QueueStuck:
            return Outcome(broker=f"the queue stays full after {time.monotonic() - began:.0f} s")
        late = settle(self._producer, began, still_ours, self._blamed)
        if self._blamed():
            return Outcome(suspects=True)
        if late or self._failures:
            return Outcome(broker=late or say(self._failures[0]))
        return Outcome({shard: len(rows) for shard, rows in page.rows.items()})

    def _blamed(self) -> bool:
        return not all(map(blames_broker, self._failures))

    def _produce(self, page: Page, began: float, still_ours: StillOurs) -> None:
        """Queue a page: the hot path of the relay."""
        produce, envelope = self._producer.produce, self._envelope
        names = {row[3]: self._routes(row[3]) for rows in page.rows.values() for row in rows}
        if None in names.values():
            raise NotQueued
        for rows in page.rows.values():
            for row in rows:
                name = names[row[3]]
                assert name is not None
                while True:
                    try:
                        produce(name, row[6], row[4], headers=envelope(row))
                        break
                    except BufferError:
                        self._make_room(began, still_ours)
                    except KafkaException:
                        raise NotQueued from None

    def _make_room(self, began: float, still_ours: StillOurs) -> None:
        """Wait a little for a full queue. A failure meanwhile ends the page: nothing may be queued behind it."""
        flush(self._producer, 0.05)
        still_ours()
        if self._failures or time.monotonic() - began > PATIENCE:
            raise QueueStuck

    def _renew(self) -> None:
        take_back(self._producer)
        self._failures.clear()
        self._producer = make(self._properties, self._failures.append)
