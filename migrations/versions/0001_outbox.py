"""The outbox: messages, checkpoints, held ones, retention, states, the doorbell, enqueueing, operators, upgrades."""

from pathlib import Path

from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HERE = Path(__file__).with_suffix("")

PARTS = (
    "message",
    "checkpoint",
    "held",
    "retention",
    "state",
    "doorbell",
    "enqueue",
    "choice",
    "erase",
    "operate",
    "flow",
    "show",
    "upgrade",
)
"""The scripts that make it, in this order."""


def upgrade() -> None:
    for part in PARTS:
        script = (HERE / f"{part}.sql").read_text(encoding="utf-8")
        run(script.replace("{shards}", str(context.config.attributes["shards"])))


def downgrade() -> None:
    run((HERE / "down.sql").read_text(encoding="utf-8"))


def run(script: str) -> None:
    """Execute a script as it stands, or print it in offline mode: no colon or percent sign is a parameter."""
    if context.is_offline_mode():
        op.get_context().impl.static_output(script)
    else:
        op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
