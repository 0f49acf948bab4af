"""Delivers business events to subscribers' endpoints, as Standard Webhooks has it."""
