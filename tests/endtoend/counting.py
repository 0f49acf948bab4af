"""Counts what came of everything, in a process of its own: from the database and from what each side has noted.

`python -m tests.endtoend.counting DATABASE_URL FOLDER` prints the lines as JSON. It knows nothing of the campaign but
the notes: what customers and speakers were promised, what the mail server took, what the subscriber got, who died.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from app_integration.workers.audit.chain import Broken
from app_integration.workers.audit.verifying import verify_all
from tests.endtoend.mail_server import PATIENCE
from tests.endtoend.notes import Note, read
from tests.endtoend.plan import DATABASE
from tests.endtoend.talkers import ROOM
from tests.endtoend.tally import Copy, Death, Line, Post, excused_mails, excused_posts, line

WELCOME, ACCESS = "Welcome to Edu Matrix!", "Course Access Granted!"

USERS = "select email, id::text from edu_matrix.users"
CHARGES = "select payment_id from payment_sandbox.charges where state = 'charged'"
PAYMENTS = "select id::text from edu_matrix.payments"
ENROLMENTS = "select payment_id::text from edu_matrix.enrolments"
SEATS = "select user_id from realtime.membership where room like 'course:0%%'"
AUDIT = "select entry::json ->> 'userId', entry::json ->> 'action' from worker.audit_entry"
HOURLY = "select user_id, event, sum(count)::int from worker.analytics_hourly group by 1, 2"
DAILY = "select user_id, event, sum(count)::int from worker.analytics_daily group by 1, 2"
TOLD = "select user_id from worker.notification where type = 'course_access'"
CHAT = "select client_id, sequence from realtime.entry where room = %s and stream = 'chat' order by sequence"

Connection = psycopg.Connection[Any]


def count(connection: Connection, folder: Path) -> list[Line]:
    """Count everything."""
    deaths = [Death(note["process"], note["at"]) for note in read(folder / "deaths.jsonl", "killed")]
    copies = mails(read(folder / "mails.jsonl", "taken", "answered"))
    users = dict(_rows(connection, USERS))
    registered = [note["email"] for note in read(folder / "customers.jsonl", "registered")]
    paid = {note["payment"]: note["email"] for note in read(folder / "customers.jsonl", "paid")}
    buyers = [users.get(email, email) for email in paid.values()]
    of_who = _Of(connection, folder, copies, deaths)
    return [
        line("registration → user", registered, list(users)),
        of_who.mail("registration → welcome mail", WELCOME, users),
        *of_who.trails("registration", "user_registered", list(users.values())),
        of_who.events("registration → webhook", "user_registered", list(users.values())),
        line("payment → charge", paid, _first(connection, CHARGES)),
        line("payment → payment row", paid, _first(connection, PAYMENTS)),
        line("payment → enrolment", paid, _first(connection, ENROLMENTS)),
        line("payment → place in the room", buyers, _first(connection, SEATS)),
        of_who.mail("payment → access mail", ACCESS, paid.values()),
        line("payment → notification", buyers, _first(connection, TOLD)),
        *of_who.trails("payment", "course_purchased", buyers),
        of_who.events("payment → webhook, paid", "payment_completed", buyers),
        of_who.events("payment → webhook, enrolled", "course_enrolled", buyers),
        *_chat(connection, folder),
        *_chains(connection),
    ]


class _Of:
    """Lines of one kind of effect, for registrations and payments alike."""

    def __init__(self, connection: Connection, folder: Path, copies: list[Copy], deaths: list[Death]) -> None:
        self._copies = copies
        self._excused = excused_mails(copies, deaths)
        self._audit = _rows(connection, AUDIT)
        self._counted = {"hourly": _rows(connection, HOURLY), "daily": _rows(connection, DAILY)}
        names = [(note["seat"], note["at"]) for note in read(folder / "deaths.jsonl", "killed")]
        killers = [Death(None, at) for seat, at in names if seat in ("integrations worker", DATABASE)]
        self._posts = [Post(each["id"], (each["type"], each["user"]), each["at"]) for each in read_posts(folder)]
        self._reposted = excused_posts(self._posts, killers)

    def mail(self, what: str, subject: str, addresses: Any) -> Line:
        found = [(copy.to, copy.subject) for copy in self._copies if copy.subject == subject]
        excuses = {mail: why for mail, why in self._excused.items() if mail in set(found)}
        return line(what, [(address, subject) for address in addresses], found, excuses)

    def trails(self, of: str, event: str, users: list[str]) -> Iterator[Line]:
        yield line(f"{of} → audit entry", users, [user for user, action in self._audit if action == event])
        for how, counted in self._counted.items():
            found = Counter({user: number for user, name, number in counted if name == event})
            yield line(f"{of} → count, {how}", users, found.elements())

    def events(self, what: str, event: str, users: list[str]) -> Line:
        found = [post.event for post in self._posts if post.event[0] == event]  # type: ignore[index]
        excuses = {each: why for each, why in self._reposted.items() if each in set(found)}
        return line(what, [(event, user) for user in users], found, excuses)


def mails(notes: list[Note]) -> list[Copy]:
    """Make of the mail server's notes what it took; an answer that came too late was none."""
    answered = {note["copy"]: note["at"] for note in notes if note["kind"] == "answered"}
    taken = [note for note in notes if note["kind"] == "taken"]
    return [
        Copy(
            note["id"],
            note["to"],
            note["subject"],
            note["by"],
            note["at"],
            at if (at := answered.get(note["copy"])) is not None and at - note["at"] < PATIENCE else None,
        )
        for note in taken
    ]


def read_posts(folder: Path) -> Iterator[Note]:
    """Read what the subscriber got."""
    for note in read(folder / "posts.jsonl", "posted"):
        body = json.loads(note["body"])
        name = body["type"].rpartition(".v")[0]
        yield {**note, "type": name, "user": body["data"]["userId"]}


def _chat(connection: Connection, folder: Path) -> Iterator[Line]:
    stored = _rows(connection, CHAT, ROOM)
    said = [note["client_id"] for note in read(folder / "talkers.jsonl", "said")]
    yield line("chat message → in the history", said, [client_id for client_id, _ in stored])
    numbers = [number for _, number in stored]
    yield line("chat message → its number, without a hole", range(1, len(said) + 1), numbers)
    heard = read(folder / "talkers.jsonl", "heard")
    for who in sorted({note["who"] for note in heard}):
        yield line(f"chat message → {who}", numbers, [note["sequence"] for note in heard if note["who"] == who])
    told = [(note["who"], note["connection"], note["sequence"]) for note in heard if note["live"]]
    yield line("chat message → told in order", told, _in_order(told))


def _in_order(told: list[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    last: dict[tuple[str, int], int] = {}
    for who, connection, sequence in told:
        if sequence > last.get((who, connection), 0):
            yield who, connection, sequence
            last[who, connection] = sequence


def _chains(connection: Connection) -> Iterator[Line]:
    found = list(verify_all(connection))
    yield line(
        "audit chain → verifies",
        [each.chain for each in found],
        [each.chain for each in found if not isinstance(each, Broken)],
    )


def _rows(connection: Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return connection.execute(query.encode(), values).fetchall()


def _first(connection: Connection, query: str) -> list[Any]:
    return [row[0] for row in _rows(connection, query)]


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1], autocommit=True) as session:
        sys.stdout.write(json.dumps([asdict(each) for each in count(session, Path(sys.argv[2]))]))
