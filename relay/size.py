"""How many bytes a message takes in Kafka at most, as SQL: one text for all statements that read messages. A leaf."""

from typing import LiteralString

SIZE: LiteralString = """coalesce(octet_length(m.payload), 0) + coalesce(octet_length(m.key), 0)
           + octet_length(coalesce(m.type, m.topic)) + coalesce(octet_length(m.content_type), 0)
           + coalesce(octet_length(m.headers::text), 0) + 280"""
"""Of the row `m`. 280 bytes are more than what a message costs in Kafka beside its own texts: the framing of its record
and the names and fixed values of the CloudEvents headers, with a source of at most 100."""
