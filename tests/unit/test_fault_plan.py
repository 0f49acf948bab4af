"""A campaign follows from its seed, meets every kind of fault, and lets no two lay hands on the same thing at once."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.kinds import KINDS
from tests.faults.plan import plan

seeds = st.integers(0, 10**6)


@given(seeds, st.integers(1, 80))
def test_a_campaign_has_as_many_faults_as_were_asked_for(seed: int, faults: int) -> None:
    assert sum(len(volley.faults) for volley in plan(seed, faults)) == faults


@given(seeds)
def test_the_same_seed_gives_the_same_campaign(seed: int) -> None:
    assert plan(seed, 60) == plan(seed, 60)


@given(seeds)
def test_sixty_faults_meet_every_kind(seed: int) -> None:
    met = {name for volley in plan(seed, 60) for name, _ in volley.faults}
    assert met == {kind.name for kind in KINDS}


@given(seeds)
def test_faults_at_once_have_nothing_in_common(seed: int) -> None:
    for volley in plan(seed, 60):
        hands = Counter(subject for _, fault in volley.faults for subject in fault.subjects)
        assert all(count == 1 for count in hands.values())


@given(seeds)
def test_some_faults_strike_alone_and_some_at_once(seed: int) -> None:
    sizes = {len(volley.faults) for volley in plan(seed, 60)}
    assert min(sizes) == 1
    assert max(sizes) > 1


def test_kinds_have_names_of_their_own() -> None:
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names))
