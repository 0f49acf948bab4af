"""The workers' tables: inbox and held messages, notifications, rollups, the audit log, webhooks; and who may what."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).with_suffix("")

PARTS = ("inbox", "notification", "analytics", "audit", "webhook", "rights")
"""The scripts that make them, in this order."""


def upgrade() -> None:
    for part in PARTS:
        run(part)


def downgrade() -> None:
    run("down")


def run(part: str) -> None:
    """Execute a script as it stands: no colon or percent sign in it is a parameter."""
    script = (HERE / f"{part}.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
