"""A chain of audit entries shows every change that was made to it."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app_integration.workers.audit.chain import Broken, Entry, append, canonical, root, verify

DOCUMENTS = st.lists(
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers(), st.none()), max_size=3),
    min_size=2,
    max_size=6,
)


def chained(documents: list[dict[str, object]], name: str = "main") -> list[Entry]:
    entries: list[Entry] = []
    before = root(name)
    for number, document in enumerate(documents, 1):
        entries.append(append(name, number, before, document))
        before = entries[-1].hash
    return entries


def judged(entries: list[Entry], name: str = "main") -> Broken | Entry:
    (found,) = verify(name, entries)
    return found


@given(DOCUMENTS)
def test_what_nobody_touched_holds_to_its_last_entry(documents: list[dict[str, object]]) -> None:
    entries = chained(documents)
    assert judged(entries) == entries[-1]


@given(DOCUMENTS, st.data())
def test_a_changed_entry_is_named_first_also_with_a_hash_of_its_own(
    documents: list[dict[str, object]], data: st.DataObject
) -> None:
    entries = chained(documents)
    at = data.draw(st.integers(0, len(entries) - 1))
    forged = replace(entries[at], text=entries[at].text.replace("{", '{"forged":1,', 1))
    found = judged([*entries[:at], forged, *entries[at + 1 :]])
    assert isinstance(found, Broken)
    assert found.number == at + 1
    if at < len(entries) - 1:
        before = entries[at - 1].hash if at else root("main")
        rehashed = replace(forged, hash=hashlib.sha256(before + forged.text.encode()).digest())
        found = judged([*entries[:at], rehashed, *entries[at + 1 :]])
        assert isinstance(found, Broken)
        assert found.number == at + 2


@given(DOCUMENTS, st.data())
def test_an_entry_that_was_taken_out_is_missed(documents: list[dict[str, object]], data: st.DataObject) -> None:
    entries = chained(documents)
    at = data.draw(st.integers(0, len(entries) - 2))
    found = judged([*entries[:at], *entries[at + 1 :]])
    assert isinstance(found, Broken)
    assert (found.number, "missing" in found.why) == (at + 1, True)


@given(DOCUMENTS)
def test_a_chain_under_another_name_does_not_hold(documents: list[dict[str, object]]) -> None:
    found = judged([replace(entry, chain="other") for entry in chained(documents)], "other")
    assert isinstance(found, Broken)
    assert found.number == 1


def test_an_entry_at_another_number_does_not_hold_even_if_all_was_hashed_anew() -> None:
    text = canonical({"chain": "main", "number": 2})
    found = judged([Entry("main", 1, text, hashlib.sha256(root("main") + text.encode()).digest())])
    assert found == Broken("main", 1, "it was written as number 2 of chain 'main'")


def test_the_first_hash_is_what_anybody_can_compute() -> None:
    assert root("main") == hashlib.sha256(b"outbox-relay audit chain 1\x00main").digest()
    (entry,) = chained([{"b": 1, "a": "é"}])
    assert entry.text == '{"a":"é","b":1,"chain":"main","number":1}'
    assert entry.hash == hashlib.sha256(root("main") + entry.text.encode()).digest()


def test_an_empty_chain_has_nothing_to_say() -> None:
    assert list(verify("main", [])) == []
