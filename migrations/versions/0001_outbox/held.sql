-- Messages that could not go when their turn came, and what operators did about them.

-- create_held: each row a whole copy of its message, so that it outlives retention. A row belongs to the relay that leases
-- its shard; operators only make rows due, or settle them.
create table outbox.held (
    shard         smallint    not null,
    seq           bigint      not null,
    id            uuid        not null,
    topic         text        not null,
    key           text,
    -- In the indexes in place of the key, for a key may be longer than an index takes, and a message that could not be
    -- held would stop all others.
    key_hash      bigint      generated always as (hashtextextended(key, 0)) stored,
    type          text,
    payload       bytea,
    content_type  text,
    headers       jsonb,
    created_at    timestamptz not null,
    -- What waits behind it, in order of seq, while it is unsettled: nothing, its topic and key, or its whole topic.
    scope         text        not null check (scope in ('none', 'key', 'topic')),
    -- By a name of its own, so that no look for who has failed takes the index on all that wait.
    ordered       boolean     not null generated always as (scope <> 'none') stored,
    -- When to send it. Before all time: as soon as nothing is in its way. At no time: never, until an operator says so.
    due_at        timestamptz not null,
    dead          boolean     not null generated always as (due_at = 'infinity') stored,
    -- Failures that were its own; those of its topic or of the broker count for nothing.
    attempts      integer     not null default 0,
    -- Its newest failure. Who has failed is in the way of those behind it; who has not only waits.
    failed_at     timestamptz,
    fault         text        check (fault in ('message', 'destination')),
    code          text,
    error         text,
    held_at       timestamptz not null default clock_timestamp(),
    -- The operator's act that publishes it anew after it was sent; then nothing waits for it.
    replay        bigint,
    -- Whether consumers are asked to handle it once more, though they have.
    force         boolean     not null default false,
    -- When it was sent the first time, if it is published anew after it had been held and sent.
    first_sent_at timestamptz,
    settled_as    text        check (settled_as in ('sent', 'discarded')),
    settled_at    timestamptz,
    primary key (shard, seq),
    constraint failed_rows_say_why check ((failed_at is null) = (fault is null) and (fault is null) = (error is null)),
    constraint settled_rows_say_when check ((settled_as is null) = (settled_at is null))
);

-- create_held_due: what to send, oldest first: those that only wait, then those whose time has come
create index held_due on outbox.held (shard, due_at, seq) where settled_as is null;

-- create_held_failed: who is in the way of a topic, or of a key; scope first, since all topics that are halted are asked for
create index held_failed on outbox.held (scope, topic, key_hash, seq) where settled_as is null and failed_at is not null;

-- create_held_ordered: whether anything is left of a key, or is older than a scheduled message of it
create index held_ordered on outbox.held (topic, key_hash, seq) where settled_as is null and ordered;

-- create_held_halted: whether anything in a shard waits for its topic
create index held_halted on outbox.held (shard, topic)
    where settled_as is null and ordered and scope = 'topic';

-- create_held_settled: what retention looks for
create index held_settled on outbox.held (settled_at) where settled_as is not null;

-- create_held_id: how a person finds one
create index held_id on outbox.held (id);

-- create_operator_act: who did what, when, why, to how many messages. `client` is what the session says of itself, and
-- tells apart those who share a role.
create table outbox.operator_act (
    id       bigint      not null generated always as identity primary key,
    at       timestamptz not null default clock_timestamp(),
    who      text        not null default session_user,
    client   text        not null default concat_ws(
        ' at ', nullif(current_setting('application_name'), ''), host(inet_client_addr())),
    act      text        not null,
    why      text        not null,
    choice   jsonb       not null default '{}',
    messages bigint      not null default 0
);

-- create_topic_rule: the topics that operators have paused or limited, in messages a second. `act` is the newest act on it:
-- the highest of all is what relays say that they obey.
create table outbox.topic_rule (
    topic     text             not null primary key,
    paused_at timestamptz,
    rate      double precision check (rate > 0 and rate < 'infinity'),
    act       bigint           not null
);
