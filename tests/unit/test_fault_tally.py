"""The counts of a campaign: every message in the right step, and every broken promise seen."""

import json
from dataclasses import replace

from relay.judge import Seen
from tests.faults import page
from tests.faults.ledger import Entry
from tests.faults.report import markdown, summary, table
from tests.faults.result import Result, Step, rows_of
from tests.faults.tally import Counts, Mark, tally

MARKS = [Mark(0, 0.0), Mark(3, 100.0)]


def entry(number: int, key: str | None = "locked-1", created_at: float = 50.0, **more: float) -> Entry:
    return Entry(f"m{number}", "orders", key, number, 1, more.get("deliver_after"), created_at)


def came(*ids: str, age: float | None = None) -> list[Seen]:
    return [Seen(id_, "orders", "locked-1", 0, offset, None, age) for offset, id_ in enumerate(ids)]


def counted(entries: list[Entry], seen: list[Seen], excused: tuple[str, ...] = ()) -> list[Counts]:
    return tally(entries, seen, MARKS, excused)


def test_a_lost_message_is_counted_where_it_was_written() -> None:
    first, second = counted([entry(1), entry(2, created_at=150.0)], came("m1"))
    assert first == Counts(committed=1, published=1)
    assert second == Counts(committed=1, lost=1)
    assert second.broken == {"lost": 1}


def test_a_repeat_is_counted_where_it_came() -> None:
    first, second = counted([entry(1), entry(2), entry(3)], came("m1", "m2", "m3", "m1", "m3"))
    assert first == Counts(committed=3, published=3)
    assert second == Counts(duplicates=2, stale=1)
    assert not second.broken


def test_what_an_operator_published_anew_is_no_repeat_and_has_no_order() -> None:
    again = came("m1")[0]._replace(replay=True)
    first, second = counted([entry(1), entry(2), entry(3)], [*came("m1", "m2", "m3"), again])
    assert first == Counts(committed=3, published=3)
    assert second == Counts(anew=1)
    phantom, _ = counted([], [again])
    assert phantom.broken == {"phantom": 1}


def test_a_message_behind_a_newer_one_of_its_key_breaks_a_promise() -> None:
    first, _ = counted([entry(1), entry(2)], came("m2", "m1"))
    assert first.broken == {"out_of_order": 1}


def test_writers_without_an_order_and_scheduled_messages_have_none_to_break() -> None:
    free = [entry(1, "free-1"), entry(2, "free-1")]
    scheduled = [entry(1, deliver_after=51.0), entry(2)]
    for entries in (free, scheduled):
        first, _ = counted(entries, came("m2", "m1", age=2.0))
        assert not first.broken


def test_a_message_that_nobody_committed_breaks_a_promise_once() -> None:
    first, _ = counted([], came("x", "x"))
    assert first.broken == {"phantom": 1}


def test_a_scheduled_message_before_its_time_breaks_a_promise() -> None:
    first, _ = counted([entry(1, deliver_after=60.0)], came("m1", age=9.9))
    assert first.broken == {"early": 1}
    first, _ = counted([entry(1, deliver_after=60.0)], came("m1", age=10.1))
    assert not first.broken


def test_a_message_that_kafka_refuses_is_withheld_and_not_lost() -> None:
    first, _ = counted([entry(1), entry(2)], came("m2"), excused=("m1",))
    assert first == Counts(committed=2, published=1, withheld=1)


def result(calm: Counts, struck: Counts, troubles: tuple[str, ...] = ()) -> Result:
    steps = [Step("no fault", "no fault", 0, 0.1, calm), Step("relay killed", "relay killed (one)", 1, 1.5, struck)]
    return Result(7, steps, troubles, 100, 12.0, "abc")


def test_a_campaign_is_broken_by_a_promise_by_a_repeat_without_a_fault_and_by_the_need_of_a_person() -> None:
    assert not result(Counts(published=1), Counts(duplicates=3, stale=1)).broken
    assert result(Counts(duplicates=1), Counts()).broken == {"repeated without a fault": 1}
    assert result(Counts(), Counts(lost=2)).broken == {"lost": 2}
    assert result(Counts(), Counts(duplicates=101)).broken == {"repeated beyond the window": ["relay killed (one)"]}
    assert result(Counts(), Counts(), ("nobody is at work",)).broken == {"needed a person": ["nobody is at work"]}


def test_the_table_has_a_line_for_each_kind_and_one_for_all() -> None:
    found = result(Counts(committed=1000, published=1000), Counts(committed=1, published=1, duplicates=3))
    shown = table(rows_of(found.steps)).splitlines()
    assert [line.split("  ")[0] for line in shown] == ["fault", "no fault", "relay killed", "all"]
    assert shown[-1].split()[1:4] == ["1", "1,001", "1,001"]
    assert (
        markdown(rows_of(found.steps)).splitlines()[-1]
        == "| all | 1 | 1,001 | 1,001 | 0 | 0 | 0 | 0 | 3 | 0 | 3 | 0 | 0.8 | 1.5 |"
    )


def test_a_broken_campaign_says_how_to_play_it_again() -> None:
    said = summary(result(Counts(), Counts(lost=2)))
    assert "BROKEN: lost: 2" in said
    assert "python -m tests.faults --faults 1 --seed 7" in said
    assert "BROKEN" not in summary(result(Counts(), Counts()))


def test_what_a_campaign_found_survives_being_stored() -> None:
    found = result(Counts(committed=3, published=2, lost=1), Counts(duplicates=3), ("nobody is at work",))
    assert Result.from_json(json.loads(json.dumps(found.as_json()))) == replace(found, troubles=["nobody is at work"])


def test_a_long_run_is_shown_with_its_seeds_and_its_verdict() -> None:
    whole, broken = result(Counts(committed=3, published=3), Counts()), result(Counts(), Counts(lost=1))
    shown = page.text(page.stored([whole], {"cores": "2"}, "make faults N=1"))
    assert "`make faults N=1`: 1 faults in 1 campaigns" in shown
    assert "**every promise held**" in shown
    assert "broken: seeds 7" in page.text(page.stored([whole, broken], {}, "make faults N=2"))
    assert page.renewed(f"a{page.BEGIN}old{page.END}b", page.stored([whole], {}, "x")).startswith(
        f"a{page.BEGIN}\n\n`x`"
    )
