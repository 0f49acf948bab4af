"""The grants that `docs/migrations.md` names are enough, and they are few."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from relay import rights
from relay.connection import connect
from relay.operators import choice, failed
from relay.retention.prune import Fate, prune
from tests.integration.holding import hold, send
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


OPERATES = (
    b"select * from outbox.replay('why', topic => 'orders')",
    b"select * from outbox.replay('why', topic => 'orders', sent => true, dry_run => true)",
    b"select * from outbox.discard('why', everything => true)",
    b"select state, sent_at, error from outbox.message_state left join outbox.held_state using (id, state)",
    b"select * from outbox.operator_act",
)

NOT_AN_OPERATORS = (
    b"select payload from outbox.message",
    b"select payload from outbox.held_state",
    b"update outbox.held set settled_as = 'discarded', settled_at = now()",
    b"insert into outbox.held (shard, seq) values (0, 0)",
    b"delete from outbox.held",
    b"insert into outbox.operator_act (act, why) values ('replay', 'it was not me')",
    b"update outbox.operator_act set who = 'somebody else'",
    b"delete from outbox.operator_act",
    b"select outbox.settle_discarded('{0}', '{1}')",
    b"select outbox.make_due('{0}', '{1}')",
    b"select outbox.publish_anew(1, '{0}', '{1}')",
    b"select outbox.carry_out('discard', 'why', row(null, 'a', null, null, null, null, null, false, false), false)",
    b"insert into outbox.message (topic) values ('orders')",
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


def test_operator_may_look_and_act_with_the_documented_grants(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        (made,) = hold(owner, "dead")
        send(owner, 2)
    url = granted(database, "operator")
    with psycopg.connect(url, autocommit=True) as operator:
        found = failed.read(operator, choice.Choice(everything=True), limit=10)
        assert [message.id for message in found.messages] == [made]
        for operates in OPERATES:
            operator.execute(operates)
        assert operator.execute("select act, who = session_user from outbox.operator_act order by id").fetchall() == [
            ("replay", True),
            ("discard", True),
        ]


def test_operator_may_do_nothing_that_leaves_no_record(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        hold(owner, "dead")
    with psycopg.connect(granted(database, "operator"), autocommit=True) as operator:
        for forbidden in NOT_AN_OPERATORS:
            with pytest.raises(errors.InsufficientPrivilege):
                operator.execute(forbidden)


@pytest.mark.parametrize("act", ["replay", "discard"])
@pytest.mark.parametrize("role", ["shop", "relay"])
def test_nobody_else_may_act(database: str, role: str, act: str) -> None:
    with (
        psycopg.connect(granted(database, role), autocommit=True) as other,
        pytest.raises(errors.InsufficientPrivilege, match=f"function {act}"),
    ):
        other.execute(f"select outbox.{act}('why', everything => true)".encode())


@pytest.mark.parametrize("path", ["public, pg_catalog", "evil, pg_catalog"])
def test_what_a_callers_search_path_holds_is_not_run_with_the_owners_rights(database: str, path: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        hold(owner, "dead")
        owner.execute("create schema evil")
        owner.execute("create table evil.called (who text)")
        for name in ("strpos(text, text) returns int", "lower(text) returns text"):
            result = "1" if "int" in name else "'x'"
            owner.execute(
                f"create function evil.{name} language sql as"
                f" $$ insert into evil.called values (current_user) returning {result} $$".encode()
            )
        url = granted(database, "operator")
        owner.execute("grant usage on schema evil to public")
        with psycopg.connect(url, autocommit=True) as operator:
            operator.execute(f"set search_path = {path}".encode())
            operator.execute("select outbox.discard('why', error => 'SIZE')")
        assert owner.execute("select * from evil.called").fetchall() == []
        assert owner.execute("select settled_as from outbox.held").fetchall() == [("discarded",)]


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
