"""What any language can do with SQL alone: enqueue by function, INSERT and COPY, all guarantees kept."""

import json
import uuid
from itertools import pairwise

import psycopg
import pytest
from psycopg import errors

XID_OF_TRANSACTION = "select pg_current_xact_id_if_assigned()"

WRITES = {
    "insert": "insert into outbox.message (topic) values ('orders')",
    "insert in another order": "insert into outbox.message (payload, key, topic) values ('x', 'k', 'orders')",
    "insert of a query": "insert into outbox.message (topic) select 'orders' from generate_series(1, 3)",
    "enqueue": "select outbox.enqueue('orders', '1')",
}


def row(session: "psycopg.Connection", statement: str) -> "tuple[object, ...]":
    found = session.execute(statement.encode()).fetchone()
    assert found is not None
    return found


def fill_sequence(session: "psycopg.Connection") -> None:
    """Make the next draw of a number fail."""
    session.execute("alter sequence outbox.message_seq maxvalue 2")
    session.execute("select setval('outbox.message_seq', 2)")


def test_plain_insert_fills_in_the_rest(session: "psycopg.Connection") -> None:
    session.execute("insert into outbox.message (topic) values ('orders')")
    found = row(
        session,
        "select xid is not null, seq, slot, shard between 0 and 15, id is not null, content_type, "
        "created_at <= now() from outbox.message",
    )
    assert found == (True, 1, 0, True, True, "application/json", True)


def test_copy_with_a_column_list_fills_in_the_rest(session: "psycopg.Connection") -> None:
    with session.cursor().copy("copy outbox.message (topic, key, type, payload) from stdin") as copy:
        for number in range(3):
            copy.write_row(("orders", f"key {number}", "placed", f"{number}".encode()))
    found = session.execute("select seq, payload, state from outbox.message join outbox.message_state using (id, seq)")
    assert sorted(found) == [(1, b"0", "pending"), (2, b"1", "pending"), (3, b"2", "pending")]


def test_enqueue_writes_what_it_was_given_and_returns_the_id(session: "psycopg.Connection") -> None:
    given = uuid.uuid4()
    returned = session.execute(
        "select outbox.enqueue('orders', %s, key => 'k', type => 'placed', headers => %s, id => %s)",
        ['{"total": "1.10"}', '{"tenant": "a"}', given],
    ).fetchone()
    assert returned == (given,)
    found = row(session, "select id, topic, key, type, payload, content_type, headers from outbox.message")
    body = b'{"total": "1.10"}'
    assert found == (given, "orders", "k", "placed", body, "application/json", {"tenant": "a"})


def test_enqueue_makes_an_id_and_returns_it(session: "psycopg.Connection") -> None:
    assert row(session, "select outbox.enqueue('orders', '1')") == row(session, "select id from outbox.message")


def test_enqueue_bytes_takes_any_bytes(session: "psycopg.Connection") -> None:
    body = bytes(range(256))
    session.execute("select outbox.enqueue_bytes('orders', %s, 'application/avro', key => 'k')", [body])
    assert row(session, "select payload, content_type, key from outbox.message") == (
        body,
        "application/avro",
        "k",
    )


def test_enqueued_null_is_a_tombstone_and_json_null_is_not(session: "psycopg.Connection") -> None:
    session.execute("select outbox.enqueue('orders', null, key => 'k'), outbox.enqueue('orders', 'null', key => 'k')")
    assert session.execute("select payload from outbox.message order by seq").fetchall() == [
        (None,),
        (b"null",),
    ]


def test_json_with_a_backslash_arrives_byte_for_byte(session: "psycopg.Connection") -> None:
    r"""`payload::bytea` would read `\\` as an escape; `convert_to` takes the text as it is."""
    body = json.dumps({"path": "C:\\new\\101", "quote": '"', "name": "Jürgen"}, ensure_ascii=False)
    insert = "insert into outbox.message (topic, payload) values ('files', convert_to(%s, 'UTF8'))"
    session.execute(insert, [body])
    session.execute("select outbox.enqueue('files', %s)", [body])
    plain, enqueued = session.execute("select payload from outbox.message order by seq").fetchall()
    assert plain == (body.encode(),)
    assert json.loads(enqueued[0]) == json.loads(body)


@pytest.mark.parametrize("headers", ['{"a": 1}', '{"a": null}', '{"a": ["b"]}', '{"a": {"b": "c"}}', "[]", '"a"', "1"])
def test_header_that_is_not_text_is_refused(trial: "psycopg.Connection", headers: str) -> None:
    with pytest.raises(errors.CheckViolation, match="headers_are_an_object_of_text"):
        trial.execute("select outbox.enqueue('orders', '1', headers => %s)", [headers])


@pytest.mark.parametrize("headers", [None, "{}", '{"a": ""}', '{"a": "b", "c": "d"}'])
def test_headers_of_text_are_accepted(trial: "psycopg.Connection", headers: str | None) -> None:
    trial.execute("select outbox.enqueue('orders', '1', headers => %s)", [headers])


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "a/b", "ä", "a\n", "a" * 250])
def test_name_that_kafka_would_refuse_is_refused(trial: "psycopg.Connection", topic: str) -> None:
    with pytest.raises(errors.CheckViolation, match="topic_is_a_kafka_name"):
        trial.execute("select outbox.enqueue(%s, '1')", [topic])


@pytest.mark.parametrize("topic", ["a", "a.b-c_D9", "...", "a" * 249])
def test_name_that_kafka_takes_is_accepted(trial: "psycopg.Connection", topic: str) -> None:
    trial.execute("select outbox.enqueue(%s, '1')", [topic])


