"""Asking before something is done that cannot be taken back. Knows nothing of what that is."""

import sys

import typer

from relay.errors import UserMistake


def demand(question: str, *, yes: bool) -> None:
    """Go on only when somebody has agreed.

    Args:
        question: what is asked on a terminal.
        yes: whether it was agreed to in the call.

    Raises:
        UserMistake: there is no terminal to ask on.
        typer.Abort: the answer was no; exit code 1.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserMistake("this needs an answer and there is no terminal to ask on: say --yes; nothing was changed")
    typer.confirm(question, abort=True)
