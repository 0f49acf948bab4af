"""The schema `realtime`: its migrations, which are beside this file. It is made beside an outbox only."""

from pathlib import Path

from app_integration.migrations import Migrations

MIGRATIONS = Migrations(
    schema="realtime",
    owner="the real-time side",
    command="python -m app_integration realtime migrate",
    revision="0001",
    folder=Path(__file__).with_name("migrations"),
)

upgrade, downgrade = MIGRATIONS.upgrade, MIGRATIONS.downgrade
