"""How shards are shared out."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from relay.leasing.lease import Change, decide, fair_share

members = st.sets(st.integers(1, 10_000), min_size=1, max_size=40)
shard_counts = st.integers(1, 64)


@given(members, shard_counts)
def test_shares_add_up_and_differ_by_one_at_most(pids: set[int], shards: int) -> None:
    shares = [fair_share(pid, pids, shards) for pid in pids]
    assert sum(shares) == shards
    assert max(shares) - min(shares) <= 1


@given(members, shard_counts, st.randoms())
def test_repeated_decisions_share_out_every_shard(pids: set[int], shards: int, random: Random) -> None:
    """From any state, with members acting one after another, everybody ends with a fair share and nothing is free."""
    holders = {shard: random.choice(sorted(pids)) for shard in range(shards) if random.random() < 0.7}
    for _ in range(2):
        for pid in sorted(pids):
            change = decide(pid, pids, holders, shards)
            assert not (change.take and change.give_up)
            for shard in change.give_up:
                assert holders.pop(shard) == pid
            for shard in change.take:
                assert shard not in holders
                holders[shard] = pid
    assert set(holders) == set(range(shards))
    for pid in pids:
        assert list(holders.values()).count(pid) == fair_share(pid, pids, shards)
        assert decide(pid, pids, holders, shards) == Change()


def test_shards_of_a_relay_that_is_gone_are_taken() -> None:
    assert decide(7, {7}, {0: 7}, 3) == Change(take=frozenset({1, 2}))


def test_what_exceeds_the_share_is_given_up_when_another_joins() -> None:
    change = decide(7, {7, 9}, dict.fromkeys(range(4), 7), 4)
    assert change == Change(give_up=frozenset({2, 3}))
