-- create_endpoint: a subscriber. claimed_until is the lease of its queue: one delivery at a time, so that a slow
-- subscriber takes the time of nobody else; it ends sooner with the session claimed_by, a process id of the server's.
create table worker.endpoint (
    id            bigint      not null generated always as identity primary key,
    url           text        not null,
    secret        text        not null,
    types         text[]      not null default '{}',
    allow_private boolean     not null default false,
    created_at    timestamptz not null default clock_timestamp(),
    disabled_at   timestamptz,
    disabled_why  text,
    failing_since timestamptz,
    failures      integer     not null default 0,
    due_at        timestamptz not null default clock_timestamp(),
    claimed_until timestamptz not null default '-infinity',
    claimed_by    integer
);

-- create_retired_secret: what deliveries are signed with besides, until a subscriber has taken the new one into use
create table worker.retired_secret (
    endpoint bigint      not null references worker.endpoint on delete cascade,
    secret   text        not null,
    until    timestamptz not null
);
create index retired_secret_endpoint on worker.retired_secret (endpoint);

-- create_delivery: an event for an endpoint, with the very bytes that are sent and signed
create table worker.delivery (
    seq          bigint      not null generated always as identity primary key,
    endpoint     bigint      not null references worker.endpoint on delete cascade,
    ce_id        text        not null,
    replay       bigint      not null default 0,
    type         text        not null,
    body         bytea       not null,
    created_at   timestamptz not null default clock_timestamp(),
    due_at       timestamptz not null default clock_timestamp(),
    attempts     integer     not null default 0,
    status       integer,
    error        text,
    delivered_at timestamptz,
    dead_at      timestamptz,
    unique (endpoint, ce_id, replay)
);
create index delivery_due on worker.delivery (endpoint, due_at) where delivered_at is null and dead_at is null;
create index delivery_created_at on worker.delivery using brin (created_at) with (pages_per_range = 32, autosummarize = on);
