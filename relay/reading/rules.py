"""What operators say of topics, as a relay reads it, and how it shows that it obeys. On the lease session.

Guarantees: the lock that says which act is obeyed lives and dies with the session that holds the leases, so that there
is no record to go stale; it is never said of an act that the relay does not go by yet.
"""

import psycopg

from relay import locks
from relay.flow import Rules

READ_RULES = """
-- read_rules: few, and seldom changed
select topic, paused_at is not null, rate, act from outbox.topic_rule
"""

OBEY = """
-- obey: the newest act first, so that at no moment none is held
select pg_advisory_lock_shared(%(class)s, %(act)s::int), %(before)s::int is null
    or pg_advisory_unlock_shared(%(class)s, %(before)s::int)
"""


class Rulebook:
    """The rules as one relay sees them.

    Args:
        connection: the lease session.
    """

    def __init__(self, connection: "psycopg.Connection") -> None:
        self._connection = connection
        self._obeyed: int | None = None

    def read(self) -> Rules:
        """Read what operators say now.

        Raises:
            psycopg.OperationalError: the session is lost.
        """
        found = self._connection.execute(READ_RULES).fetchall()
        return Rules(
            max((act for *_, act in found), default=0),
            frozenset(topic for topic, paused, *_ in found if paused),
            {topic: rate for topic, _, rate, _ in found if rate is not None},
        )

    def obey(self, rules: Rules) -> None:
        """Let operators see that everything up to the newest act in these rules is obeyed."""
        if rules.act != self._obeyed:
            self._connection.execute(OBEY, {"class": locks.OBEYED, "act": rules.act, "before": self._obeyed})
            self._obeyed = rules.act
