"""${message}."""

from pathlib import Path

from alembic import context, op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

HERE = Path(__file__).parent


def upgrade() -> None:
    ${upgrades if upgrades else 'run((HERE / "%s_name.sql").read_text(encoding="utf-8"))' % up_revision}


def downgrade() -> None:
    ${downgrades if downgrades else 'run((HERE / "%s_name_down.sql").read_text(encoding="utf-8"))' % up_revision}


def run(script: str) -> None:
    """Execute a script as it stands, or print it in offline mode: no colon or percent sign is a parameter."""
    if context.is_offline_mode():
        op.get_context().impl.static_output(script)
    else:
        op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
