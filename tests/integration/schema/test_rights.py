"""The three roles may do what their work takes and nothing else; for every object there is a decision."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from relay import migrate, rights
from relay.connection import connect
from relay.errors import UserMistake
from relay.operators import choice, failed
from relay.retention.prune import Fate, prune
from relay.revision import State
from tests.conftest import OwnPostgres
from tests.integration.holding import hold, send
from tests.integration.sending import enqueue, number, pass_time, send_all

WEEK = 7 * 86_400

ROLES = ("outbox_application", "outbox_relay", "outbox_operator", "public")

PRUNED = ("", "select truncate", "", "")

DECISIONS = {
    # object: what the application, the relay, the operator and everybody may do; with a star, to some columns only
    "checkpoint": ("", "select insert delete", "select", ""),
    "erased": ("", "", "select", ""),
    "held": ("", "select insert update delete", "", ""),
    "held_state": ("", "select", "select*", ""),
    "message": ("insert*", "select", "select*", ""),
    **{f"message_{slot}": PRUNED for slot in range(8)},
    "message_state": ("", "", "select", ""),
    "operator_act": ("", "", "select", ""),
    "rotation": ("", "select insert update", "select", ""),
    "schema_version": ("", "select", "select", ""),
    "snapshot": ("", "select insert delete", "select", ""),
    "topic_rule": ("", "select", "select", ""),
    # sequences
    "message_seq": ("", "select", "select", ""),
    "operator_act_id_seq": ("", "", "", ""),
    "slot": ("select", "select update", "select", ""),
    "snapshot_id_seq": ("", "", "", ""),
    # functions
    "acts_on()": ("", "", "execute", ""),
    "carry_out()": ("", "", "", ""),
    "chosen()": ("", "execute", "execute", ""),
    "chosen_sent()": ("", "", "", ""),
    "covers()": ("", "", "execute", ""),
    "covers_topic()": ("", "", "execute", ""),
    "demand_all()": ("", "", "", ""),
    "demand_choice()": ("", "", "", ""),
    "discard()": ("", "", "execute", ""),
    "enqueue()": ("execute", "", "", ""),
    "enqueue_bytes()": ("execute", "", "", ""),
    "erase()": ("", "", "", ""),
    "key_in_place()": ("", "", "", ""),
    "known_topics()": ("", "", "execute", ""),
    "limit()": ("", "", "execute", ""),
    "make_due()": ("", "", "", ""),
    "not_obeying()": ("", "", "execute", ""),
    "oldest_relay()": ("", "execute", "execute", ""),
    "passed()": ("", "", "", ""),
    "passed_since()": ("", "", "", ""),
    "pause()": ("", "", "execute", ""),
    "position_before()": ("", "", "execute", ""),
    "publish_anew()": ("", "", "", ""),
    "relays()": ("", "execute", "execute", ""),
    "replay()": ("", "", "execute", ""),
    "resume()": ("", "", "execute", ""),
    "ring()": ("", "", "", ""),
    "rule()": ("", "", "", ""),
    "sent_at()": ("", "", "execute", ""),
    "settle_discarded()": ("", "", "", ""),
    "shard_count()": ("", "execute", "execute", ""),
    "shards_of()": ("", "", "", ""),
    "show()": ("", "", "", ""),
    "told()": ("", "", "", ""),
    "uuid7()": ("execute", "", "", ""),
    "why_not()": ("", "", "", ""),
}

HELD = """
-- rights_held: by each role on each object of the schema, in the words of DECISIONS
with right_on as (
    select relname::text as object, role, string_agg(
        case when relkind = 'S' and p in ('select', 'update', 'usage') and has_sequence_privilege(role, c.oid, p) then p
             when relkind = 'S' then null
             when has_table_privilege(role, c.oid, p) then p
             when p not in ('select', 'insert', 'update', 'references') then null
             when has_any_column_privilege(role, c.oid, p) then p || '*'
        end, ' ' order by n) as rights
    from pg_class c, unnest(%(roles)s::text[]) as role,
         unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'usage'])
             with ordinality as p(p, n)
    where relnamespace = 'outbox'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
      and (relkind = 'S' or p <> 'usage')
    group by object, role
    union all
    select proname || '()', role,
           string_agg(distinct case when has_function_privilege(role, p.oid, 'execute') then 'execute' end, ' ')
    from pg_proc p, unnest(%(roles)s::text[]) as role
    where pronamespace = 'outbox'::regnamespace
    group by proname, role
)
select object, array_agg(coalesce(rights, '') order by array_position(%(roles)s::text[], role))
from right_on group by object
"""

WRITTEN_BY_APPLICATIONS = {
    *("id", "topic", "key", "type", "payload", "content_type", "headers", "deliver_after", "created_at")
}

COLUMNS = """
-- columns: those of a table, with whether a role may read and write them
select attname::text, has_column_privilege(%(role)s, attrelid, attnum, 'select'),
       has_column_privilege(%(role)s, attrelid, attnum, 'insert')
