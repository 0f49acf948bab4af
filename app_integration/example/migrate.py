"""The schema `edu_matrix`: its migrations, which are beside this file, as an application has them."""

from pathlib import Path

from app_integration.migrations import Migrations

MIGRATIONS = Migrations(
    schema="edu_matrix",
    owner="Edu Matrix",
    command="python -m app_integration example migrate",
    revision="0001",
    folder=Path(__file__).with_name("migrations"),
)

upgrade, downgrade = MIGRATIONS.upgrade, MIGRATIONS.downgrade
