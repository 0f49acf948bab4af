-- What was sent: positions, appended and never changed.

-- create_snapshot: a snapshot together with the only floor that may be read with it, so that no one can part them.
-- Written once per checkpoint commit that meets a new one; checkpoints refer to it. No foreign key: it would write to
-- the referenced row at every checkpoint.
create table outbox.snapshot (
    id                bigint      not null generated always as identity primary key,
    taken             pg_snapshot not null,
    floor             bigint      not null,
    -- No message visible in it has a higher number. Never a floor: it was read too late for that. It tells old messages
    -- from new ones where transaction ids mean nothing any more.
    drawn             bigint      not null default coalesce(pg_sequence_last_value('outbox.message_seq'::regclass), 0),
    system_identifier bigint      not null,
    created_at        timestamptz not null default clock_timestamp()
);

-- create_checkpoint: append-only. A shard's position is its newest row: everything visible in `seen` was sent, and of
-- what is visible in `target` everything up to `upto`. Two relays cannot both append one batch: the primary key refuses.
-- `ahead` is null but where a topic is paused or over its rate: then the position is that of the topic that is furthest
-- behind, so that whoever knows of it alone errs on the safe side, and `ahead` has those of all: `main`, and by topic
-- `behind`, for topics that are not as far. Whole, with their snapshots: nothing else refers to these; hence also what was
-- `drawn` by then.
create table outbox.checkpoint (
    shard   smallint    not null,
    batch   bigint      not null,
    seen    bigint      not null,
    target  bigint,
    upto    bigint      not null,
    ahead   jsonb,
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
