"""What the relay does while Kafka has trouble."""

from relay.holding.trouble import LONGEST_PAUSE, MANY, Setbacks


def test_an_outage_sends_less_at_a_time_down_to_one_message_and_never_gives_up() -> None:
    setbacks, longest, pauses = Setbacks(), 625, []
    for _ in range(2_000):
        pauses.append(setbacks.suffered(longest))
        longest = setbacks.rows or longest
    assert longest == 1
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_after_an_outage_pages_grow_to_their_full_size() -> None:
    setbacks = Setbacks()
    setbacks.suffered(4)
    assert setbacks.rows == 1
    sizes: list[int | None] = []
    for _ in range(8):
        setbacks.overcome()
        sizes.append(setbacks.rows)
    assert sizes == [4, 16, 64, 256, 1024, None, None, None]
    assert sizes[4] == MANY + 24
