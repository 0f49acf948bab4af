"""When a client of Kafka that hears nothing is to ask for an answer, and when it is given up. Pure, but for the clock.

Law: what comes by itself is an answer. One question that stays without any says nothing of the client, for Kafka may be
away; several in a row say that it is to be replaced. If Kafka is away indeed, the new client finds no more than the old
one did, and costs little.

A client may lose its way to Kafka for good. When a broker stops or starts, it may tell clients of topics and of no
broker at all; librdkafka then forgets the brokers that it knows, and may never look for them again, nor say so
(https://github.com/confluentinc/librdkafka/issues/5301).
"""

import time


class Contact:
    """One client's.

    Args:
        often: seconds between two questions while there are answers, or something comes by itself.
        again: seconds until the next question when there was no answer.
        tries: how many questions in a row without an answer are one too many.
    """

    def __init__(self, often: float, again: float, tries: int) -> None:
        self._often = often
        self._again = again
        self._tries = tries
        self.heard()

    def heard(self) -> None:
        """Note that something came from Kafka."""
        self._unanswered = 0
        self._ask_at = time.monotonic() + self._often

    def time_to_ask(self) -> bool:
        """Whether the next question is due."""
        return time.monotonic() >= self._ask_at

    def lost(self) -> bool:
        """Note a question without an answer, and say whether the client is to be replaced; the next one begins anew."""
        self._unanswered += 1
        if self._unanswered >= self._tries:
            self.heard()
            return True
        self._ask_at = time.monotonic() + self._again
        return False
