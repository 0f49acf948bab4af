"""Makes releases to come: copies of this one that differ in their version and in a migration more.

The next one only adds to the schema; the one after it takes away what relays of this one still use. As a program, with
the Python of any relay: `python tests/releases.py next after` makes both, in folders to be installed from.
"""

import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

ADDS = "alter table outbox.held add column note text"

TAKES = """
alter table outbox.operator_act rename column client to client_of_old;
create or replace function outbox.oldest_relay() returns text language sql stable return '0002'
"""

MIGRATION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None
def upgrade():
    op.get_bind().exec_driver_sql({script!r})
"""

PACKAGES = ("relay", "app_integration", "migrations")


def release(folder: Path, **scripts: str) -> Path:
    """Copy this release and add migrations to it: `r0002="alter …"`; its version counts them."""
    folder.mkdir(parents=True)
    for name in PACKAGES:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*REPOSITORY.glob("requirements-*.txt"), REPOSITORY / "pyproject.toml", REPOSITORY / "README.md"):
        shutil.copy(file, folder)
    known = ["0001"]
    for name, script in scripts.items():
        revision = name[1:]
        text = MIGRATION.format(revision=revision, before=known[-1], script=script)
        (folder / "migrations" / "versions" / f"{revision}_next.py").write_text(text)
        known.append(revision)
    _replace(folder / "relay" / "revision.py", '("0001",)', repr(tuple(known)))
    for file in (folder / "relay" / "__init__.py", folder / "pyproject.toml"):
        _replace(file, '"0.1.0"', f'"0.{len(known)}.0"')
    return folder


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old} is not in {file}"
    file.write_text(text.replace(old, new, 1))


def main(following: Path, after: Path) -> None:
    """Make both."""
    release(following, r0002=ADDS)
    release(after, r0002=ADDS, r0003=TAKES)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
