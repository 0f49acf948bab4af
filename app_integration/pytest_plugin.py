"""A pytest fixture, `outbox`: assert what a test has enqueued, with no relay and no Kafka.

    def test_an_order_is_announced(session, outbox):
        place_order(session, "o-1")
        outbox.assert_enqueued(session, topic="orders", key="o-1", type="order.placed")

It reads the rows that the given connection's own transaction has written, and what its session has not
written yet. So it works under a rollback-per-test fixture, sees nothing of other tests, and neither flushes
nor commits. With an asynchronous session or connection its methods are awaited. The test's role needs the
right to read `outbox.message`, which an application's own role should not have.

pytest loads this file in every run of every project that has the package installed: it imports nothing but
pytest until the fixture is used.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from app_integration.inspector import OutboxInspector


@pytest.fixture
def outbox() -> "OutboxInspector":
    """Give the means to look at what a test has enqueued."""
    from app_integration.inspector import OutboxInspector  # noqa: PLC0415 - see above

    return OutboxInspector()
