"""The transactional outbox relay: committed PostgreSQL rows reach Kafka, at least once and in order per key."""

__version__ = "0.1.0"
