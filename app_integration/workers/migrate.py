"""The schema `worker`: its migrations, which are beside this file."""

from pathlib import Path

from app_integration.migrations import Migrations

MIGRATIONS = Migrations(
    schema="worker",
    owner="the workers",
    command="python -m app_integration worker migrate",
    revision="0001",
    folder=Path(__file__).with_name("migrations"),
)

upgrade, downgrade, demand = MIGRATIONS.upgrade, MIGRATIONS.downgrade, MIGRATIONS.demand
