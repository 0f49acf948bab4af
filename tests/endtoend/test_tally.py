"""The count is as strict as the promise: what is lost, doubled or invented shows, and nothing else is excused."""

from collections import Counter

from tests.endtoend.plan import DATABASE, KAFKA, KILLED, plan
from tests.endtoend.tally import DIED, LOST, Copy, Death, Post, excused_mails, excused_posts, line

SEATS = ["relay one", "relay two", "email worker one", "email worker two", "audit worker", "mail server"]
ADA = ("ada@example.com", "Welcome!")


def copy(name: str = "<1>", by: str = "email one.1", at: float = 0.0, answered: float | None = 0.1) -> Copy:
    return Copy(name, *ADA, by, at, answered)


def test_what_is_lost_doubled_or_invented_is_told_apart() -> None:
    found = line("thing", ["a", "b", "c"], ["a", "a", "a", "c", "d"])
    assert (found.once, found.missing, found.doubled, found.invented) == (1, 1, 2, 1)
    assert set(found.examples) == {"missing: b", "2 too many: a", "invented: d"}
    assert found.broken
    assert not line("thing", ["a"], ["a"]).broken


def test_excuses_cover_as_many_repeats_as_they_count_and_no_more() -> None:
    excuses = {"a": Counter({LOST: 1})}
    assert not line("thing", ["a"], ["a", "a"], excuses).broken
    assert line("thing", ["a"], ["a", "a"], excuses).repeated == {LOST: 1}
    assert line("thing", ["a"], ["a", "a", "a"], excuses).doubled == 1


def test_a_mail_may_come_again_where_its_answer_was_lost_or_its_worker_died_with_it_in_hand() -> None:
    again = copy(by="email two.1", at=5.0)
    assert excused_mails([copy(answered=None), again], []) == {ADA: {LOST: 1}}
    assert excused_mails([copy(), again], [Death("email one.1", 1.0)]) == {ADA: {DIED: 1}}
    assert excused_mails([copy(), again], [Death(None, 0.5)]) == {ADA: {DIED: 1}}


def test_a_mail_may_not_come_again_for_any_other_reason() -> None:
    again, other = copy(by="email two.1", at=5.0), Copy("<2>", "bob@example.com", "Welcome!", "email one.1", 0.5, 0.6)
    assert excused_mails([copy(), again], []) == {}
    assert excused_mails([copy(), again], [Death("email two.1", 6.0), Death("email one.2", 6.0)]) == {}
    # Its worker had gone on to another, so it had committed, or should have.
    assert excused_mails([copy(), other, again], [Death("email one.1", 1.0)]) == {}
    assert excused_mails([copy(), other, again], [Death(None, 1.0)]) == {}
    # Under another name nobody can tell that it is the same mail.
    assert excused_mails([copy(answered=None), copy("<2>", at=5.0)], []) == {}


def test_a_webhook_may_come_again_once_for_a_death_in_between_and_under_its_name() -> None:
    one, other = Post("1", "event", 10.0), Post("1", "event", 20.0)
    assert excused_posts([one, other], [Death("worker", 15.0)]) == {"event": {DIED: 1}}
    assert excused_posts([one, other], [Death("worker", 25.0), Death("worker", 5.0)]) == {}
    assert excused_posts([one, Post("2", "event", 20.0)], [Death("worker", 15.0)]) == {}


def test_everybody_is_killed_before_a_server_that_all_need_and_the_same_seed_kills_the_same() -> None:
    for seed in range(50):
        volleys = plan(seed, 60, SEATS)
        strikes = [strike for volley in volleys for strike in volley]
        assert volleys == plan(seed, 60, SEATS)
        assert len(strikes) == 60
        roles = {
            strike.victim.removesuffix(" one").removesuffix(" two") for strike in strikes[:9] if strike.kind == KILLED
        }
        assert roles == {"relay", "email worker", "audit worker", "mail server"}
        assert {DATABASE, KAFKA} <= {strike.victim for strike in strikes}
        assert all(len({strike.victim for strike in volley}) == len(volley) for volley in volleys)
        assert all(len(volley) == 1 for volley in volleys if volley[-1].victim in (DATABASE, KAFKA))