from pg_attribute where attrelid = %(table)s::regclass and attnum > 0 and not attisdropped
"""

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
    b"select outbox.publish_anew(1, false, '{0}', '{1}')",
    b"select outbox.carry_out('discard', 'why', row(null, 'a', null, null, null, null, null, null, null, null), false)",
    b"insert into outbox.message (topic) values ('orders')",
)


def granted(database: str, login: str) -> str:
    """Make a role that logs in and is a member of outbox_`login`, and return its URL."""
    role = f"{login}_of_{database.rpartition('/')[2]}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"create role {role} login in role outbox_{login}".encode())
    return database.replace("postgres@", f"{role}@")


def test_for_every_object_it_is_decided_who_may_do_what(session: "psycopg.Connection") -> None:
    found = {name: tuple(rights) for name, rights in session.execute(HELD, {"roles": list(ROLES)})}
    assert found == DECISIONS


def test_an_object_without_a_decision_would_be_noticed(trial: "psycopg.Connection") -> None:
    trial.execute("create table outbox.unheard_of (); create function outbox.nobody_knows() returns int return 1")
    found = {name: tuple(rights) for name, rights in trial.execute(HELD, {"roles": list(ROLES)})}
    assert {name: found[name] for name in found.keys() - DECISIONS.keys()} == {
        "unheard_of": ("", "", "", ""),
        "nobody_knows()": ("execute", "execute", "execute", "execute"),
    }


@pytest.mark.parametrize(
    ("role", "table", "read", "written"),
    [
        ("outbox_application", "outbox.message", set(), WRITTEN_BY_APPLICATIONS),
        ("outbox_operator", "outbox.message", None, set()),
        ("outbox_operator", "outbox.held_state", None, set()),
    ],
)
def test_rights_on_columns_are_as_few(
    role: str, table: str, read: set[str] | None, written: set[str], trial: "psycopg.Connection"
) -> None:
    columns = trial.execute(COLUMNS, {"role": role, "table": table}).fetchall()
    expected = {name for name, _, _ in columns} - {"payload", "headers"} if read is None else read
    assert {name for name, reads, _ in columns if reads} == expected
    assert {name for name, _, writes in columns if writes} == written


def test_roles_neither_log_in_nor_have_any_power_of_their_own(session: "psycopg.Connection") -> None:
    query = (
        "select rolname::text,"
        " rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls"
        " from pg_roles where rolname = any (%s)"
    )
    assert dict(session.execute(query, [list(ROLES[:3])]).fetchall()) == dict.fromkeys(ROLES[:3], False)


def test_functions_that_run_as_their_owner_pin_the_search_path(session: "psycopg.Connection") -> None:
    query = "select proname::text, proconfig from pg_proc where pronamespace = 'outbox'::regnamespace and prosecdef"
    found = session.execute(query).fetchall()
    assert len(found) >= 3
    assert [name for name, config in found if "search_path=pg_catalog, pg_temp" not in (config or [])] == []


def test_migrating_again_gives_the_roles_what_they_should_have(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "grant select on outbox.message to outbox_application; revoke all on outbox.held from outbox_relay"
        )
        owner.execute("grant execute on function outbox.settle_discarded to public")
        migrate.upgrade(database)
        found = {name: tuple(rights) for name, rights in owner.execute(HELD, {"roles": list(ROLES)})}
    assert found == DECISIONS


def test_without_roles_none_is_given_anything(empty_database: str) -> None:
    migrate.upgrade(empty_database, roles=False)
    with psycopg.connect(empty_database, autocommit=True) as owner:
        allowed = "select has_schema_privilege(role, 'outbox', 'usage') from unnest(%s::text[]) as role"
        made = [role for role in ROLES[:3] if owner.execute("select to_regrole(%s)", [role]).fetchone() != (None,)]
        assert not any(usage for (usage,) in owner.execute(allowed, [made]))


def test_taking_the_schema_away_takes_the_rights_and_leaves_the_roles(empty_database: str) -> None:
    migrate.upgrade(empty_database)
    migrate.downgrade(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as owner:
        for role in ROLES[:3]:
            assert owner.execute("select has_schema_privilege(%s, 'outbox', 'usage')", [role]).fetchone() == (False,)


def test_owner_who_may_not_create_roles_is_told_what_to_have_run(own_postgres: OwnPostgres, binaries: Path) -> None:
    server = own_postgres(binaries)
    with psycopg.connect(server.url(), autocommit=True) as administrator:
        administrator.execute("create role outbox_relay; create role owner login")
        administrator.execute("create database shop owner owner")
        url = server.url("shop").replace("postgres@", "owner@")
        with pytest.raises(UserMistake) as refusal:
            migrate.upgrade(url)
        said = str(refusal.value)
        assert "role owner may not create the roles that are missing: outbox_application, outbox_operator" in said
        assert migrate.check(url).state is State.MISSING
        migrate.upgrade(url, roles=False)
        found = re.search(r"run: (.+); then migrate again", said)
        assert found
        administrator.execute(found[1].encode())
        migrate.upgrade(url)
        administrator.execute("alter role outbox_operator superuser")
        with pytest.raises(UserMistake, match="is a superuser"):
            migrate.upgrade(url)
        with psycopg.connect(url, autocommit=True) as owner:
            assert {name: tuple(rights) for name, rights in owner.execute(HELD, {"roles": list(ROLES[:2])})} == {
                name: rights[:2] for name, rights in DECISIONS.items()
            }


def test_application_may_write_in_every_way_as_member_of_its_role(database: str) -> None:
    with psycopg.connect(granted(database, "application"), autocommit=True) as shop:
        for write in WRITES:
            shop.execute(write)
        with shop.cursor().copy("copy outbox.message (topic, payload) from stdin") as copy:
            copy.write_row(("orders", b"1"))


def test_application_may_do_nothing_else(database: str) -> None:
    with psycopg.connect(granted(database, "application"), autocommit=True) as shop:
        for forbidden in FORBIDDEN:
            with pytest.raises(errors.InsufficientPrivilege):
                shop.execute(forbidden)


def test_writing_without_the_sequence_never_makes_a_row_that_is_not_sent(database: str) -> None:
    """Before PostgreSQL 17 it is refused; since then the sequence reads as null: the row goes to slot 0."""
    url = granted(database, "application")
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("revoke all on outbox.slot from outbox_application")
        with psycopg.connect(url, autocommit=True) as shop:
            if shop.info.server_version < 170000:
                with pytest.raises(errors.InsufficientPrivilege, match="sequence slot"):
                    shop.execute(WRITES[0])
            else:
                shop.execute(WRITES[0])
                assert owner.execute(
                    "select state, slot from outbox.message_state join outbox.message using (id)"
                ).fetchall() == [("pending", 0)]


def test_operator_may_look_and_act_as_member_of_its_role(database: str) -> None:
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
@pytest.mark.parametrize("role", ["application", "relay"])
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


def test_relay_may_do_its_work_as_member_of_its_role(database: str) -> None:
    with psycopg.connect(granted(database, "relay"), autocommit=True) as connection:
        rights.demand(connection)


def test_relay_may_prune_as_member_of_its_role(database: str) -> None:
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
