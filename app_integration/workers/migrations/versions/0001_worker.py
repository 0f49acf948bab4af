"""The workers' tables: inbox and held messages, notifications, rollups, the audit log, webhooks; and who may what."""

from pathlib import Path

from alembic import op

from app_integration.migrations import execute

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).with_suffix("")

PARTS = ("inbox", "notification", "analytics", "audit", "webhook", "rights")
"""The scripts that make them, in this order."""


def upgrade() -> None:
    for part in PARTS:
        execute(op, HERE / f"{part}.sql")


def downgrade() -> None:
    execute(op, HERE / "down.sql")
