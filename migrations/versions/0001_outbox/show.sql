-- What an operator is shown of one message, without reading the tables, and of the relays.

-- create_show: a message with the payload and headers that it has, by a beginning of its id; more than one line where that
-- is not enough to tell it from others
create function outbox.show(id_from uuid, id_to uuid)
    returns table (
        id uuid, shard smallint, seq bigint, topic text, key text, type text, content_type text, headers text,
        payload bytea, created_at timestamptz, deliver_after timestamptz, state text, sent_at timestamptz,
        sent_after timestamptz, attempts integer, held_at timestamptz, failed_at timestamptz, due_at timestamptz,
        code text, error text, settled_at timestamptz, replay bigint, in_the_way uuid, erased_at timestamptz, erased_by bigint,
        paused_at timestamptz
    )
    language sql stable security definer
    set search_path = pg_catalog, pg_temp set jit = off set enable_seqscan = off
as $function$
    select s.id, s.shard, s.seq, s.topic, s.key, s.type, coalesce(m.content_type, h.content_type),
           coalesce(m.headers, h.headers)::text, coalesce(m.payload, h.payload), s.created_at, m.deliver_after, s.state,
           s.sent_at,
           (select max(c.sent_at) from outbox.checkpoint c where c.shard = s.shard and c.sent_at < s.sent_at),
           h.attempts, h.held_at, h.failed_at, case when isfinite(h.due_at) then h.due_at end, h.code, h.error, h.settled_at,
           h.replay,
           (select f.id from outbox.held f
            where f.settled_as is null and f.failed_at is not null and f.topic = s.topic and f.seq < s.seq
              and (f.scope = 'topic' or f.scope = 'key' and f.key = s.key)
              and s.state not in ('sent', 'discarded')
            order by f.seq limit 1),
           e.at, e.act, r.paused_at
    from outbox.message_state s
    left join outbox.message m on m.shard = s.shard and m.seq = s.seq
    left join outbox.held h on h.shard = s.shard and h.seq = s.seq
    left join outbox.erased e on e.shard = s.shard and e.seq = s.seq
    left join outbox.topic_rule r on r.topic = s.topic
    where s.id between id_from and id_to
    limit 10
$function$;
revoke execute on function outbox.show from public;

-- create_acts_on: what operators did to a message by name, or to all of its topic or key
create function outbox.acts_on(of_id uuid, of_topic text, of_key text) returns setof outbox.operator_act
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
as $function$
    select a.* from outbox.operator_act a
    where a.choice -> 'ids' ? of_id::text
       or not a.choice ? 'ids'
          and coalesce(a.choice ->> 'topic' = of_topic, a.choice ? 'everything', false)
          and coalesce(a.choice ->> 'key' = of_key, not a.choice ? 'key')
       or exists (select from outbox.erased e where e.id = of_id and e.act = a.id)
       or exists (select from outbox.held h where h.id = of_id and h.replay = a.id)
    order by a.id desc limit 100
$function$;
revoke execute on function outbox.acts_on from public;

-- create_relays: each live relay with its version, its shards, since when each is leased, and what was recorded of them in
-- a minute. All of it is told by locks, which end with the session: nothing is left of a relay that is gone. `since` and
-- `address` are null to a role that may not see other roles' sessions (pg_read_all_stats).
create function outbox.relays() returns table (
        name text, pid integer, version text, since timestamptz, address text, shards integer[], shards_since timestamptz[],
        messages_per_second double precision, checkpoint_at timestamptz
    )
    language sql volatile
    set search_path = pg_catalog, pg_temp set jit = off
as $function$
    with locked as materialized (
        select l.pid, l.classid::bigint as class, l.objid::bigint as number
        from pg_locks l
        where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
          and l.database = (select oid from pg_database where datname = current_database())
    ),
    leased as (
        select lease.pid, lease.number::integer as shard,
               (select timestamptz '2000-01-01 00:00Z' + make_interval(secs => min(taken.number)) from locked taken
                where taken.pid = lease.pid and taken.class = 1869968640 + lease.number) as since
        from locked lease where lease.class = 1869968385
    )
    select regexp_replace(coalesce(a.application_name, ''), '^outbox-relay ', ''), member.pid,
           (select format('%s.%s.%s', said.number / 1000000, said.number / 1000 % 1000, said.number % 1000)
            from locked said where said.pid = member.pid and said.class = 1869968403 limit 1),
           a.backend_start, host(a.client_addr),
           array(select shard from leased where leased.pid = member.pid order by shard),
           array(select leased.since from leased where leased.pid = member.pid order by shard),
           recent.sent / 60.0, recent.at
    from locked member
    left join pg_stat_activity a on a.pid = member.pid
    cross join lateral (
        select coalesce(sum(c.sent) filter (where c.sent_at > clock_timestamp() - interval '1 minute'), 0)::float8 as sent,
               max(c.sent_at) as at
        from leased
        cross join lateral (
            select sent, sent_at from outbox.checkpoint where shard = leased.shard order by batch desc limit 300
        ) as c
        where leased.pid = member.pid
    ) as recent
    where member.class = 1869968386 and member.number = 0
    order by 1, 2
$function$;
revoke execute on function outbox.relays from public;
