"""What a revision means, what an application may import, and which names autogenerate is kept away from."""

import subprocess
import sys

import pytest

from relay.errors import SchemaError
from relay.revision import State, judge
from relay.schema import REVISION, leave_outbox_alone, message

LOADED = "import sys, relay.schema; print(*sorted(sys.modules))"


@pytest.mark.parametrize(
    ("current", "tables", "state"),
    [
        (None, False, State.MISSING),
        (None, True, State.UNRECORDED),
        ("0001", True, State.TOO_OLD),
        ("0002", True, State.CURRENT),
        ("0003", True, State.TOO_NEW),
    ],
)
def test_recorded_revision_is_judged(current: str | None, state: State, *, tables: bool) -> None:
    assert judge(current, tables=tables, known=("0001", "0002")).state is state


@pytest.mark.parametrize(
    ("oldest", "state"),
    [("0001", State.AHEAD), ("0002", State.AHEAD), ("0003", State.TOO_NEW), ("", State.TOO_NEW), (None, State.TOO_NEW)],
)
def test_newer_schema_says_itself_which_relays_may_run_on_it(oldest: str | None, state: State) -> None:
    found = judge("0003", tables=True, oldest_relay=oldest, known=("0001", "0002"))
    assert found.state is state
    with pytest.raises(SchemaError, match="newer than this relay knows"):
        found.demand_current()
    if state is State.AHEAD:
        found.demand()


def test_what_a_schema_says_of_older_relays_does_not_matter_to_one_that_knows_it() -> None:
    assert judge("0001", tables=True, oldest_relay="0009", known=("0001", "0002")).state is State.TOO_OLD
    assert judge("0002", tables=True, oldest_relay="0009", known=("0001", "0002")).state is State.CURRENT


def test_current_schema_needs_no_mend() -> None:
    found = judge(REVISION, tables=True)
    found.demand()
    assert found.mend is None


@pytest.mark.parametrize(
    ("current", "words"),
    [
        (None, "there is no outbox schema; make it with: relay migrate"),
        ("0001", "at revision 0001, this relay needs 0002; run: relay migrate"),
        ("0003", "at revision 0003, newer than this relay knows (0002); install the release"),
    ],
)
def test_unfit_schema_is_refused_with_its_mend(current: str | None, words: str) -> None:
    found = judge(current, tables=current is not None, known=("0001", "0002"))
    with pytest.raises(SchemaError) as refusal:
        found.demand()
    assert words in str(refusal.value)


def test_application_side_needs_no_driver_and_no_kafka() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "sqlalchemy" in loaded
    assert not loaded & {"psycopg", "alembic", "confluent_kafka", "typer", "rich", "pydantic"}


def test_transaction_id_stands_before_the_number() -> None:
    assert [column.name for column in message.columns][:2] == ["xid", "seq"]


@pytest.mark.parametrize(
    ("name", "kind", "seen"),
    [
        ("outbox", "schema", False),
        (None, "schema", True),
        ("shop", "schema", True),
        ("outbox", "table", True),
        ("message", "table", True),
    ],
)
def test_only_the_schema_outbox_is_left_alone(name: str | None, kind: str, *, seen: bool) -> None:
    assert leave_outbox_alone(name, kind, {}) is seen
