-- create_membership: who may enter which shared room; written by the application as part of what admits or expels
create table realtime.membership (
    room text not null,
    user_id text not null,
    since timestamptz not null default clock_timestamp(),
    primary key (room, user_id)
);
create index membership_of_user on realtime.membership (user_id, room);

-- create_stream: the last number given in a room's chat or feed; its row's lock is what orders the commits
create table realtime.stream (
    room text not null,
    name text not null check (name in ('chat', 'feed')),
    last_sequence bigint not null default 0,
    primary key (room, name)
);

-- create_entry: what was said and what happened, numbered without a hole
create table realtime.entry (
    room text not null,
    stream text not null,
    sequence bigint not null,
    id uuid not null,
    author text,
    client_id text,
    body jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (room, stream, sequence),
    foreign key (room, stream) references realtime.stream (room, name) on delete cascade,
    -- A client that has lost the answer says it again under the same name.
    constraint said_once unique (room, stream, author, client_id)
);

-- create_entry_created_at: rows come in the order of time, so a BRIN finds what is old and costs nothing to keep
create index entry_created_at on realtime.entry using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- create_server: each server's sign of life; one that has ended never comes back under the same id
create table realtime.server (
    id uuid primary key,
    name text not null,
    started_at timestamptz not null default clock_timestamp(),
    heartbeat_at timestamptz not null default clock_timestamp(),
    ended boolean not null default false
);

-- create_attendance: which connection is in which room, and on which server
create table realtime.attendance (
    connection text not null,
    room text not null,
    user_id text not null,
    server_id uuid not null references realtime.server (id),
    since timestamptz not null default clock_timestamp(),
    primary key (connection, room)
);
create index attendance_of_user on realtime.attendance (room, user_id);
create index attendance_on_server on realtime.attendance (server_id);

-- create_presence: whether a user is in a room at all; its row's lock is what orders coming and going
create table realtime.presence (
    room text not null,
    user_id text not null,
    online boolean not null default false,
    changed_at timestamptz not null default clock_timestamp(),
    primary key (room, user_id)
);

-- create_call
create table realtime.call (
    id uuid primary key,
    caller text not null,
    callee text not null check (callee <> caller),
    caller_connection text not null,
    callee_connection text,
    caller_server uuid not null,
    callee_server uuid,
    media text not null check (media in ('voice', 'video')),
    state text not null default 'ringing' check (state in ('ringing', 'active', 'ended')),
    why text check ((why is not null) = (state = 'ended')),
    created_at timestamptz not null default clock_timestamp(),
    ring_until timestamptz not null,
    answered_at timestamptz,
    ended_at timestamptz
);
create index call_not_ended on realtime.call (id) where state <> 'ended';
create index call_ended on realtime.call (ended_at) where state = 'ended';

-- create_call_party: the primary key lets nobody be in two calls
create table realtime.call_party (
    user_id text primary key,
    call_id uuid not null references realtime.call (id) on delete cascade
);
create index call_party_of_call on realtime.call_party (call_id);

-- create_admit: let a user into a room, in the transaction that makes it right
create function realtime.admit(room text, user_id text) returns void
    language sql
    set search_path = pg_catalog
as $function$
    insert into realtime.membership (room, user_id) values (admit.room, admit.user_id) on conflict do nothing
$function$;

-- create_expel: take a user out of a room; every server lets go of their connections when the message comes
create function realtime.expel(room text, user_id text) returns void
    language sql
    set search_path = pg_catalog
as $function$
    delete from realtime.membership m where m.room = expel.room and m.user_id = expel.user_id;
    select outbox.enqueue(
        'realtime-events',
        jsonb_build_object('kind', 'expelled', 'to', expel.room, 'body', jsonb_build_object('userId', expel.user_id)),
        expel.room, 'realtime.expelled'
    )
$function$;

-- create_post: put something into a room's feed, in the transaction in which it happened; returns its number
create function realtime.post(room text, kind text, data jsonb, author text default null) returns bigint
    language plpgsql
    set search_path = pg_catalog
as $function$
declare
    made realtime.entry;
begin
    insert into realtime.stream (room, name) values (post.room, 'feed') on conflict do nothing;
    update realtime.stream s set last_sequence = last_sequence + 1
    where s.room = post.room and s.name = 'feed'
    returning s.room, s.name, s.last_sequence into made.room, made.stream, made.sequence;
    insert into realtime.entry (room, stream, sequence, id, author, body)
    values (made.room, made.stream, made.sequence, outbox.uuid7(), post.author,
            jsonb_build_object('kind', post.kind, 'data', post.data))
    returning * into made;
    perform outbox.enqueue(
        'realtime-events',
        jsonb_build_object(
            'kind', 'feed', 'to', made.room,
            'body', made.body || jsonb_build_object(
                'room', made.room, 'sequence', made.sequence, 'id', made.id, 'userId', made.author,
                'at', to_char(made.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
            )
        ),
        made.room, 'realtime.feed'
    );
    return made.sequence;
end
$function$;
