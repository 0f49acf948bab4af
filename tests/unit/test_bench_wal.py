from relay.bench import wal
from relay.bench.figure import Verdict


def load(size: float, *, reached: float = 200, undisturbed: bool = True) -> wal.Load:
    return wal.Load(size, reached, undisturbed)


def test_what_the_insert_writes_by_itself_is_not_the_relays() -> None:
    figure = wal._beyond([load(860), load(850), load(900)], [load(800), load(800), load(790)], 200, 100.0, "")
    assert (figure.value, figure.reference) == (60, 800)
    assert list(figure.runs) == [60, 50, 110]
    assert figure.verdict is Verdict.MET
    assert not figure.note


def test_the_goal_is_on_the_bytes() -> None:
    assert wal._beyond([load(901)], [load(800)], 200, 100.0, "").verdict is Verdict.MISSED


def test_a_rate_that_was_not_reached_is_told() -> None:
    figure = wal._beyond([load(860, reached=120)], [load(800)], 200, 100.0, "")
    assert figure.note == "only 120 messages/s were reached"


def test_a_rate_that_was_nearly_reached_is_not() -> None:
    assert not wal._beyond([load(860, reached=199)], [load(800)], 200, 100.0, "").note


def test_a_checkpoint_of_postgresql_and_other_writers_are_told() -> None:
    figure = wal._beyond(
        [load(860)], [load(800, undisturbed=False)], 200, 100.0, "others write 5,000 B/s to this server"
    )
    assert figure.note.startswith("others write 5,000 B/s to this server; PostgreSQL made a checkpoint")
