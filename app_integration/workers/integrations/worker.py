"""The worker `integrations`: one commit turns a business event into a delivery for each endpoint that wants it.

What follows is the deliverer's; no subscriber, however slow, holds up the receiving of events.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from app_integration.contracts import KAFKA_TOPICS, Message
from app_integration.workers.contract import read
from app_integration.workers.integrations.deliverer import delivering
from app_integration.workers.received import Received
from app_integration.workers.settings import WebhookSettings
from app_integration.workers.worker import Connection, Worker

FAN_OUT = """
-- fan_out: also for endpoints that are disabled, which have it once they are enabled
insert into worker.delivery (endpoint, ce_id, replay, type, body)
select id, %(ce_id)s, %(replay)s, %(type)s, %(body)s from worker.endpoint
where types = '{}' or types && %(names)s::text[]
on conflict (endpoint, ce_id, replay) do nothing
"""


def fan_out(connection: Connection, messages: Sequence[Received]) -> None:
    """Queue events, in their order, for all who subscribed to them.

    Raises:
        Reject: one of them is no business event that this release knows.
    """
    rows = [_row(message) for message in messages]
    with connection.cursor() as cursor:
        cursor.executemany(FAN_OUT, rows)


def _row(message: Received) -> dict[str, Any]:
    read(message, Message, KAFKA_TOPICS.BUSINESS_EVENTS)
    type_ = message.type or ""
    # What the producer wrote and not what our model knows of it: a subscriber may know more.
    document = {"type": type_, "timestamp": message.time.isoformat(), "data": json.loads(message.value or b"")}
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    names = [type_, type_.rpartition(".v")[0]]
    return {"ce_id": message.id, "replay": message.replay, "type": type_, "body": body, "names": names}


def worker() -> Worker:
    """Make the worker, without its deliverer."""
    return Worker("integrations", (KAFKA_TOPICS.BUSINESS_EVENTS.value,), handle_many=fan_out, ordered=True)


def start(environ: Mapping[str, str]) -> tuple[Worker, Sequence[Any]]:
    """Make the worker, with its deliverer beside it, as the environment says."""
    return worker(), (partial(delivering, webhooks=WebhookSettings.load(environ)),)
