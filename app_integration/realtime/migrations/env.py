"""How Alembic runs the migrations of the schema `realtime`; the rest is in `app_integration.migrations`."""

from app_integration.migrations import run

run("realtime")
