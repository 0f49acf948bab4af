"""The grants that `docs/migrations.md` names are enough, and they are few."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from relay import rights
from relay.connection import connect
from relay.prune import Fate, prune
from tests.integration.sending import enqueue, number, pass_time, send_all

WEEK = 7 * 86_400

DOCUMENT = Path(__file__).parents[3] / "docs" / "migrations.md"

WRITES = (
    b"insert into outbox.message (topic, key, payload) values ('orders', 'k', 'x')",
    b"select outbox.enqueue('orders', '1', key => 'k', headers => '{\"a\": \"b\"}')",
    b"select outbox.enqueue_bytes('orders', 'x', 'application/avro')",
    b"insert into outbox.message (id, topic, created_at) values (gen_random_uuid(), 'orders', now())",
    b"insert into outbox.message (topic, type, content_type, deliver_after) values ('a', 'b', 'c', null)",
)

FORBIDDEN = (
    b"select * from outbox.message",
    b"delete from outbox.message",
    b"insert into outbox.message (topic, xid) values ('orders', '3')",
    b"insert into outbox.message (topic, slot) values ('orders', 3)",
    b"insert into outbox.message (topic, seq) overriding system value values ('orders', 3)",
    b"select setval('outbox.slot', 3)",
    b"select nextval('outbox.slot')",
    b"select nextval('outbox.message_seq')",
    b"insert into outbox.checkpoint (shard, batch, seen, upto, sent) values (0, 1, 1, 0, 0)",
)


def granted(database: str, documented: str) -> str:
    """Make a role with the grants that the document has for `documented`, and return its URL."""
    role = f"{documented}_of_{database.rpartition('/')[2]}"
    grants = re.findall(rf"^(grant .+ to) {documented};$", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert grants, f"the document grants {documented} nothing"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"create role {role} login".encode())
        for grant in grants:
            owner.execute(f"{grant} {role}".encode())
    return database.replace("postgres@", f"{role}@")


def test_application_may_write_in_every_way_with_the_documented_grants(database: str) -> None:
    with psycopg.connect(granted(database, "shop"), autocommit=True) as shop:
        for write in WRITES:
            shop.execute(write)
        with shop.cursor().copy("copy outbox.message (topic, payload) from stdin") as copy:
            copy.write_row(("orders", b"1"))


def test_application_may_do_nothing_else(database: str) -> None:
    with psycopg.connect(granted(database, "shop"), autocommit=True) as shop:
        for forbidden in FORBIDDEN:
            with pytest.raises(errors.InsufficientPrivilege):
                shop.execute(forbidden)


def test_writing_without_the_sequence_never_makes_a_row_that_is_not_sent(database: str) -> None:
    """Before PostgreSQL 17 it is refused; since then the sequence reads as null: the row goes to slot 0."""
    url = granted(database, "shop")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"revoke all on outbox.slot from {psycopg.conninfo.conninfo_to_dict(url)['user']}".encode())
        with psycopg.connect(url, autocommit=True) as shop:
            if shop.info.server_version < 170000:
                with pytest.raises(errors.InsufficientPrivilege, match="sequence slot"):
                    shop.execute(WRITES[0])
            else:
                shop.execute(WRITES[0])
                assert owner.execute(
                    "select state, slot from outbox.message_state join outbox.message using (id)"
                ).fetchall() == [("pending", 0)]


def test_relay_may_do_its_work_with_the_documented_grants(database: str) -> None:
    with psycopg.connect(granted(database, "relay"), autocommit=True) as connection:
        rights.demand(connection)


def test_relay_may_prune_with_the_documented_grants(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        enqueue(owner, 100)
        send_all(database)
        pass_time(owner, "8 days")
        with connect(granted(database, "relay"), "relay") as connection:
            done = prune(connection, WEEK)
        assert done.of(Fate.EMPTIED)
        assert done.rotated
        assert done.deleted.checkpoints
        assert done.deleted.snapshots
        assert number(owner, "select count(*) from outbox.message") == 0
