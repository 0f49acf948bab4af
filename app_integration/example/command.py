"""`python -m app_integration example`: makes the tables, serves the application, settles what was left behind.

`start` starts all of Edu Matrix for whoever wants to see it.
"""

import argparse
import asyncio
import os
import sys
from datetime import timedelta

import uvicorn
from sqlalchemy.exc import OperationalError, ProgrammingError

from app_integration.example import migrate
from app_integration.example.database import connect, sessions_of
from app_integration.example.payments import ProviderUnavailable
from app_integration.example.purchase import reconcile
from app_integration.example.sandbox import Sandbox
from app_integration.example.serve import serve
from app_integration.example.settings import load
from app_integration.variables import database_url
from relay.errors import RelayError, UserMistake


def main(arguments: list[str]) -> int:
    """Do what was asked for; return the exit code: 2 for a mistake of the user's, 1 where something is away."""
    options = _options(arguments)
    try:
        return _run(options)
    except RelayError as error:
        return _failed(str(error), 2 if isinstance(error, UserMistake) else 1)
    except (OperationalError, ProgrammingError) as error:
        return _failed(f"the database refused: {str(error.orig).partition(chr(10))[0]}", 1)
    except ProviderUnavailable as error:
        return _failed(f"the payment provider: {error}", 1)
    except OSError as error:
        return _failed(f"cannot listen at {getattr(options, 'host', '127.0.0.1')}:{options.port}: {error.strerror}", 1)


def _run(options: argparse.Namespace) -> int:
    if options.act == "migrate":
        migrate.upgrade(database_url(os.environ))
    elif options.act == "start":
        return _start(options.port)
    elif options.act == "mailbox":
        _mailbox(options.smtp_port, options.port)
    elif options.act == "reconcile":
        print(f"{asyncio.run(_reconcile(database_url(os.environ), options.older))} settled")  # noqa: T201
    else:
        serve(load(os.environ), options.host, options.port)
    return 0


def _start(port: int) -> int:
    from app_integration.example.start import run  # noqa: PLC0415 - its servers are no part of the application

    return run(port)


def _mailbox(smtp_port: int, port: int) -> None:
    from app_integration.example.mailbox import create_app  # noqa: PLC0415 - needs aiosmtpd, which serving does not

    uvicorn.run(create_app(smtp_port), host="127.0.0.1", port=port, access_log=False, server_header=False)


async def _reconcile(url: str, older: float) -> int:
    engine, other = connect(url), connect(url)
    try:
        return await reconcile(sessions_of(engine), Sandbox(other), timedelta(seconds=older))
    finally:
        await engine.dispose()
        await other.dispose()


def _failed(text: str, code: int) -> int:
    print(f"example: {text}", file=sys.stderr)  # noqa: T201
    return code


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m app_integration example", description="Edu Matrix, the application.")
    acts = parser.add_subparsers(dest="act", required=True)
    acts.add_parser("migrate", help="make its tables in DATABASE_URL, beside the outbox")
    serving = acts.add_parser(
        "serve", help="serve it; needs DATABASE_URL and JWT_SECRET, EDU_MATRIX_PAGE=1 for the page"
    )
    serving.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    serving.add_argument("--port", type=int, default=8000, help="0 for any that is free (%(default)s)")
    settling = acts.add_parser(
        "reconcile", help="settle purchases that were left pending; the server does so by itself"
    )
    settling.add_argument("--older", type=float, default=30, metavar="SECONDS", help="than this (%(default)s)")
    starting = acts.add_parser(
        "start", help="start all there is, with servers of its own, on this machine; needs nothing configured"
    )
    starting.add_argument("--port", type=int, default=8000, help="of the page; 0 for any that is free (%(default)s)")
    catching = acts.add_parser("mailbox", help="a mail server that delivers to nobody, and shows its mails on a page")
    catching.add_argument("--smtp-port", type=int, default=1025, help="for mails (%(default)s)")
    catching.add_argument("--port", type=int, default=8025, help="of the page (%(default)s)")
    return parser.parse_args(arguments)
