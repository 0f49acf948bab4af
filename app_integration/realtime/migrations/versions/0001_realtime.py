"""What real time keeps: membership, chats and feeds, who is where, calls; and the functions of applications."""

from pathlib import Path

from alembic import op

from app_integration.migrations import execute
from relay.errors import SchemaError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).with_suffix("")

OUTBOX = """
-- outbox_is_there
select to_regclass('outbox.message') is not null
"""


def upgrade() -> None:
    """Make it, where there is an outbox to tell its events by."""
    if not op.get_bind().exec_driver_sql(OUTBOX).scalar():
        raise SchemaError("this database has no outbox, which real time tells its events by; run `relay migrate` first")
    execute(op, HERE / "up.sql")


def downgrade() -> None:
    """Take it away, with all that is in it."""
    execute(op, HERE / "down.sql")
