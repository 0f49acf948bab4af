"""How the relays of a campaign are set, and what follows from it for the repeats that a fault may cause. Pure."""

import json
import random
from collections.abc import Mapping

SEATS = ("one", "two", "three")
"""The third is empty unless a fault lets somebody join."""


def settings(seed: int, relay: str) -> Mapping[str, str]:
    """How a relay is set: small pages and few messages at a time, so that faults meet every place in its work."""
    random_ = random.Random(f"{seed}-{relay}")
    return {
        "RELAY_PAGE_ROWS": str(random_.choice([100, 300, 500])),
        "RELAY_CHECKPOINT_INTERVAL_SECONDS": str(random_.choice([0.05, 0.25, 1])),
        "RELAY_CHECKPOINT_MESSAGES": "500",
        "RELAY_TAKEOVER_SECONDS": "5",
        "RELAY_RETENTION": random.Random(seed).choice(["0", "20s", "7d"]),
        # What a topic's fault holds is never given up, and is tried soon after it.
        "RELAY_MAX_ATTEMPTS": "1000",
        "RELAY_RETRY_LONGEST_SECONDS": "4",
        "RELAY_TOPICS": json.dumps({"letters": {"on_failure": "skip", "max_attempts": 3}}),
    }


def window(seed: int) -> int:
    """How many messages the relays can have on their way at once: so many may be repeated when all fail at once.

    Of each relay: what was published and is not recorded, up to the bound at which it is recorded and the page that
    crosses it; and the page that Kafka has not acknowledged.
    """
    every = [settings(seed, name) for name in SEATS]
    return sum(int(each["RELAY_CHECKPOINT_MESSAGES"]) + 2 * int(each["RELAY_PAGE_ROWS"]) for each in every)
