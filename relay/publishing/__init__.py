"""From a page of messages to Kafka's word on each: routing, envelope, producers, and what their errors mean.

Law: nothing here talks to PostgreSQL. What is reported as published was acknowledged by all in-sync replicas, in the
order of its key.
"""
