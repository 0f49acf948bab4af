"""How Alembic runs the migrations of the schema `worker`; the rest is in `app_integration.migrations`."""

from app_integration.migrations import run

run("worker")
