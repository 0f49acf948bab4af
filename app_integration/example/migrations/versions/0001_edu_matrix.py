"""The application's tables, some courses, and the sandbox of the payment provider."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).with_suffix("")


def upgrade() -> None:
    """Make them."""
    _run("up.sql")


def downgrade() -> None:
    """Take them away, with all that is in them."""
    _run("down.sql")


def _run(name: str) -> None:
    script = (HERE / name).read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
