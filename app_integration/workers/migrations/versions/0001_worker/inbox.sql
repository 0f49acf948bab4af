-- create_inbox: what each consumer has done with each message, written in the transaction of the effect. The primary key
-- is the guard: of two that handle one message, the second waits for the first's commit and then finds it done. It begins
-- with ce_id, so that a message's way is one index descent.
create table worker.inbox (
    ce_id      text        not null,
    consumer   text        not null,
    replay     bigint      not null default 0,
    topic      text        not null,
    partition  integer     not null,
    "offset"   bigint      not null,
    outcome    text        not null,
    attempts   integer     not null default 1,
    error      text,
    handled_at timestamptz not null default clock_timestamp(),
    primary key (ce_id, consumer, replay),
    constraint outcome_is_known check (outcome in ('handled', 'retrying', 'waiting', 'dead', 'discarded'))
);

-- create_inbox_handled_at: rows are written in the order of time, so a BRIN finds what is old and costs nothing to keep
create index inbox_handled_at on worker.inbox using brin (handled_at) with (pages_per_range = 32, autosummarize = on);

-- create_held: the few messages that could not be handled when their turn came, each a whole copy. In the database and not
-- in retry topics: the copy, the inbox row and the schedule are one commit, and no rebalance moves or repeats them.
-- headers is json and not jsonb: names and base64 of values, in their order.
create table worker.held (
    seq         bigint      not null generated always as identity primary key,
    consumer    text        not null,
    ce_id       text        not null,
    replay      bigint      not null,
    topic       text        not null,
    partition   integer     not null,
    "offset"    bigint      not null,
    key         bytea,
    value       bytea,
    headers     json        not null,
    "timestamp" bigint      not null,
    ordered     boolean     not null,
    attempts    integer     not null,
    error       text,
    held_at     timestamptz not null default clock_timestamp(),
    due_at      timestamptz not null,
    dead_at     timestamptz,
    unique (consumer, ce_id, replay)
);

-- create_held_due: what is to be tried again; create_held_key: what a message of an ordered worker waits behind
create index held_due on worker.held (consumer, due_at) where dead_at is null;
create index held_key on worker.held (consumer, topic, md5(key), seq) where dead_at is null and ordered;
