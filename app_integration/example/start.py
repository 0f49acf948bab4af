"""All of Edu Matrix on this machine, with nothing configured, until Ctrl-C: `make example`.

PostgreSQL, Kafka, the tables and topics, a relay, all workers, a real-time server, a mail server that keeps its mails,
and the application with its page. Everything that is started here is stopped here, on every way out, and the folder
`.example` is gone afterwards. Servers of somebody else are never touched, whatever the environment names.
"""

import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from app_integration.example.cast import Cast, Ports, own_environment, prepare
from relay.errors import RelayError, UserMistake
from relay.local.folder import own_folder
from relay.local.interruption import Interrupted, Interruption, no_child_left
from relay.local.services import services

FOLDER = Path(".example")

LOOK_SECONDS = 0.5
"""Between two looks whether all still run."""


def run(port: int) -> int:
    """Start everything and keep it running.

    Args:
        port: of the page; 0 for a free one.

    Returns:
        0 when it was told to stop while it ran; 1 when something ended by itself or could not be had; 2 when something
        must be mended first; 128 and the signal's number when it was told to stop before it ran.
    """
    interruption = Interruption()
    with interruption.handled():
        try:
            with no_child_left(), ExitStack() as stack, interruption.armed():
                cast = _start(stack, Ports.choose(port))
                return _watch(cast)
        except Interrupted as interrupted:
            _say(f"{interrupted}: everything is stopped and removed")
            return interrupted.exit_code
        except RelayError as error:
            print(f"example: {error}", file=sys.stderr)  # noqa: T201
            return 2 if isinstance(error, UserMistake) else 1
        except psycopg.Error as error:
            print(f"example: its database is gone: {str(error).partition(chr(10))[0]}", file=sys.stderr)  # noqa: T201
            return 1


def _start(stack: ExitStack, ports: Ports) -> Cast:
    folder = stack.enter_context(own_folder(FOLDER, "example"))
    _say("starting PostgreSQL and Kafka (the first time its jars, 43 MB, are downloaded)")
    running = stack.enter_context(services(folder))
    cast = Cast(folder, own_environment(running, ports), ports)
    stack.callback(cast.leave)
    _say("making the tables and the topics")
    prepare(running)
    _say("starting the application, a relay, five workers and a real-time server")
    cast.enter()
    _say(f"PostgreSQL     {running.database_url}")
    _say(f"Kafka          {running.kafka_brokers}")
    _say(f"logs           {folder}/*.log")
    _say(f"real time      http://127.0.0.1:{ports.real_time} (Socket.IO)")
    _say(f"mails          http://127.0.0.1:{ports.mails}")
    _say(f"Edu Matrix is  http://127.0.0.1:{ports.page}/api/kafka-example (Ctrl-C stops everything)")
    return cast


def _watch(cast: Cast) -> int:
    try:
        while True:
            cast.demand_all()
            time.sleep(LOOK_SECONDS)
    except Interrupted as interrupted:
        _say(f"{interrupted}: stopping")
        return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