@pytest.mark.parametrize(
    "when", ["now() - interval '1 year'", "now() + interval '1 hour'", "now() + interval '9 years'"]
)
def test_time_of_delivery_in_the_past_or_within_ten_years_is_accepted(trial: "psycopg.Connection", when: str) -> None:
    assert row(trial, f"select outbox.enqueue('orders', '1', deliver_after => {when}) is not null") == (True,)
    assert row(trial, f"select deliver_after = {when} from outbox.message") == (True,)


@pytest.mark.parametrize("when", ["'infinity'", "'-infinity'", "now() + interval '100 years'"])
def test_time_of_delivery_that_never_comes_is_refused(trial: "psycopg.Connection", when: str) -> None:
    with pytest.raises(errors.CheckViolation, match="deliver_after_is_within_ten_years"):
        row(trial, f"select outbox.enqueue('orders', '1', deliver_after => {when})")


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_transaction_has_its_xid_before_it_draws_a_number(session: "psycopg.Connection", write: str) -> None:
    fill_sequence(session)
    with session.transaction():
        with pytest.raises(errors.SequenceGeneratorLimitExceeded), session.transaction():
            session.execute(write.encode())
        assert row(session, XID_OF_TRANSACTION) != (None,)


def test_copying_transaction_has_its_xid_before_it_draws_a_number(session: "psycopg.Connection") -> None:
    fill_sequence(session)
    with session.transaction():
        with (
            pytest.raises(errors.SequenceGeneratorLimitExceeded),
            session.transaction(),
            session.cursor().copy("copy outbox.message (topic) from stdin") as copy,
        ):
            copy.write_row(("orders",))
        assert row(session, XID_OF_TRANSACTION) != (None,)


def test_number_before_xid_would_be_noticed(session: "psycopg.Connection") -> None:
    """The two tests above would see it if the columns stood the other way round."""
    session.execute(
        "create table reversed (seq bigint default nextval('outbox.message_seq'), "
        "xid xid8 default pg_current_xact_id(), topic text)"
    )
    fill_sequence(session)
    with session.transaction():
        with pytest.raises(errors.SequenceGeneratorLimitExceeded), session.transaction():
            session.execute("insert into reversed (topic) values ('orders')")
        assert row(session, XID_OF_TRANSACTION) == (None,)


def test_messages_of_one_key_share_a_shard_and_keys_spread(session: "psycopg.Connection") -> None:
    session.execute(
        "insert into outbox.message (topic, key) "
        "select 'orders', 'key ' || number % 200 from generate_series(1, 1000) as number"
    )
    assert row(
        session,
        "select max(n) from (select count(distinct shard) as n from outbox.message group by key) as s",
    ) == (1,)
    assert row(session, "select count(distinct shard), min(shard), max(shard) from outbox.message") == (
        16,
        0,
        15,
    )


def test_messages_without_a_key_spread_over_all_shards(session: "psycopg.Connection") -> None:
    session.execute("insert into outbox.message (topic) select 'orders' from generate_series(1, 160)")
    assert row(session, "select count(distinct shard) from outbox.message") == (16,)


def test_ids_are_version_7_and_grow_with_time(session: "psycopg.Connection") -> None:
    session.execute("insert into outbox.message (topic) select 'orders' from generate_series(1, 2000)")
    ids = [found for (found,) in session.execute("select id from outbox.message order by seq")]
    assert {(made.version, made.variant) for made in ids} == {(7, uuid.RFC_4122)}
    assert all(earlier.int >> 80 <= later.int >> 80 for earlier, later in pairwise(ids))
    assert len(set(ids)) == 2000


def test_id_tells_when_it_was_made(session: "psycopg.Connection") -> None:
    made, before, after = row(
        session,
        "with before as materialized (select clock_timestamp() as t), made as materialized "
        "(select outbox.uuid7() as id from before) "
        "select made.id, extract(epoch from before.t) * 1000, extract(epoch from clock_timestamp()) * 1000 "
        "from before, made",
    )
    assert isinstance(made, uuid.UUID)
    assert int(str(before).partition(".")[0]) <= made.int >> 80 <= float(str(after))


def test_state_is_pending_until_a_checkpoint_covers_the_message(session: "psycopg.Connection") -> None:
    session.execute("select outbox.enqueue('orders', '1', key => 'k', type => 'placed')")
    columns = "select topic, key, type, state, sent_at is null from outbox.message_state"
    assert row(session, columns) == ("orders", "k", "placed", "pending", True)
    session.execute(
        "with horizon as (insert into outbox.snapshot (taken, floor, system_identifier) "
        "select pg_current_snapshot(), 0, system_identifier from pg_control_system() returning id) "
        "insert into outbox.checkpoint (shard, batch, seen, upto, sent) "
        "select m.shard, b, horizon.id, 0, 0 from horizon, outbox.message m, generate_series(5, 9) as b"
    )
    assert row(session, columns) == ("orders", "k", "placed", "sent", False)
    first = "select sent_at = (select sent_at from outbox.checkpoint where batch = 5) from outbox.message_state"
    assert row(session, first) == (True,)


def test_insert_rings_when_nobody_is_awake_and_not_when_told_off(session: "psycopg.Connection", database: str) -> None:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("listen outbox")
        session.execute("set outbox.doorbell = off")
        session.execute("select outbox.enqueue('orders', '1', key => 'silent')")
        session.execute("set outbox.doorbell = on")
        session.execute("select outbox.enqueue('orders', '1', key => 'k')")
        shard = row(session, "select shard::text from outbox.message where key = 'k'")
        rung = [bell.payload for bell in listener.notifies(timeout=10, stop_after=1)]
    assert (rung[0],) == shard
