"""Handles messages, each in one transaction with its row of the inbox: effect, mark and schedule are one commit.

Guarantees: when a call returns, what became of every message is committed, and its offset may be; when it raises an
`Outage`, nothing is. A dead letter is acknowledged by Kafka before the commit that says dead: if we die in between,
or hear nothing, the message is handled again and there may be two letters, never none. A failure that is no outage is
the message's own and is counted, also where it cost the session, as one that works too long in an open transaction
does: another session is opened to note it. If the database is away indeed, that fails, and nothing is counted.
"""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from enum import StrEnum

import psycopg
from psycopg.pq import TransactionStatus

from app_integration.workers import held, inbox
from app_integration.workers.held import Held
from app_integration.workers.received import Received
from app_integration.workers.verdict import Failed, Verdict, judge, outage_of
from app_integration.workers.worker import Connection, Worker

log = logging.getLogger("app_integration.workers")


class Outcome(StrEnum):
    """What became of a message."""

    HANDLED = "handled"
    REPEATED = "repeated"
    """It was in the inbox: handled before, or held."""
    RETRYING = "retrying"
    WAITING = "waiting"
    """Behind an earlier one of its key that is being retried."""
    DEAD = "dead"


Bury = Callable[[Worker, Received, Failed], None]
"""Sends a dead letter; returns when Kafka has it, else raises an `Outage`."""

Result = tuple[Received, Outcome, Failed | None]


class Handling:
    """What one worker does with messages.

    Args:
        worker: whose.
        bury: sends dead letters.
        connect: opens a session, or raises an `Outage`.
    """

    def __init__(self, worker: Worker, bury: Bury, connect: Callable[[], Connection]) -> None:
        self._worker = worker
        self._bury = bury
        self._connect = connect
        self._dice = random.Random()  # noqa: S311 - jitter is no secret

    def batch(self, connection: Connection, messages: Sequence[Received]) -> list[Result]:
        """Handle messages in one transaction.

        Raises:
            Outage: nothing was done; the same messages can be handled later.
            Exception: one of them failed and nothing was done; handle each by itself.
        """
        try:
            with connection.transaction():
                fresh = inbox.enter(connection, self._worker.name, messages)
                waiting = self._hold_waiting(connection, fresh)
                self._handle_all(connection, [message for message in fresh if id(message) not in waiting])
        except Exception as error:
            if outage := outage_of(error):
                raise outage from error
            raise
        entered = {id(message) for message in fresh}
        return [(message, _outcome(id(message), entered, waiting), None) for message in messages]

    def one(self, connection: Connection, message: Received) -> Result:
        """Handle one message, whatever becomes of it.

        Raises:
            Outage: nothing was done.
        """
        try:
            return self.batch(connection, [message])[0]
        except Verdict as verdict:
            if outage := outage_of(verdict):
                raise outage from None
            return self._failed(connection, message, verdict)
        except Exception as error:
            log.exception("worker %s: handling %s raised", self._worker.name, message.id)
            return self._failed(connection, message, error)

    def retry(self, connection: Connection) -> Result | None:
        """Handle the next held message that is due; None when none is.

        Raises:
            Outage: nothing was done.
        """
        found = None
        try:
            with connection.transaction():
                found = held.claim(connection, self._worker.name)
                return None if found is None else self._again(connection, found)
        except Exception as error:
            if outage := outage_of(error):
                raise outage from error
            if found is None or not connection.closed:
                raise
            return self._failed_again(connection, found, error)

    def _handle_all(self, connection: Connection, messages: Sequence[Received]) -> None:
        if self._worker.handle is not None:
            for message in messages:
                self._worker.handle(connection, message)
        elif self._worker.handle_many is not None and messages:
            self._worker.handle_many(connection, messages)
        self._demand_sound(connection)

    def _demand_sound(self, connection: Connection) -> None:
        # PostgreSQL answers the COMMIT of a failed transaction with a ROLLBACK, and no error.
        if connection.info.transaction_status is not TransactionStatus.INTRANS:
            raise RuntimeError(f"worker {self._worker.name}: the handler swallowed an error of the database")

    def _hold_waiting(self, connection: Connection, messages: Sequence[Received]) -> set[int]:
        """Hold those whose key has an earlier one that is being retried."""
        if not self._worker.ordered:
            return set()
        # Asked after the inbox let us in: had another held an earlier one, that was committed before.
        keys = held.waited_for(connection, self._worker.name, messages)
        waiting = [one for one in messages if one.key is not None and (one.topic, one.key) in keys]
        for message in waiting:
            held.add(connection, self._worker, message, None)
            inbox.note(connection, self._worker.name, message, Outcome.WAITING, 0, None)
        return {id(message) for message in waiting}

    def _failed(self, connection: Connection, message: Received, error: Exception) -> Result:
        failed = judge(error, 0, self._worker.backoff, self._dice.random())
        with self._noting(connection) as session:
            if not inbox.enter(session, self._worker.name, [message]):
                # Whoever had our partition before, or has it now, was quicker.
                return message, Outcome.REPEATED, None
            held.add(session, self._worker, message, failed)
            return self._note(session, message, failed)

    def _again(self, connection: Connection, found: Held) -> Result:
        try:
            with connection.transaction():
                self._handle_all(connection, [found.message])
        except Exception as error:
            if outage := outage_of(error):
                raise outage from error
            if connection.closed:
                raise
            failed = judge(error, found.attempts, self._worker.backoff, self._dice.random())
            held.postpone(connection, found, failed)
            return self._note(connection, found.message, failed)
        held.remove(connection, found)
        inbox.note(connection, self._worker.name, found.message, Outcome.HANDLED, found.attempts + 1, None)
        return found.message, Outcome.HANDLED, None

    def _failed_again(self, connection: Connection, found: Held, error: Exception) -> Result | None:
        """Note a failure that cost the session, and the claim with it."""
        failed = judge(error, found.attempts, self._worker.backoff, self._dice.random())
        with self._noting(connection) as session:
            if not held.claim_again(session, found):
                return None
            held.postpone(session, found, failed)
            return self._note(session, found.message, failed)

    @contextmanager
    def _noting(self, connection: Connection) -> Iterator[Connection]:
        """Give a transaction in which a failure is noted: on this session, or another one where it has ended."""
        with ExitStack() as lasting:
            if connection.closed:
                connection = lasting.enter_context(closing(self._connect()))
            try:
                with connection.transaction():
                    yield connection
            except psycopg.Error as refused:
                raise (outage_of(refused) or refused) from None

    def _note(self, connection: Connection, message: Received, failed: Failed) -> Result:
        outcome = Outcome.DEAD if failed.seconds is None else Outcome.RETRYING
        inbox.note(connection, self._worker.name, message, outcome, failed.attempts, failed.error)
        if outcome is Outcome.DEAD:
            self._bury(self._worker, message, failed)
        return message, outcome, failed


def _outcome(message: int, entered: set[int], waiting: set[int]) -> Outcome:
    if message in waiting:
        return Outcome.WAITING
    return Outcome.HANDLED if message in entered else Outcome.REPEATED
