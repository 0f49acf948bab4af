"""The promises while relays, PostgreSQL and Kafka are killed, stopped and cut off."""
