-- All of one message, for an operator who may not read the tables.

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
