"""Which standbys must have flushed a message before a failover cannot undo it."""

import pytest

from relay.restoring.standbys import Standby, lacking


def standby(name: str, role: str = "async", *, flushed: bool = True, physical: bool = True) -> Standby:
    return Standby(name, role, flushed, physical)


def test_without_names_every_standby_that_streams_must_have_flushed() -> None:
    assert lacking("", [standby("a"), standby("b")]) is None
    assert lacking("", [standby("a"), standby("b", flushed=False)]) == "behind is b, of 2 that stream"


def test_without_any_standby_nothing_is_replicated() -> None:
    assert lacking("", []) == "none streams"
    assert lacking(" ", [standby("subscriber", physical=False)]) == "none streams"


def test_subscriber_of_logical_replication_is_no_standby() -> None:
    assert lacking("", [standby("a"), standby("subscriber", flushed=False, physical=False)]) is None


@pytest.mark.parametrize("names", ["FIRST 2 (a, b, c)", "first 2(a,b,c)", "2 (a, b, c)"])
def test_of_priorities_the_first_so_many_must_have_flushed(names: str) -> None:
    third = standby("c", "potential", flushed=False)
    assert lacking(names, [standby("a", "sync"), standby("b", "sync"), third]) is None
    found = lacking(names, [standby("a", "sync"), standby("b", "sync", flushed=False), standby("c", "potential")])
    assert found == "synchronous_standby_names asks for 2, behind is b, of 2 that stream"


@pytest.mark.parametrize("names", ["ANY 2 (*)", "any 2 (a, b, c)"])
def test_of_a_quorum_any_so_many_must_have_flushed(names: str) -> None:
    late = standby("b", "quorum", flushed=False)
    assert lacking(names, [standby("a", "quorum"), late, standby("c", "quorum")]) is None
    assert lacking(names, [standby("a", "quorum"), late]) is not None


@pytest.mark.parametrize("names", ["a", "a, b", '"a"', "*"])
def test_of_a_list_of_names_the_first_that_streams_must_have_flushed(names: str) -> None:
    assert lacking(names, [standby("a", "sync"), standby("b", "potential", flushed=False)]) is None
    assert lacking(names, [standby("a", "sync", flushed=False), standby("b", "potential")]) is not None


def test_names_without_a_standby_that_has_one_are_waited_for() -> None:
    assert lacking("a", [standby("z")]) == "synchronous_standby_names asks for 1, none streams"
