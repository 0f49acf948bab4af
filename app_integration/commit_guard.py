"""Refuses the COMMIT of a connection that would leave messages of a session bound to it behind.

`Session(bind=connection)` inside `connection.begin()`: the session's own commit writes its messages, but the
real COMMIT is the connection's, which knows nothing of the session. If that comes first, the domain's flushed
rows would be committed without their messages. Then this raises, and the transaction rolls back as a whole.

The modes of joining: https://docs.sqlalchemy.org/en/20/orm/session_transaction.html
"""

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from app_integration.errors import UnwrittenMessages
from app_integration.message import Row


class CommitGuard:
    """Watches one connection on behalf of one session.

    Args:
        connection: the connection to which the session is bound.
        rows: the session's unwritten messages; the very list, which the session empties as it writes.
    """

    def __init__(self, connection: Connection, rows: list[Row]) -> None:
        self.connection = connection
        self._rows = rows
        self._listeners = {"commit": self._refuse, "prepare_twophase": self._refuse, "rollback": self._forget}
        for name, listener in self._listeners.items():
            event.listen(connection, name, listener)

    def leave(self) -> None:
        """Stop watching: the session's transaction is over and nothing of it can be left behind."""
        for name, listener in self._listeners.items():
            event.remove(self.connection, name, listener)

    def outlives(self, session: Session) -> bool:
        """Tell whether the joined transaction goes on after the session, with all that it flushed.

        Of a session that made a savepoint for itself, or controls the transaction fully, the work is gone.
        """
        mode = session.join_transaction_mode
        conditional = mode == "conditional_savepoint" and not self.connection.in_nested_transaction()
        return self.connection.in_transaction() and (mode == "rollback_only" or conditional)

    def _refuse(self, _connection: Connection, *_: Any) -> None:
        if self._rows:
            raise UnwrittenMessages(
                f"the connection would commit without {len(self._rows)} message(s) of its session; "
                f"call session.commit() first, which writes them and leaves the real commit to the connection"
            )

    def _forget(self, _connection: Connection) -> None:
        self._rows.clear()
