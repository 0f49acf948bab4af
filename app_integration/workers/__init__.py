"""What acts on published messages: each handled at least once, with one effect, in PostgreSQL, by mail and by webhook.

The extra `workers` brings what this needs. Enqueueing imports none of it.

    from app_integration.workers import Worker
"""

from app_integration.workers.backoff import Backoff
from app_integration.workers.received import Received
from app_integration.workers.verdict import Outage, Reject, Retry
from app_integration.workers.worker import Worker

__all__ = ["Backoff", "Outage", "Received", "Reject", "Retry", "Worker"]
