"""The judge's verdict: it must hold for everything that is allowed, and fall for everything that is not."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from relay.judge import Seen, Verdict, order, verdict

TOPICS = ("audit-logs", "email-queue")
KEYS = (None, "1", "2")

Expected = Sequence[tuple[str, str, str | None]]

committed_messages = st.lists(st.tuples(st.sampled_from(TOPICS), st.sampled_from(KEYS)), max_size=12).map(
    lambda queues: [(f"m{number}", topic, key) for number, (topic, key) in enumerate(queues)]
)
GONE = frozenset({"r0", "r1"})


def arrived(expected: Expected, ids: list[str]) -> list[Seen]:
    queues = {id_: (topic, key) for id_, topic, key in expected}
    return [
        Seen(id_, *queues.get(id_, ("audit-logs", "1")), partition=0, offset=offset) for offset, id_ in enumerate(ids)
    ]


def judged(expected: Expected, ids: list[str]) -> Verdict:
    return verdict(expected, GONE, arrived(expected, ids))


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[Expected, list[str]]:
    expected = draw(committed_messages)
    known = [id_ for id_, _, _ in expected]
    return expected, draw(st.lists(st.sampled_from([*known, *GONE, "x0", "x1"]), max_size=24))


@given(arrivals())
def test_every_count_is_what_its_definition_says(arrival: tuple[Expected, list[str]]) -> None:
    expected, ids = arrival
    place = {id_: at for at, (id_, _, _) in enumerate(expected)}
    queue = {id_: (topic, key) for id_, topic, key in expected}

    def late(at: int) -> bool:
        mine = ids[at]
        return (
            mine in queue
            and queue[mine][1] is not None
            and any(other in queue and queue[other] == queue[mine] and place[other] > place[mine] for other in ids[:at])
        )

    repeats = [at for at in range(len(ids)) if ids[at] in ids[:at]]
    firsts = [at for at in range(len(ids)) if ids[at] not in ids[:at]]
    assert judged(expected, ids) == Verdict(
        committed=len(expected),
        consumed=len(place.keys() & set(ids)),
        lost=len(place.keys() - set(ids)),
        rolled_back_seen=len(GONE & set(ids)),
        unknown=len({"x0", "x1"} & set(ids)),
        duplicates=sum(ids[at] in place for at in repeats),
        stale=sum(late(at) for at in repeats),
        out_of_order=sum(late(at) for at in firsts),
    )


@given(committed_messages, st.randoms())
def test_any_interleaving_of_the_queues_holds(expected: Expected, dice: object) -> None:
    queues: dict[object, list[str]] = {}
    for id_, topic, key in expected:
        queues.setdefault((topic, key) if key else id_, []).append(id_)
    turns = [name for name, ids in queues.items() for _ in ids]
    dice.shuffle(turns)  # type: ignore[attr-defined]
    found = judged(expected, [queues[turn].pop(0) for turn in turns])
    assert not found.broken
    assert (found.consumed, found.duplicates) == (len(expected), 0)


@given(committed_messages, st.integers(0, 20))
def test_going_back_and_repeating_holds(expected: Expected, back: int) -> None:
    """What a relay that was killed does: it starts again from its last checkpoint."""
    ids = [id_ for id_, _, _ in expected]
    found = judged(expected, ids + ids[-back:] if back else ids)
    assert not found.broken
    assert found.duplicates == min(back, len(ids))


def test_a_missing_message_breaks_the_verdict() -> None:
    expected = [("a", "t", "1"), ("b", "t", "1")]
    assert judged(expected, ["a"]).broken == {"lost": 1}


def test_a_rolled_back_message_that_was_seen_breaks_the_verdict() -> None:
    assert judged([("a", "t", "1")], ["a", "r0", "r0"]).broken == {"rolled_back_seen": 1}


def test_a_message_that_nobody_committed_breaks_the_verdict() -> None:
    assert judged([("a", "t", "1")], ["a", "nobody's"]).broken == {"unknown": 1}


def test_messages_without_an_id_are_told_apart_by_where_they_lie() -> None:
    found = verdict([], (), [Seen(None, "t", "1", 0, 0), Seen(None, "t", "1", 0, 1)])
    assert found.broken == {"unknown": 2}


def test_a_first_occurrence_after_a_newer_one_of_its_key_breaks_the_verdict() -> None:
    expected = [("a", "t", "1"), ("b", "t", "1")]
    assert judged(expected, ["b", "a"]).broken == {"out_of_order": 1}


def test_neither_another_key_nor_another_topic_nor_no_key_has_an_order() -> None:
    expected: Expected = [
        ("a", "t", "1"),
        ("b", "t", "2"),
        ("c", "u", "1"),
        ("d", "t", None),
        ("e", "t", None),
    ]
    assert not judged(expected, ["e", "d", "c", "b", "a"]).broken


def test_a_repeat_after_a_newer_message_is_stale_but_allowed() -> None:
    expected = [("a", "t", "1"), ("b", "t", "1")]
    found = judged(expected, ["a", "a", "b", "a"])
    assert (found.duplicates, found.stale, found.broken) == (2, 1, {})


def test_the_payloads_own_counter_shows_the_order_without_a_database() -> None:
    seen = [Seen(id_, "t", "1", 0, at, n) for at, (id_, n) in enumerate([("a", 1), ("c", 3), ("b", 2), ("a", 1)])]
    found = order(seen)
    assert (found.distinct, found.duplicates, found.stale, found.out_of_order) == (3, 1, 1, 1)


def test_half_a_million_messages_are_judged_at_once() -> None:
    expected: Expected = [(f"{n:032x}", "t", str(n % 1000)) for n in range(500_000)]
    seen = (Seen(id_, topic, key, 0, offset) for offset, (id_, topic, key) in enumerate(expected))
    assert verdict(expected, (), seen).consumed == 500_000
