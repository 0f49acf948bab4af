"""What a person is asked before something is changed: why, and whether to go on. Nothing was changed where they say no.

Guarantees: where nobody can be asked, nothing is done, and that is found out before anything is looked up.
"""

import sys
from typing import NoReturn

import typer

from relay.errors import ChoiceError, UserMistake

INTERRUPTED = 130
"""The exit code of who is interrupted at a question, as a shell gives it: 128 and the number of SIGINT."""


def demand_agreement(*, yes: bool) -> None:
    """Refuse what nobody agreed to, where nobody can be asked.

    Raises:
        UserMistake: there is no terminal to ask at.
    """
    if not yes and not sys.stdin.isatty():
        raise UserMistake(
            "standard input is not a terminal, so nobody can be asked: say --yes, or --dry-run to look only"
        )


def demand_answers(why: str | None, *, yes: bool) -> None:
    """Refuse what would need an answer that nobody can give.

    Args:
        why: the reason, where it was given.
        yes: whether it was agreed to in the call.

    Raises:
        UserMistake: there is no terminal to ask at, or the reason is empty.
    """
    if why is not None and not why.strip():
        raise ChoiceError("--why is empty; allowed: a reason, which is recorded")
    demand_agreement(yes=yes)
    if why is None and not sys.stdin.isatty():
        raise UserMistake("--why is not given, and standard input is not a terminal to ask at; allowed: a reason")


def reason(why: str | None) -> str:
    """Have the reason given, if it was not.

    Raises:
        typer.Exit: who was asked went away.
    """
    while why is None or not why.strip():
        try:
            why = typer.prompt("why (it is recorded)", err=True)
        except typer.Abort:
            _leave(INTERRUPTED)
    return why


def agree(question: str, *, yes: bool) -> None:
    """Go on only when somebody agrees, or did so in the call.

    Raises:
        typer.Exit: the answer was no, or who was asked went away.
    """
    try:
        if not yes and not typer.confirm(question, err=True):
            _leave(1)
    except typer.Abort:
        _leave(INTERRUPTED)


def _leave(code: int) -> NoReturn:
    typer.echo("nothing was changed", err=True)
    raise typer.Exit(code)
