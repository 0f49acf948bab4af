"""Each command works for the role that docs/commands.md asks for, and says what is lacking to any other."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests import services
from tests.command import relay
from tests.integration.holding import hold, send
from tests.integration.schema.test_rights import granted

WHY = ("--why", "asked to", "--yes")

ONLY_LOOKING = ("status", "failed", "relays")
"""For whom docs/commands.md asks for DATABASE_URL and no role: an operator's or a relay's login."""

OPERATORS = ("replay", "discard", "pause", "resume", "limit", "show", "erase", "log")

LOOKING = tuple((name,) for name in ONLY_LOOKING)


def test_docs_name_who_may_run_what() -> None:
    table = Path(services.REPOSITORY, "docs", "commands.md").read_text().partition("## Exit codes")[0]
    needs = {
        name: line.rsplit("|", 2)[1].strip()
        for line in table.splitlines()
        for name in re.findall(r"`relay (\w+)`", line.split("|")[1] if line.startswith("| `relay") else "")
    }
    assert {name for name, need in needs.items() if "as an operator" in need} == set(OPERATORS)
    assert all(needs[name] == "`DATABASE_URL`" for name in ONLY_LOOKING)


def answers(url: str, *calls: tuple[str, ...]) -> list[str]:
    """Run commands beside each other; what each says, where all go well."""
    with ThreadPoolExecutor(2) as beside:
        found = list(beside.map(lambda call: relay(*call, DATABASE_URL=url), calls))
    assert {one.args: one.stderr for one in found if one.returncode} == {}
    return [one.stdout for one in found]


def test_operator_may_look_and_act_by_every_command(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        dead, given_up = hold(owner, "dead", 2)
        (sent,) = send(owner)
    url = granted(database, "operator")
    status, *_ = answers(url, *LOOKING)
    assert "pending" in status
    topic = ("orders",)
    answers(url, ("replay", str(dead), *WHY), ("pause", *topic, "--why", "x"))
    answers(url, ("replay", str(sent), "--sent", *WHY), ("limit", *topic, "5", "--why", "x"))
    answers(url, ("discard", str(given_up), *WHY), ("resume", *topic, "--why", "x"))
    answers(
        url, ("discard", "--topic", "orders", "--state", "replaying", *WHY), ("limit", *topic, "--none", "--why", "x")
    )
    (log,) = answers(url, ("log",))
    assert all(act in log for act in ("replay", "discard", "pause", "resume", "limit"))
    # What tells or takes away what messages say is granted by name.
    for call, function in ((("show", str(sent)), "show"), (("erase", str(sent), *WHY), "erase")):
        refused = relay(*call, DATABASE_URL=url)
        assert refused.returncode == 2
        assert f"permission denied for function {function}" in refused.stderr
        assert 'docs/migrations.md, "Rights"' in refused.stderr
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("grant execute on function outbox.show, outbox.erase to outbox_operator")
    shown, erased = answers(url, ("show", str(sent)), ("erase", str(dead), *WHY))
    assert shown.startswith("sent")
    assert erased.startswith("erased 1 message ")


def test_relays_login_may_look_and_not_act(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        (dead,) = hold(owner, "dead")
    url = granted(database, "relay")
    answers(url, *LOOKING, ("prune", "--dry-run"))
    for call in (("replay", str(dead), *WHY), ("log",)):
        refused = relay(*call, DATABASE_URL=url)
        assert refused.returncode == 2, call
        assert "permission denied" in refused.stderr


@pytest.mark.parametrize("call", [("relays",), ("pause", "orders", "--why", "x")])
def test_applications_login_may_neither_look_nor_act(database: str, call: tuple[str, ...]) -> None:
    refused: subprocess.CompletedProcess[str] = relay(*call, DATABASE_URL=granted(database, "application"))
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "rights" in refused.stderr.lower() or "lacks" in refused.stderr or "may not" in refused.stderr
