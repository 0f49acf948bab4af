"""Every promise of the outbox, tried on real PostgreSQL and real Kafka; `conftest` and `services` give those.

`unit` needs no server; `integration` has servers that behave; in `faults` they are killed and stopped.
"""
