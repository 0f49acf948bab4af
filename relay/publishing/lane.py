"""A producer, and the way in which batches go through it: in waves.

Guarantees: what an outcome calls published was acknowledged on all in-sync replicas; messages of one key are written in
the order of the batch, also across the repeats that a failure makes; nothing is queued any more when `publish` returns
or raises. Knows nothing of PostgreSQL.

A wave has of each partition at most one request, and the next wave comes only once the last is acknowledged: a message
that fails leaves nothing behind it that could still be written. A failure always means a new producer.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from relay.blame import Fault, blames_broker, fault_of
from relay.hold import Failure
from relay.message import Batch
from relay.publishing.envelope import Envelope
from relay.publishing.outcome import Outcome
from relay.publishing.producer import (
    TAKEOVER,
    WAVE_BYTES,
    Fatal,
    Silence,
    StillOurs,
    failure,
    flush,
    make,
    serve,
    settle,
    take_back,
)
from relay.publishing.routing import Routes

GRACE_SECONDS = 0.2
"""How long the failures of other messages are waited for behind the first."""


class NotQueued(Exception):
    """A message cannot even be queued: its topic is known not to exist, or it is too large."""

    def __init__(self, logical: str, error: KafkaError | None) -> None:
        super().__init__(logical)
        self.logical = logical
        self.error = error


class WaveFailed(Exception):
    """Kafka did not take a wave of the batch; nothing behind it was queued."""

    def __init__(self, silence: Silence | None) -> None:
        super().__init__(silence)
        self.silence = silence


class Lane:
    """Sends batches whole.

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
        self._failures: list[tuple[KafkaError, str]] = []
        self._producer = make(properties, self._failed, takeover)

    @property
    def queued(self) -> int:
        """How many messages were given to the producer and are not acknowledged yet; any thread may ask."""
        return len(self._producer)

    def close(self) -> None:
        """Drop what is queued, so that nothing goes out once the leases are given up."""
        take_back(self._producer)

    def serve(self) -> None:
        """Hear what the producer has to say while it has nothing to send."""
        try:
            serve(self._producer)
        except Fatal:
            self._renew()

    def publish(self, batch: Batch, still_ours: StillOurs) -> Outcome:
        """Send a batch, and wait until Kafka has answered for every message of it.

        Args:
            batch: what to send.
            still_ours: called at least every half second.

        Raises:
            Whatever `still_ours` raises; what was queued is taken back first.
        """
        names = {logical: self._routes(logical) for logical in batch.topics}
        unlisted = {logical: self._unlisted(logical) for logical, name in names.items() if name is None}
        if unlisted:
            return Outcome(away=unlisted)
        whole = False
        try:
            outcome = self._attempt(batch, names, still_ours)
            whole = bool(outcome.published)
            return outcome
        finally:
            # Also on the way out with an exception: what is queued must not outlive the leases.
            if not whole:
                self._renew()

    def _attempt(self, batch: Batch, names: Mapping[str, str | None], still_ours: StillOurs) -> Outcome:
        began = time.monotonic()
        silence, fatal = None, False
        try:
            self._produce(batch, names, began, still_ours)
            self._end_wave(began, still_ours)
        except WaveFailed as failed:
            silence = failed.silence
        except NotQueued as refused:
            if refused.error is not None and fault_of(refused.error) is Fault.DESTINATION:
                return Outcome(away={refused.logical: failure(refused.error)})
            return Outcome(suspects=True)
        except Fatal:
            fatal = True
        else:
            return Outcome(published=set(batch.rows))
        return self._explain(names, silence, fatal=fatal)

    def _explain(self, names: Mapping[str, str | None], silence: Silence | None, *, fatal: bool) -> Outcome:
        """Say what the failures of a batch mean, those among them that emptying the queue tells of."""
        if self._failures:
            # Several topics may be away: all are told of within a moment, and found out at once.
            with suppress(Fatal):
                flush(self._producer, GRACE_SECONDS)
        take_back(self._producer)
        told = [(error, topic) for error, topic in self._failures if not blames_broker(error)]
        away = {topic: failure(error) for error, topic in told if fault_of(error) is Fault.DESTINATION}
        if away:
            return Outcome(away={logical: away[name] for logical, name in names.items() if name in away})
        if told or fatal or not self._failures:
            # Which message is at fault, if one is, is found out one by one.
            return Outcome(suspects=True)
        if silence is None or not silence.others_went:
            return Outcome(broker=silence.failure if silence else failure(self._failures[0][0]))
        silent = {topic for _, topic in self._failures}
        return Outcome(
            broker=silence.failure, unacknowledged={logical for logical, name in names.items() if name in silent}
        )

    def _unlisted(self, logical: str) -> Failure:
        return Failure(Fault.DESTINATION, "NOT_LISTED", self._routes.refusal(logical))

    def _end_wave(self, began: float, still_ours: StillOurs) -> None:
        """Wait until all that is queued was acknowledged."""
        # Waiting asks only while Kafka is slow; a batch of many quick waves must not go on once its shards are lost.
        still_ours()
        silence = settle(self._producer, began, still_ours, lambda: bool(self._failures))
        if silence or self._failures:
            raise WaveFailed(silence)

    def _failed(self, error: KafkaError, topic: str) -> None:
        self._failures.append((error, topic))

    def _produce(self, batch: Batch, names: Mapping[str, str | None], began: float, still_ours: StillOurs) -> None:
        """Queue a batch, a wave at a time: the hot path of the relay."""
        produce, envelope = self._producer.produce, self._envelope
        queued: dict[str | None, int] = defaultdict(int)
        for rows in batch.rows.values():
            for row in rows:
                _, _, _, logical, key, _, payload, _, _, _, _, size = row
                topic = names[logical]
                queued[topic] += size
                if queued[topic] > WAVE_BYTES and queued[topic] > size:
                    self._end_wave(began, still_ours)
                    queued.clear()
                    queued[topic] = size
                try:
                    produce(topic, payload, key, headers=envelope(row))  # type: ignore[arg-type]
                except KafkaException as error:
                    raise NotQueued(logical, error.args[0]) from None
                except BufferError:
                    raise NotQueued(logical, None) from None

    def _renew(self) -> None:
        take_back(self._producer)
        self._failures.clear()
        self._producer = make(self._properties, self._failed, self._takeover)
