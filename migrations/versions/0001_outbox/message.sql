-- The outbox as applications write it. One value is filled in wherever it stands: the number of shards, {shards}.

-- create_slot: which of the 8 partitions new rows go to; its last value is null only where a dump was restored without
-- data, and then rows go to slot 0
create sequence outbox.slot as smallint minvalue 0 maxvalue 7 cycle;
select setval('outbox.slot', 0);

-- create_shard_count: fixed when the schema is created, for it is part of every row's shard
create function outbox.shard_count() returns smallint
    language sql immutable parallel safe
    return {shards}::smallint;

-- create_uuid7: time-ordered identities (RFC 9562, version 7), so that the index on them grows at its end
do $do$
begin
    if current_setting('server_version_num')::int >= 180000 then
        create function outbox.uuid7() returns uuid
            language sql volatile parallel safe
            return pg_catalog.uuidv7();
    else
        -- A random version 4 whose first 48 bits become the milliseconds since 1970 and whose version bits become 7.
        create function outbox.uuid7() returns uuid
            language sql volatile parallel safe
            return encode(
                set_bit(set_bit(
                    overlay(uuid_send(gen_random_uuid())
                            placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                            from 1 for 6),
                    52, 1), 53, 1), 'hex')::uuid;
    end if;
end
$do$;

-- create_message: append-only. xid stands before seq because defaults are evaluated in column order: a
-- transaction must have its xid before it draws a number, or a reader's floor could pass over its rows.
create table outbox.message (
    xid           xid8        not null default pg_current_xact_id(),
    seq           bigint      not null generated always as identity (sequence name outbox.message_seq cache 1),
    slot          smallint    not null default coalesce(pg_sequence_last_value('outbox.slot'::regclass), 0),
    shard         smallint    not null generated always as (
        abs((case when key is null then seq else hashtextextended(key, 0) end) % {shards})::smallint) stored,
    id            uuid        not null default outbox.uuid7(),
    topic         text        not null,
    key           text,
    type          text,
    payload       bytea,
    content_type  text        default 'application/json',
    headers       jsonb,
    deliver_after timestamptz,
    created_at    timestamptz not null default clock_timestamp(),
    primary key (shard, seq, slot),
    -- Without a bounded repetition in the pattern: that alone would cost 13 microseconds a row, this costs 0.2.
    constraint topic_is_a_kafka_name check (
        topic !~ '[^a-zA-Z0-9._-]' and length(topic) between 1 and 249 and topic not in ('.', '..')),
    constraint headers_are_an_object_of_text check (
        jsonb_typeof(headers) = 'object' and not jsonb_path_exists(headers, 'strict $.* ? (@.type() != "string")')),
    constraint headers_leave_the_relays_own_alone check (
        not headers ?| array['ce_specversion', 'ce_id', 'ce_type', 'ce_source', 'ce_time', 'ce_replay', 'ce_force', 'content-type', '']),
    constraint created_at_is_a_time_of_our_era check (created_at between '1970-01-01' and '9999-12-31'),
    -- By a CASE, for the difference with an infinite time is an error of its own before PostgreSQL 17.
    constraint deliver_after_is_within_ten_years check (
        case when isfinite(deliver_after) then deliver_after - created_at <= interval '3653 days' else deliver_after is null end)
) partition by list (slot);

create table outbox.message_0 partition of outbox.message for values in (0);
create table outbox.message_1 partition of outbox.message for values in (1);
create table outbox.message_2 partition of outbox.message for values in (2);
create table outbox.message_3 partition of outbox.message for values in (3);
create table outbox.message_4 partition of outbox.message for values in (4);
create table outbox.message_5 partition of outbox.message for values in (5);
create table outbox.message_6 partition of outbox.message for values in (6);
create table outbox.message_7 partition of outbox.message for values in (7);

-- create_message_late: how the rows of one transaction that committed late are found
create index message_late on outbox.message (xid, shard, seq);

-- create_message_id: how a person finds a message
create index message_id on outbox.message (id);
