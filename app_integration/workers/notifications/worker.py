"""The worker `notification`: one commit stores what a user is told and enqueues it for the real-time side.

So a user who is there sees it at once, and one who comes later finds it; neither happens without the other. The record
is made where real-time servers have theirs from (`app_integration.realtime.records`).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from app_integration import NewMessage, enqueue_many
from app_integration.contracts import KAFKA_TOPICS, Notification
from app_integration.realtime.names import USER
from app_integration.realtime.records import notification
from app_integration.workers.contract import read
from app_integration.workers.received import Received
from app_integration.workers.worker import Connection, Worker

STORE = """
-- store_notification: told once more on purpose, it is unread again
insert into worker.notification (id, user_id, type, title, message, created_at)
values (%(id)s, %(user_id)s, %(type)s, %(title)s, %(message)s, %(created_at)s)
on conflict (id) do update set read_at = null
"""


def store(connection: Connection, messages: Sequence[Received]) -> None:
    """Store notifications and have them pushed.

    Raises:
        Reject: one of them is none.
    """
    read_ones = [(message, read(message, Notification, KAFKA_TOPICS.NOTIFICATION_QUEUE)) for message in messages]
    with connection.cursor() as cursor:
        cursor.executemany(STORE, [_row(message, told) for message, told in read_ones])
    # Who has no name that the real-time side takes cannot be connected there, and finds it when they come.
    present = [(message, told) for message, told in read_ones if USER.fullmatch(told.user_id)]
    enqueue_many(connection, [_push(message, told) for message, told in present])


def _row(message: Received, told: Notification) -> dict[str, Any]:
    return {
        "id": message.id,
        "user_id": told.user_id,
        "type": told.type,
        "title": told.title,
        "message": told.message,
        "created_at": message.time,
    }


def _push(message: Received, told: Notification) -> NewMessage:
    """Make the record that real-time servers show the user, in each of their tabs."""
    body = {
        "id": message.id,
        "type": told.type,
        "title": told.title,
        "message": told.message,
        "createdAt": message.time,
    }
    # The same identity for a repeat, so that whoever shows it can tell.
    return notification(told.user_id, body, id=uuid5(NAMESPACE_OID, f"notification {message.id} {message.replay}"))


def start(_environ: Mapping[str, str]) -> tuple[Worker, Sequence[Any]]:
    """Make the worker; it has no settings of its own."""
    return Worker("notification", (KAFKA_TOPICS.NOTIFICATION_QUEUE.value,), handle_many=store), ()
