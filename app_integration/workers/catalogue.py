"""Which workers there are: by name what each does, and how it is made. Its modules load when it is asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from app_integration.workers.worker import Worker
from relay.errors import UserMistake


@dataclass(frozen=True, slots=True)
class Entry:
    """One that comes with this package.

    Args:
        about: what it does, in a line.
        module: where its `start(environ)` is, which gives the worker and what works beside it.
    """

    about: str
    module: str


CATALOGUE: Mapping[str, Entry] = {
    "email": Entry("sends the mails of email-queue by SMTP", "mail.worker"),
    "notification": Entry("stores what users are told, and pushes it to who is there", "notifications.worker"),
    "analytics": Entry("counts events by hour, day and user", "analytics.worker"),
    "audit": Entry("appends to the hash-chained audit log", "audit.worker"),
    "integrations": Entry("delivers business events to webhooks", "integrations.worker"),
}

Start = Callable[[Mapping[str, str]], tuple[Worker, Sequence[Any]]]
"""Reads its settings and makes a worker, with what works beside its loop (`daemon.Beside`)."""


def find(name: str) -> Start:
    """Load one of the catalogue."""
    start: Start = import_module(f"app_integration.workers.{CATALOGUE[name].module}").start
    return start


def own(place: str) -> Worker:
    """Load a worker of the user's: `shop.search:search`.

    Raises:
        UserMistake: there is none at that place.
    """
    module, found, attribute = place.partition(":")
    if not (module and found and attribute):
        raise UserMistake(f"{place!r} names no worker; allowed: module:attribute, such as shop.search:search")
    try:
        worker = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserMistake(f"{place}: {error}") from None
    if not isinstance(worker, Worker):
        raise UserMistake(f"{place} is a {type(worker).__name__}, not an app_integration.workers.Worker")
    return worker


def import_all(modules: str) -> None:
    """Import modules that are named with commas, so that what they register is known.

    Raises:
        UserMistake: one cannot be imported.
    """
    for module in filter(None, modules.split(",")):
        try:
            import_module(module)
        except ImportError as error:
            raise UserMistake(f"WORKER_CONTRACTS names {module}: {error}") from None
