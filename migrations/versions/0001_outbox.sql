-- The outbox as its first version creates it. One value is filled in wherever it stands: the number of shards, {shards}.

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
        not headers ?| array['ce_specversion', 'ce_id', 'ce_type', 'ce_source', 'ce_time', 'content-type', '']),
    constraint created_at_is_a_time_of_our_era check (created_at between '1970-01-01' and '9999-12-31'),
    constraint deliver_after_is_not_supported_yet check (deliver_after is null)
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

-- create_snapshot: a snapshot together with the only floor that may be read with it, so that no one can part them.
-- Written once per checkpoint commit that meets a new one; checkpoints refer to it. No foreign key: it would write to
-- the referenced row at every checkpoint.
create table outbox.snapshot (
    id                bigint      not null generated always as identity primary key,
    taken             pg_snapshot not null,
    floor             bigint      not null,
    system_identifier bigint      not null,
    created_at        timestamptz not null default clock_timestamp()
);

-- create_checkpoint: append-only. A shard's position is its newest row: everything visible in `seen` was sent, and of
-- what is visible in `target` everything up to `upto`. Two relays cannot both append one batch: the primary key refuses.
create table outbox.checkpoint (
    shard   smallint    not null,
    batch   bigint      not null,
    seen    bigint      not null,
    target  bigint,
    upto    bigint      not null,
    sent    bigint      not null,
    sent_at timestamptz not null default clock_timestamp(),
    primary key (shard, batch)
);

-- first_checkpoint: nothing was sent; no transaction is visible in '1:1:'
with nothing as (
    insert into outbox.snapshot (taken, floor, system_identifier)
    select '1:1:', 0, system_identifier from pg_control_system()
    returning id
)
insert into outbox.checkpoint (shard, batch, seen, target, upto, sent)
select shard, 0, nothing.id, null, 0, 0
from nothing, generate_series(0, outbox.shard_count() - 1) as shard;

-- create_covers: whether a row was sent by a given position
create function outbox.covers(seen pg_snapshot, target pg_snapshot, upto bigint, xid xid8, seq bigint) returns boolean
    language sql immutable parallel safe
    return pg_visible_in_snapshot(xid, seen)
        or (target is not null and seq <= upto and pg_visible_in_snapshot(xid, target));

-- create_sent_at: when the first checkpoint that covers a row was written, null when none does. What a shard's
-- checkpoints cover only ever grows, so it is found by halving.
create function outbox.sent_at(of_shard smallint, xid xid8, seq bigint) returns timestamptz
    language plpgsql stable
as $function$
declare
    low     bigint;
    high    bigint;
    probe   record;
    at_last timestamptz;
begin
    select min(c.batch), max(c.batch) into low, high from outbox.checkpoint c where c.shard = of_shard;
    while low <= high loop
        select c.batch, c.sent_at, outbox.covers(s.taken, t.taken, c.upto, $2, $3) as covers into probe
        from outbox.checkpoint c
        join outbox.snapshot s on s.id = c.seen
        left join outbox.snapshot t on t.id = c.target
        where c.shard = of_shard and c.batch >= (low + high) / 2
        order by c.batch limit 1;
        if probe.covers then
            at_last := probe.sent_at;
            high := (low + high) / 2 - 1;
        else
            low := probe.batch + 1;
        end if;
    end loop;
    return at_last;
end
$function$;

-- create_message_state: every message with its state, for people; nothing reads it on the way to Kafka. The state comes
-- from the newest checkpoint of each shard, once for all rows; only a sent row is worth the search for its time.
create view outbox.message_state as
select m.id, m.shard, m.seq, m.topic, m.key, m.type, m.created_at,
       case when outbox.covers(p.seen, p.target, p.upto, m.xid, m.seq) then 'sent' else 'pending' end as state,
       case when outbox.covers(p.seen, p.target, p.upto, m.xid, m.seq)
            then outbox.sent_at(m.shard, m.xid, m.seq) end as sent_at
from outbox.message m
left join (
    select every.shard, s.taken as seen, t.taken as target, newest.upto
    from generate_series(0, outbox.shard_count() - 1) as every(shard)
    cross join lateral (
        select c.seen, c.target, c.upto from outbox.checkpoint c
        where c.shard = every.shard order by c.batch desc limit 1
    ) as newest
    join outbox.snapshot s on s.id = newest.seen
    left join outbox.snapshot t on t.id = newest.target
) as p on p.shard = m.shard;

-- create_ring: wakes the relay that sleeps on a shard. The shared lock is refused while a relay is awake, for it holds the
-- exclusive one. `set outbox.doorbell = off` is for transactions that will be prepared: those may not notify.
create function outbox.ring() returns trigger
    language plpgsql
as $function$
begin
    if pg_catalog.pg_try_advisory_xact_lock_shared(1869968387, new.shard)
       and pg_catalog.current_setting('outbox.doorbell', true) is distinct from 'off' then
        perform pg_catalog.pg_notify('outbox', new.shard::text);
    end if;
    return null;
end
$function$;

-- create_doorbell: the function decides, not a WHEN: PostgreSQL prepares that anew for each statement, which cost an
-- insert of one row a tenth; this costs it half of that
create trigger doorbell after insert on outbox.message
    for each row execute function outbox.ring();

-- create_enqueue_bytes: a payload of any format, as it goes to Kafka
create function outbox.enqueue_bytes(
    topic text, payload bytea, content_type text default 'application/octet-stream', key text default null,
    type text default null, headers jsonb default null, id uuid default null, deliver_after timestamptz default null
) returns uuid
    language plpgsql
as $function$
declare
    message_id uuid := coalesce(id, outbox.uuid7());
begin
    if deliver_after is not null then
        raise exception 'deliver_after is %: scheduled delivery is not supported yet', deliver_after
            using errcode = 'feature_not_supported', hint = 'leave deliver_after out';
    end if;
    insert into outbox.message (id, topic, key, type, payload, content_type, headers)
    values (message_id, topic, key, type, payload, content_type, headers);
    return message_id;
end
$function$;

-- create_enqueue: a JSON payload; null is a tombstone
create function outbox.enqueue(
    topic text, payload jsonb, key text default null, type text default null, headers jsonb default null,
    id uuid default null, deliver_after timestamptz default null
) returns uuid
    language sql volatile
    return outbox.enqueue_bytes(topic, convert_to(payload::text, 'UTF8'), 'application/json', key, type, headers, id,
                                deliver_after);
