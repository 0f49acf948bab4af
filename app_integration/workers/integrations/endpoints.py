"""Endpoints as operators deal with them: add, list, disable, enable, rotate, replay, remove. One transaction each."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app_integration.workers.integrations.address import Refused, check_addresses, check_url
from app_integration.workers.integrations.signature import key_of, new_secret
from app_integration.workers.worker import Connection
from relay.errors import ChoiceError, UserMistake

ADD = """
-- add_endpoint
insert into worker.endpoint (url, secret, types, allow_private)
values (%(url)s, %(secret)s, %(types)s, %(allow_private)s) returning id
"""

LIST = """
-- list_endpoints
select e.id, e.url, e.types, e.allow_private, e.disabled_at, e.disabled_why, e.failing_since, e.failures,
       count(d.seq) filter (where d.delivered_at is null and d.dead_at is null) as pending,
       count(d.seq) filter (where d.dead_at is not null) as dead,
       max(d.delivered_at) as delivered_at
from worker.endpoint e left join worker.delivery d on d.endpoint = e.id
group by e.id order by e.id
"""

DISABLE = """
-- disable_endpoint: what is for it is kept, and new events are added
update worker.endpoint set disabled_at = clock_timestamp(), disabled_why = %(why)s
where id = %(id)s and disabled_at is null
"""

ENABLE = """
-- enable_endpoint: with all of its patience before it
update worker.endpoint
set disabled_at = null, disabled_why = null, failing_since = null, failures = 0, due_at = clock_timestamp()
where id = %(id)s and disabled_at is not null
"""

RETIRE = """
-- retire_secret: it stays good for so long; those before it no longer than that
with earlier as (
    update worker.retired_secret set until = least(until, clock_timestamp() + make_interval(secs => %(overlap)s))
    where endpoint = %(id)s
)
insert into worker.retired_secret (endpoint, secret, until)
select id, secret, clock_timestamp() + make_interval(secs => %(overlap)s) from worker.endpoint
where id = %(id)s for no key update
"""

ROTATE = """
-- rotate_secret
update worker.endpoint set secret = %(secret)s where id = %(id)s
"""

REMOVE = """
-- remove_endpoint: with all that was for it
delete from worker.endpoint where id = %(id)s
"""

PENDING = """
-- count_pending
select count(*) from worker.delivery where endpoint = %(id)s and delivered_at is null and dead_at is null
"""

EXISTS = """
-- endpoint_exists
select disabled_at is null from worker.endpoint where id = %(id)s
"""

CHOSEN = """
-- chosen_deliveries: dead ones, or those of some events, or all since a time
select seq from worker.delivery
where endpoint = %(id)s
  and (%(ids)s::text[] is null or ce_id = any(%(ids)s))
  and (%(since)s::timestamptz is null or created_at >= %(since)s)
  and (not %(dead)s or dead_at is not null)
  and (delivered_at is not null or dead_at is not null)
