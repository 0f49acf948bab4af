"""The judge: what truly is in Kafka, counted by a process of its own, and what that says about the promises.

It trusts nothing that a relay says. It reads topics from their beginning as any consumer would, in a process
that shares no code path with the publisher, and compares what it saw with what the database committed.

- `verdict`: pure: committed, rolled back and seen messages in, counts and broken promises out.
- `consumer`: the reading process (`python -m relay.judge`).
- `deafness`: whether its client has lost Kafka for good, and must be replaced.
- `watch`: starts that process and hands over what it sees: `read_topics` for all there is, `watching` while
  it grows.
"""

from relay.judge.verdict import Occurrence, Order, Place, Seen, Verdict, occurrences, order, verdict
from relay.judge.watch import JudgeFailed, Watch, read_topics, watching

__all__ = [
    "JudgeFailed",
    "Occurrence",
    "Order",
    "Place",
    "Seen",
    "Verdict",
    "Watch",
    "occurrences",
    "order",
    "read_topics",
    "verdict",
    "watching",
]
