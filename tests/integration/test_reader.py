"""A page is bounded, ordered, and read by walking indexes, whatever stands in the table."""

from collections.abc import Iterator

import psycopg
import pytest

from relay.connection import connect
from relay.message import Horizon, Page, Position
from relay.reading.reader import Reader, has_late

START = Position(Horizon("1:1:", 0))
Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    with connect(database, "test") as connection:
        yield connection


def fill(database: str, count: int, size: int = 10) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into outbox.message (topic, key, payload) "
            "select 't', (n %% 100)::text, convert_to(repeat('x', %s), 'UTF8') from generate_series(1, %s) n",
            (size, count),
        )


def drain(reader: Reader, positions: dict[int, Position]) -> Iterator[Page]:
    while True:
        page = reader.read(positions, 0)
        yield page
        positions |= page.after
        if page.exhausted:
            return


@pytest.mark.parametrize(("rows", "size"), [(1, 1 << 20), (7, 1 << 20), (1_000, 2_000), (10_000, 1 << 30)])
def test_pages_of_any_size_together_have_every_message_once(
    database: str, session: Connection, rows: int, size: int
) -> None:
    fill(database, 500)
    pages = list(drain(Reader(session, rows=rows, size=size), dict.fromkeys(range(16), START)))
    seqs = [row[1] for page in pages for run in page.rows.values() for row in run]
    assert sorted(seqs) == list(range(1, 501))
    assert all(page.count <= max(rows, 16) for page in pages)


def test_a_page_ends_with_the_message_that_crosses_its_bytes(database: str, session: Connection) -> None:
    fill(database, 40, size=100_000)
    pages = list(drain(Reader(session, rows=10_000, size=250_000), dict.fromkeys(range(16), START)))
    assert max(page.count for page in pages) == 3
    assert sum(page.count for page in pages) == 40


def test_a_deep_backlog_of_one_shard_starves_no_other(database: str, session: Connection) -> None:
    fill(database, 2_000)
    reader = Reader(session, rows=32, size=1 << 20)
    positions = dict.fromkeys(range(16), START)
    seen: set[int] = set()
    for page, _ in zip(drain(reader, positions), range(20), strict=False):
        seen |= page.rows.keys()
    assert len(seen) == 16


@pytest.mark.parametrize(("seen", "sorts"), [("1:1:", 0), ("3:4:3", 1)])
def test_a_read_walks_the_indexes_and_sorts_nothing_but_late_rows(
    database: str, session: Connection, seen: str, sorts: int
) -> None:
    """Neither a sequential scan nor a sort of what is new: their cost would grow with the history."""
    fill(database, 20_000)
    plans: list[str] = []
    session.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
    session.execute("load 'auto_explain'")
    for name, value in (("log_min_duration", "0"), ("log_analyze", "on")):
        session.execute(f"set auto_explain.{name} = {value}".encode())
    session.execute("set client_min_messages = log")
    reader = Reader(session, rows=1_000, size=1 << 30)
    reader.read(dict.fromkeys(range(16), Position(Horizon(seen, 0))), 0)
    (plan,) = [text for text in plans if "read_page" in text]
    assert "Seq Scan" not in plan
    assert "Bitmap" not in plan
    assert plan.count("Sort  (") == sorts
    assert "Index Scan using message_0_pkey" in plan
    assert "Rows Removed by Filter" not in plan


@pytest.mark.parametrize(("snapshot", "late"), [("3:9:", False), ("3:9:4", True), ("3:9:4,7", True)])
def test_the_short_statement_is_for_snapshots_that_saw_nothing_in_progress(snapshot: str, *, late: bool) -> None:
    assert has_late(Position(Horizon(snapshot, 0))) is late
