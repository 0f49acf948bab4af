"""How the statements that read the outbox are planned: always along the indexes, in order."""

from typing import LiteralString

import psycopg

from relay.connection import pin

PLAN: dict[LiteralString, str] = {
    # The planner knows nothing true about a queue. Without sorts and scans to choose, it walks the indexes in order.
    "enable_sort": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}


def walk_indexes(connection: "psycopg.Connection") -> None:
    """Let all statements of a session be planned so."""
    for name, value in PLAN.items():
        pin(connection, name, value)
