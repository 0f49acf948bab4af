"""The application's tables, some courses, and the sandbox of the payment provider."""

from pathlib import Path

from alembic import op

from app_integration.migrations import execute

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).with_suffix("")


def upgrade() -> None:
    """Make them."""
    execute(op, HERE / "up.sql")


def downgrade() -> None:
    """Take them away, with all that is in them."""
    execute(op, HERE / "down.sql")
