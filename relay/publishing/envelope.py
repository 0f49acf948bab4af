"""What travels beside a message: CloudEvents 1.0 headers in Kafka's binary mode. Pure.

The names and their meaning are those of the CloudEvents Kafka protocol binding, section 3.2 (binary content mode):
attributes as headers `ce_…`, the media type as `content-type`, the payload untouched as the value.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from relay.message import Row

Headers = list[tuple[str, str | bytes | None]]

Envelope = Callable[[Row], Headers]
"""Makes the headers of a message."""


def envelope(form: Literal["cloudevents", "id"], source: str) -> Envelope:
    """Choose how messages are described.

    Args:
        form: "cloudevents" for the whole description, "id" for `ce_id` alone (headers cost as much as the message).
        source: the `ce_source` of every message, a URI reference.
    """
    return _identity if form == "id" else _cloudevents(source)


def _identity(row: Row) -> Headers:
    headers: Headers = [("ce_id", row[2])]
    if row[8] is not None:
        headers += json.loads(row[8]).items()
    return headers


def _cloudevents(source: str) -> Envelope:
    @lru_cache(maxsize=1024)
    def constant(topic: str, type_: str | None, content_type: str | None) -> Headers:
        headers: Headers = [
            ("ce_specversion", b"1.0"),
            ("ce_source", source.encode()),
            # `type` is required by CloudEvents, section 3.1.1; a message without one is a thing of its topic.
            ("ce_type", (type_ or topic).encode()),
        ]
        if content_type is not None:
            headers.append(("content-type", content_type.encode()))
        return headers

    def headers_of(row: Row) -> Headers:
        _, _, id_, topic, _, type_, _, content_type, own, created_at, _, _ = row
        headers = [*constant(topic, type_, content_type), ("ce_id", id_), ("ce_time", created_at[1:-1])]
        if own is not None:
            headers += json.loads(own).items()
        return headers

    return headers_of
