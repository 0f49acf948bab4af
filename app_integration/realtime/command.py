"""`python -m app_integration realtime`: serves, and `… realtime migrate` makes the tables that it needs."""

import argparse
import asyncio
import logging
import os
import sys

from relay.errors import UserMistake, WorkFailed


def main(arguments: list[str]) -> int:
    """Do what is asked; return the exit code: 0, 1 if the work could not be done, 2 for a mistake in the set-up."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.INFO)
    try:
        if options.action == "migrate":
            return _migrate()
        return _serve(options.host, options.port)
    except (UserMistake, WorkFailed) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, UserMistake) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m app_integration realtime",
        description="The real-time server. Settings come from the environment: DATABASE_URL, KAFKA_BROKERS, JWT_SECRET "
        "and those of docs/realtime.md.",
    )
    parser.add_argument("action", nargs="?", choices=["serve", "migrate"], default="serve")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    parser.add_argument("--port", type=int, default=8001, help="port to listen at, 0 for a free one (%(default)s)")
    return parser


def _serve(host: str, port: int) -> int:
    from uvicorn.config import Config  # noqa: PLC0415 - `migrate` needs none of it

    from app_integration.realtime.daemon import serve  # noqa: PLC0415
    from app_integration.realtime.settings import from_environment  # noqa: PLC0415

    settings = from_environment(os.environ)
    with asyncio.Runner(loop_factory=Config(app="").get_loop_factory()) as runner:
        runner.run(serve(settings, host, port))
    logging.getLogger("app_integration.realtime").info("the real-time server %s has stopped", settings.name)
    return 0


def _migrate() -> int:
    from app_integration.realtime.migrate import upgrade  # noqa: PLC0415 - serving needs none of it
    from app_integration.variables import database_url  # noqa: PLC0415

    upgrade(database_url(os.environ))
    print("the real-time schema is current")  # noqa: T201
    return 0