order by seq for update
"""

REPLAY = """
-- replay_deliveries: due at once, with all attempts before them
update worker.delivery set delivered_at = null, dead_at = null, attempts = 0, due_at = clock_timestamp()
where seq = any(%(seqs)s)
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A subscriber, and how it is doing."""

    id: int
    url: str
    types: list[str]
    allow_private: bool
    disabled_at: datetime | None
    disabled_why: str | None
    failing_since: datetime | None
    failures: int
    pending: int
    dead: int
    delivered_at: datetime | None


def add(
    connection: Connection,
    url: str,
    *,
    types: Sequence[str] = (),
    secret: str | None = None,
    allow_private: bool = False,
) -> tuple[int, str]:
    """Add an endpoint; return its id and its secret, which is told this once.

    Args:
        connection: a session.
        url: where events are posted.
        types: names of events, with or without version (`user_registered`, `user_registered.v1`); none means all.
        secret: `whsec_…`; a new one unless given.
        allow_private: whether it may be in our own network, and plain http.

    Raises:
        UserMistake: the URL is refused, or the secret is none.
    """
    chosen = secret or new_secret()
    try:
        key_of(chosen)
        parts = check_url(url, allow_private=allow_private)
        host = parts.hostname or ""
        check_addresses(host, _resolve(host), allow_private=allow_private)
    except (Refused, ValueError) as error:
        raise UserMistake(f"the endpoint was not added: {error}") from None
    values = {"url": url, "secret": chosen, "types": list(types), "allow_private": allow_private}
    row = connection.execute(ADD, values).fetchone()
    assert row is not None
    return row[0], chosen


def endpoints(connection: Connection) -> list[Endpoint]:
    """List all endpoints."""
    return [Endpoint(*row) for row in connection.execute(LIST).fetchall()]


def disable(connection: Connection, id: int, why: str) -> None:  # noqa: A002 - the column
    """Send an endpoint nothing more, and keep what is for it.

    Raises:
        ChoiceError: there is none, or it is disabled already.
    """
    _change(connection, DISABLE, id, "disabled", why=why)


def enable(connection: Connection, id: int) -> None:  # noqa: A002 - the column
    """Send an endpoint what was kept for it, and what follows.

    Raises:
        ChoiceError: there is none, or it is enabled already.
    """
    _change(connection, ENABLE, id, "enabled")


def rotate(connection: Connection, id: int, *, overlap: float, secret: str | None = None) -> str:  # noqa: A002 - the column
    """Give an endpoint another secret; return it, which is told this once.

    Deliveries are signed with the new one from now on, and with the one before too while they overlap, so that the
    subscriber can take the new one into use at any moment of it.

    Args:
        connection: a session.
        id: the endpoint.
        overlap: seconds that the one before stays good; 0 where it is known to somebody else.
        secret: `whsec_…`; a new one unless given.

    Raises:
        ChoiceError: there is no such endpoint.
        UserMistake: the secret is none.
    """
    chosen = secret or new_secret()
    try:
        key_of(chosen)
    except ValueError as error:
        raise UserMistake(f"the secret of endpoint {id} was not changed: {error}") from None
    with connection.transaction():
        _demand(connection, id)
        connection.execute(RETIRE, {"id": id, "overlap": overlap})
        connection.execute(ROTATE, {"id": id, "secret": chosen})
    return chosen


def remove(connection: Connection, id: int, *, pending_too: bool = True) -> int:  # noqa: A002 - the column
    """Forget an endpoint, with all that was for it; return how many deliveries are never made for that.

    Args:
        connection: a session.
        id: the endpoint.
        pending_too: whether it is forgotten also where deliveries are pending.

    Raises:
        ChoiceError: there is none, or deliveries are pending that may not be forgotten.
    """
    with connection.transaction():
        _demand(connection, id)
        [(pending,)] = connection.execute(PENDING, {"id": id}).fetchall()
        if pending and not pending_too:
            raise ChoiceError(
                f"{pending} deliveries for endpoint {id} are pending and would never be made; add --yes, or "
                "`webhook disable` keeps them"
            )
        connection.execute(REMOVE, {"id": id})
        return int(pending)


def replay(
    connection: Connection,
    id: int,  # noqa: A002 - the column
    *,
    ids: Sequence[str] | None = None,
    since: datetime | None = None,
    dead: bool = False,
    dry_run: bool = False,
) -> int:
    """Deliver once more what was delivered or given up; return how many. They keep their `webhook-id`.

    Args:
        connection: a session.
        id: the endpoint.
        ids: only of these events, by `ce_id`.
        since: only those that came since, with a time zone.
        dead: only those that were given up.
        dry_run: whether they are only counted.

    Raises:
        ChoiceError: there is no such endpoint.
    """
    with connection.transaction():
        _demand(connection, id)
        chosen = {"id": id, "ids": None if ids is None else list(ids), "since": since, "dead": dead}
        seqs = [row[0] for row in connection.execute(CHOSEN, chosen).fetchall()]
        return len(seqs) if dry_run else connection.execute(REPLAY, {"seqs": seqs}).rowcount


def _change(connection: Connection, statement: str, id_: int, state: str, **values: Any) -> None:
    with connection.transaction():
        _demand(connection, id_)
        if connection.execute(statement.encode(), {"id": id_, **values}).rowcount == 0:
            raise ChoiceError(f"endpoint {id_} is {state} already; nothing was changed")


def _demand(connection: Connection, id_: int) -> None:
    if connection.execute(EXISTS, {"id": id_}).fetchone() is None:
        raise ChoiceError(f"there is no endpoint {id_}; python -m app_integration webhook list shows those there are")


def _resolve(host: str) -> list[str]:
    try:
        return list(
            dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        )
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host} cannot be resolved: {error}") from None
