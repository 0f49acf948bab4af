"""What a rebase says before it does anything."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from relay.errors import UserMistake
from relay.restoring.rebase_plan import Marks, Plan, Reason

HERE = Marks(
    here=2,
    recorded=frozenset({2}),
    missing=frozenset(),
    number=100,
    drawn=90,
    newest=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
MOVED = replace(HERE, recorded=frozenset({1}))


def plan(marks: Marks, unsent: dict[Reason, int] | None = None, *, hidden: int = 0) -> Plan:
    return Plan(marks, unsent or {}, sent=1_000, hidden=hidden, held=3)


def said(found: Plan) -> str:
    return "\n".join(found.explain())


def test_positions_of_this_cluster_and_its_sequence_need_no_rebase() -> None:
    with pytest.raises(UserMistake, match="nothing to rebase"):
        plan(HERE, {Reason.UNCOVERED: 5}).demand()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (plan(MOVED), "belong to the cluster 1, this is 2"),
        (plan(replace(HERE, missing=frozenset({7, 3}))), "how far shard 3, 7 is"),
        (plan(replace(HERE, number=80)), "stands at 80, but numbers up to 90 were drawn"),
        (plan(HERE, hidden=1), "was restarted"),
    ],
)
def test_whatever_makes_positions_meaningless_is_named(found: Plan, words: str) -> None:
    found.demand()
    assert words in said(found)


def test_each_reason_is_counted_and_says_what_may_be_repeated() -> None:
    back = replace(MOVED, number=40)
    words = said(plan(back, dict.fromkeys(Reason, 1_234)))
    assert "4,936 messages count as unsent" in words
    assert "1,234 that the recorded positions do not cover" in words
    assert "1,234 with numbers above 90: written in this cluster" in words
    assert "1,234 created after the newest checkpoint (2026-01-02 03:04:05 UTC)" in words
    assert "1,234 with numbers up to 40, where the sequence began anew" in words
    assert "arrive twice" in words
    assert "arrive twice" not in said(plan(MOVED, {Reason.UNCOVERED: 1, Reason.ABOVE: 1}))


def test_order_is_told_by_numbers_unless_some_were_drawn_twice() -> None:
    assert not plan(MOVED, {Reason.UNCOVERED: 1, Reason.ABOVE: 1}).used_again
    assert plan(MOVED, {Reason.SINCE: 1}).used_again
    assert plan(replace(MOVED, number=40)).used_again
    assert plan(HERE, hidden=1).used_again


def test_only_beside_another_clusters_messages_can_a_number_hide_who_drew_it() -> None:
    assert replace(MOVED, number=40).again == 40
    assert replace(HERE, number=40).again == 0
    assert MOVED.again == 0
