"""The verdict in words, and whether it is a good one. Pure."""

from dataclasses import dataclass

from relay.demo.figures import Account
from relay.judge import Verdict
from relay.printable import counted

MEANING = {
    "lost": "committed messages never arrived",
    "rolled_back_seen": "messages of rolled back transactions arrived",
    "unknown": "messages arrived that no transaction committed",
    "out_of_order": "messages arrived out of the order of their key",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo ends with."""

    held: bool
    lines: tuple[str, ...]


def outcome(account: Account, mishaps: tuple[str, ...], *, imitated: bool) -> Outcome:
    """Put an account into words.

    Args:
        account: the counts.
        mishaps: what else went wrong, such as a relay that ended by itself; any of it spoils the verdict.
        imitated: whether the broker was only an imitation.
    """
    broken = (*breaches(account), *mishaps)
    lines = [*_counts(account), "verdict: " + ("BROKEN" if broken else "every promise held")]
    lines += [f"  {breach}" for breach in broken]
    if imitated:
        lines.append("the broker was an imitation: this says nothing about brokers that crash, restart or refuse")
    return Outcome(not broken, tuple(lines))


def breaches(account: Account) -> tuple[str, ...]:
    """Name every promise that was broken, with the number that shows it; none if all held."""
    found = [f"{count:,} {MEANING[name]}" for name, count in account.verdict.broken.items()]
    if account.told != account.verdict.committed:
        found.append(
            f"the application committed {counted(account.told, 'message')}, the outbox has "
            f"{account.verdict.committed:,}"
        )
    if not account.verdict.committed or not account.rolled_back:
        found.append("nothing is proven: there must be committed messages and rolled back ones")
    return tuple(found)


def _counts(account: Account) -> tuple[str, ...]:
    verdict = account.verdict
    equal = "=" if verdict.committed == verdict.consumed else "≠"
    return (
        f"committed {equal} consumed: {verdict.committed:,} {equal} {verdict.consumed:,}",
        f"rolled back and seen: {verdict.rolled_back_seen:,} (of {account.rolled_back:,} rolled back)",
        f"out of order: {verdict.out_of_order:,}",
        f"duplicates: {verdict.duplicates:,}{_why(verdict)}",
    )


def _why(verdict: Verdict) -> str:
    if not verdict.duplicates:
        return ""
    stale = f", {verdict.stale:,} of them after a newer message of their key" if verdict.stale else ""
    return f" (allowed: a killed relay's last messages are sent again{stale})"
