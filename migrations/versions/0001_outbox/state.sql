-- What became of each message, for people; nothing here is read on the way to Kafka.

-- create_covers: whether a row was sent by a given position
create function outbox.covers(seen pg_snapshot, target pg_snapshot, upto bigint, xid xid8, seq bigint) returns boolean
    language sql immutable parallel safe
    return pg_visible_in_snapshot(xid, seen)
        or (target is not null and seq <= upto and pg_visible_in_snapshot(xid, target));

-- create_covers_topic: the same, where some topics may not be as far as the others
create function outbox.covers_topic(
    seen pg_snapshot, target pg_snapshot, upto bigint, ahead jsonb, topic text, xid xid8, seq bigint
) returns boolean
    language sql immutable parallel safe
    return case
        when ahead is null then outbox.covers(seen, target, upto, xid, seq)
        else (
            select outbox.covers((p.at ->> 'seen')::pg_snapshot, (p.at ->> 'target')::pg_snapshot,
                                 (p.at ->> 'upto')::bigint, xid, seq)
            from (select coalesce(ahead -> 'behind' -> topic, ahead -> 'main')) as p(at)
        ) end;

-- create_sent_at: when the first checkpoint that covers a row was written, null when none does. What a shard's
-- checkpoints cover only ever grows, so it is found by halving.
create function outbox.sent_at(of_shard smallint, of_topic text, xid xid8, seq bigint) returns timestamptz
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
        select c.batch, c.sent_at, outbox.covers_topic(s.taken, t.taken, c.upto, c.ahead, of_topic, $3, $4) as covers
        into probe
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

-- create_position_before: how far a shard was when a time came; now, where that is null. Where positions were recorded in
-- another cluster, nobody knows what was sent, and nothing counts as sent.
create function outbox.position_before(of_shard smallint, moment timestamptz)
    returns table (seen pg_snapshot, floor bigint, target pg_snapshot, target_floor bigint, upto bigint, ahead jsonb)
    language sql stable
as $function$
    select s.taken, s.floor, t.taken, t.floor, newest.upto, case when s.id is not null then newest.ahead end
    from (
        select c.seen, c.target, c.upto, c.ahead from outbox.checkpoint c
        where c.shard = of_shard and (moment is null or c.sent_at < moment)
        order by c.batch desc limit 1
    ) as newest
    cross join pg_control_system() as here
    left join outbox.snapshot s on s.id = newest.seen and s.system_identifier = here.system_identifier
    left join outbox.snapshot t on t.id = newest.target and t.system_identifier = here.system_identifier
$function$;

-- create_held_state: every held row with what it waits for. Derived, never stored: nothing can be left behind by two who
-- act at once. Who is in the way is looked up in the order of an index and not by `exists`: the planner, which expects
-- many, would read the whole table for each row (behind one key 155 ms a row, now 0.01). The time is the statement's, for
-- with a volatile one the view would be worked out for the whole table where one row is asked for.
create view outbox.held_state as
select h.*,
       case
           when h.settled_as is not null then h.settled_as
           when h.dead then 'dead'
           when h.replay is not null then 'replaying'
           when h.failed_at is null and h.due_at > statement_timestamp() then 'scheduled'
           when (
               select true from outbox.held away
               where away.settled_as is null and away.failed_at is not null and away.fault = 'destination'
                 and away.topic = h.topic and away.scope = 'topic' and away.seq <= h.seq
               order by away.key_hash, away.seq limit 1
           ) then 'unreachable'
           when h.failed_at is not null then 'retrying'
           when (
               select true from outbox.held first
               where first.settled_as is null and first.failed_at is not null
                 and first.topic = h.topic and first.scope = 'topic' and first.seq < h.seq
               order by first.key_hash, first.seq limit 1
           ) or (
               select true from outbox.held first
               where first.settled_as is null and first.failed_at is not null
                 and first.topic = h.topic and first.scope = 'key' and first.key_hash = h.key_hash
                 and first.key = h.key and first.seq < h.seq
               order by first.seq limit 1
           ) then 'blocked'
           else 'pending'
       end as state
from outbox.held h;

-- create_message_state: every message with its state, for people; nothing reads it on the way to Kafka. The state comes
-- from the newest checkpoint of each shard, once for all rows, unless the message is held; only a row that went its
-- ordinary way is worth the search for its time. Without a WITH, for then the time is not searched where nobody asks.
create view outbox.message_state as
select m.id, m.shard, m.seq, m.topic, m.key, m.type, m.created_at,
       case
           when h.replay is null and h.state is not null then h.state
           when outbox.covers_topic(p.seen, p.target, p.upto, p.ahead, m.topic, m.xid, m.seq) then 'sent'
           when r.paused_at is not null then 'paused'
           else 'pending'
       end as state,
       case
           when h.replay is null and h.state is not null then case when h.state = 'sent' then h.settled_at end
           when h.first_sent_at is not null then h.first_sent_at
           when outbox.covers_topic(p.seen, p.target, p.upto, p.ahead, m.topic, m.xid, m.seq)
               then outbox.sent_at(m.shard, m.topic, m.xid, m.seq)
       end as sent_at
from outbox.message m
left join (
    select every::smallint as shard, now.seen, now.target, now.upto, now.ahead
    from generate_series(0, outbox.shard_count() - 1) as every
    cross join lateral outbox.position_before(every::smallint, null) as now
) as p on p.shard = m.shard
left join outbox.held_state h on h.shard = m.shard and h.seq = m.seq
left join outbox.topic_rule r on r.topic = m.topic
union all
-- those that outlived retention; one that is published anew was sent before
select h.id, h.shard, h.seq, h.topic, h.key, h.type, h.created_at,
       case when h.replay is null then h.state else 'sent' end,
       coalesce(h.first_sent_at, case when h.settled_as = 'sent' then h.settled_at end)
from outbox.held_state h
where not exists (select from outbox.message m where m.shard = h.shard and m.seq = h.seq);
