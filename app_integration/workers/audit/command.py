"""`python -m app_integration audit verify`: follows the chains of the audit log and names what broke first in each.

Exit codes: 0 all chains hold, 1 one does not, 2 the user's mistake.
"""
# ruff: noqa: PLC0415 - see app_integration.workers.command

import json as json_format
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app_integration.workers import command_line
from relay.errors import UserMistake

if TYPE_CHECKING:
    from app_integration.workers.audit.chain import Broken, Entry

app = typer.Typer(
    help="The hash-chained audit log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _group() -> None:
    """One command today; named all the same."""


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    return command_line.run(app, "audit", arguments)


@app.command()
def verify(
    chain: Annotated[str | None, typer.Option("--chain", help="Only this one.")] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            metavar="CHAIN:NUMBER:HASH",
            help="An entry that was noted elsewhere and must still be there; repeatable. Only so it is seen that the "
            "end of a chain, or all of it, was cut off.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Follow the chains; each line says up to which number a chain holds, with the hash to note elsewhere."""
    from app_integration.workers.audit.chain import Entry
    from app_integration.workers.audit.verifying import verify_all

    noted = [_noted(one) for one in expect or ()]
    with command_line.session() as connection:
        found = list(verify_all(connection, chain))
        missing = [one for one in noted if not _is_there(connection, *one)]
    if json:
        typer.echo(json_format.dumps([_as_json(one) for one in found], indent=2))
    else:
        for one in found:
            typer.echo(_line(one))
    for name, number, _ in missing:
        typer.echo(f"chain {name}: entry {number} is not the one that was noted: it was changed or cut off", err=True)
    if missing or not all(isinstance(one, Entry) for one in found):
        raise typer.Exit(1)
    if not found and not json:
        typer.echo("the audit log is empty")


def _line(one: "Entry | Broken") -> str:
    from app_integration.workers.audit.chain import Broken

    if isinstance(one, Broken):
        return f"chain {one.chain}: BROKEN at entry {one.number}: {one.why}"
    return f"chain {one.chain}: holds, {one.number} entries; {one.chain}:{one.number}:{one.hash.hex()}"


def _as_json(one: "Entry | Broken") -> dict[str, Any]:
    from app_integration.workers.audit.chain import Broken

    if isinstance(one, Broken):
        return {"chain": one.chain, "holds": False, "number": one.number, "why": one.why}
    return {"chain": one.chain, "holds": True, "number": one.number, "hash": one.hash.hex()}


def _noted(text: str) -> tuple[str, int, bytes]:
    chain, _, rest = text.rpartition(":")
    name, _, number = chain.rpartition(":")
    try:
        return name, int(number), bytes.fromhex(rest)
    except ValueError:
        raise UserMistake(f"--expect is {text!r}; allowed: CHAIN:NUMBER:HASH as this command prints it") from None


def _is_there(connection: Any, chain: str, number: int, hash_: bytes) -> bool:
    query = "select hash from worker.audit_entry where chain = %s and number = %s"
    row: Sequence[Any] | None = connection.execute(query, (chain, number)).fetchone()
    return row is not None and bytes(row[0]) == hash_
