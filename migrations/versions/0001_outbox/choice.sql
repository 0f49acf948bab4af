-- Which messages an operator means. Reads only.

-- create_choice: all that is named of it must hold; what is null does not matter. A key is always one of a topic. The
-- error is a code, or a part of the text. The times are those of being held; of being sent, for what is published anew.
create type outbox.choice as (
    ids        uuid[],
    topic      text,
    key        text,
    error      text,
    state      text,
    after      timestamptz,
    before     timestamptz,
    everything boolean,
    sent       boolean,
    force      boolean
);

-- create_demand_choice: goes on only with a choice that says something, and no two things that exclude each other
create function outbox.demand_choice(act text, choice outbox.choice) returns void
    language plpgsql immutable
as $function$
declare
    everything boolean := coalesce(choice.everything, false);
    filters int := num_nonnulls(choice.topic, choice.key, choice.error, choice.state);
    states text[] := case act when 'discard'
        then array['dead', 'retrying', 'unreachable', 'blocked', 'scheduled', 'replaying']
        else array['dead', 'retrying', 'unreachable'] end;
    problem text := case
        when choice.ids is not null and (filters > 0 or everything or num_nonnulls(choice.after, choice.before) > 0)
            then 'ids are given together with something else; allowed: ids alone'
        when choice.force and not coalesce(choice.sent, false)
            then 'force is given without sent; allowed: with it, for consumers have not handled what was never sent'
        when cardinality(choice.ids) = 0 or array_position(choice.ids, null) > 0
            then 'ids is empty, or has a null in it; allowed: the ids of messages'
        when everything and filters > 0
            then 'everything is given together with a topic, key, error or state; allowed: one or the other'
        when not everything and num_nonnulls(choice.ids, choice.after, choice.before) + filters = 0
            then 'nothing is chosen; allowed: ids, topic, key, error, state, after, before, or everything => true'
        when choice.key is not null and choice.topic is null
            then 'key is given without topic; allowed: a key of one topic'
        when choice.error = ''
            then 'error is empty; allowed: the code of an error, or a part of its text'
        when choice.sent and num_nonnulls(choice.error, choice.state) > 0
            then 'error or state is given for messages that were sent, which have none; leave it out'
        when choice.state <> all (states)
            then format('state is %L; allowed: %s', choice.state, array_to_string(states, ', '))
        when choice.after >= choice.before
            then format('after (%s) is not earlier than before (%s)', choice.after, choice.before)
    end;
begin
    if problem is not null then
        raise exception using
            message = problem, errcode = 'invalid_parameter_value',
            hint = format('nothing was changed; try: select * from outbox.%s(''why'', topic => ''…'', dry_run => true)', act);
    end if;
end
$function$;

-- create_shards_of: all shards, or the one of a key
create function outbox.shards_of(key text) returns setof smallint
    language sql immutable
as $function$
    select every::smallint from generate_series(0, outbox.shard_count() - 1) as every
    where key is null or every = abs(hashtextextended(key, 0) % outbox.shard_count())
$function$;

-- create_passed_since: the rows that relays have passed since one time and before another: the difference of two positions
-- of each shard, what the later covers and the earlier does not. Three ranges make up all that the earlier does not: above
-- both of its marks; below, of the transactions that it lists as in progress; and between, of those that its target does
-- not know. By index, so that it costs what it finds and not what is kept.
create function outbox.passed_since(after timestamptz, before timestamptz, of_key text)
    returns table (shard smallint, seq bigint, id uuid, topic text, key text)
    language sql stable
    set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $function$
    select m.shard, m.seq, m.id, m.topic, m.key
    from outbox.shards_of(of_key) as every(shard)
    cross join lateral outbox.position_before(every.shard, before) as late
    left join lateral outbox.position_before(every.shard, after) as found on true
    cross join lateral (
        -- Where the checkpoints do not reach back that far, from the beginning.
        select coalesce(found.seen, '1:1:'), coalesce(found.floor, 0), found.target, found.target_floor,
               coalesce(found.upto, 0), found.ahead
    ) as early(seen, floor, target, target_floor, upto, ahead)
    cross join lateral (
        select m.xid, m.shard, m.seq, m.id, m.topic, m.key from outbox.message m
        where m.shard = every.shard and m.seq > greatest(early.floor, early.upto)
          and not pg_visible_in_snapshot(m.xid, early.seen)
        union all
        select m.xid, m.shard, m.seq, m.id, m.topic, m.key
        from (select pg_snapshot_xip(early.seen) union select pg_snapshot_xip(early.target)) as open(xid)
        cross join lateral (
            select * from outbox.message m
            where m.xid = open.xid and m.shard = every.shard and m.seq <= greatest(early.floor, early.upto)
              and m.seq > case when pg_visible_in_snapshot(open.xid, early.target) then early.upto else 0 end
        ) as m
        union all
        select m.xid, m.shard, m.seq, m.id, m.topic, m.key from outbox.message m
        where m.shard = every.shard and m.seq > greatest(early.floor, early.target_floor) and m.seq <= early.upto
          and m.xid >= pg_snapshot_xmax(early.target)
    ) as m
    where outbox.covers_topic(late.seen, late.target, late.upto, late.ahead, m.topic, m.xid, m.seq)
      and (early.ahead is null
           or not outbox.covers_topic(early.seen, early.target, early.upto, early.ahead, m.topic, m.xid, m.seq))
$function$;

-- create_passed: the same; from the beginning, in one walk through all that is kept, where there is no first time
create function outbox.passed(after timestamptz, before timestamptz, of_key text)
    returns table (shard smallint, seq bigint, id uuid, topic text, key text)
    language plpgsql stable
as $function$
begin
    if after is not null then
        return query select * from outbox.passed_since(after, before, of_key);
        return;
    end if;
    return query
        select m.shard, m.seq, m.id, m.topic, m.key
        from outbox.shards_of(of_key) as every(shard)
        cross join lateral outbox.position_before(every.shard, before) as late
        join outbox.message m on m.shard = every.shard
        where outbox.covers_topic(late.seen, late.target, late.upto, late.ahead, m.topic, m.xid, m.seq);
end
$function$;

-- create_chosen_sent: what was sent, is still kept, and is not being published anew already. A message that was held was
-- sent when it was settled; any other when its shard's relay passed it.
create function outbox.chosen_sent(choice outbox.choice)
    returns table (shard smallint, seq bigint, id uuid, topic text, key text)
    language plpgsql stable
as $function$
begin
    if exists (
        select from generate_series(0, outbox.shard_count() - 1) as every(shard)
        cross join lateral (
            select c.seen from outbox.checkpoint c where c.shard = every.shard order by c.batch desc limit 1
        ) as newest
        join outbox.snapshot s on s.id = newest.seen
        where s.system_identifier <> (select system_identifier from pg_control_system())
    ) then
        raise exception 'the recorded positions belong to another cluster: what was sent is not known here'
            using errcode = 'object_not_in_prerequisite_state', hint = 'see: relay doctor';
    end if;
    if choice.ids is not null then
        return query
            select s.shard, s.seq, s.id, s.topic, s.key from outbox.message_state s
            where s.id = any (choice.ids) and s.state = 'sent'
              and not exists (
                  select from outbox.held h
                  where h.shard = s.shard and h.seq = s.seq and num_nulls(h.settled_as) = 1
              )
              and not exists (select from outbox.erased e where e.shard = s.shard and e.seq = s.seq);
        return;
    end if;
    return query
        select m.shard, m.seq, m.id, m.topic, m.key
        from outbox.passed(choice.after, choice.before, choice.key) as m
        where (choice.topic is null or m.topic = choice.topic) and (choice.key is null or m.key = choice.key)
          and not exists (
              select from outbox.held h
              where h.shard = m.shard and h.seq = m.seq
                and (h.replay is null or h.settled_as is null or h.first_sent_at is not null)
          )
          -- A tombstone is all that would come of it.
          and not exists (select from outbox.erased e where e.shard = m.shard and e.seq = m.seq)
        union all
        select h.shard, h.seq, h.id, h.topic, h.key
        from outbox.held h
        cross join lateral (
            select case when h.replay is null then h.settled_at else coalesce(h.first_sent_at, h.created_at) end
        ) as first_sent(at)
        where (h.settled_as = 'sent' or h.settled_as is not null and h.replay is not null)
          and (h.replay is null or h.first_sent_at is not null
               or not exists (select from outbox.message m where m.shard = h.shard and m.seq = h.seq))
          and (choice.topic is null or h.topic = choice.topic) and (choice.key is null or h.key = choice.key)
          and (choice.after is null or first_sent.at >= choice.after)
          and (choice.before is null or first_sent.at < choice.before)
          and not exists (select from outbox.erased e where e.shard = h.shard and e.seq = h.seq);
end
$function$;

-- create_chosen: the messages that a choice takes now. Filters take what has failed; what only waits, or is scheduled, is
-- taken by its id, or by its state, and only to be discarded.
create function outbox.chosen(act text, choice outbox.choice)
    returns table (shard smallint, seq bigint, id uuid, topic text, key text, state text)
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp set jit = off
as $function$
begin
    perform outbox.demand_choice(act, choice);
    if choice.sent then
        return query select s.shard, s.seq, s.id, s.topic, s.key, 'sent' from outbox.chosen_sent(choice) as s;
        return;
    end if;
    return query
        select h.shard, h.seq, h.id, h.topic, h.key, h.state
        from outbox.held_state h
        where h.settled_as is null
          and (h.failed_at is not null or act = 'discard' and (choice.ids is not null or choice.state is not null))
          and (choice.ids is null or h.id = any (choice.ids))
          and (choice.topic is null or h.topic = choice.topic) and (choice.key is null or h.key = choice.key)
          and (choice.error is null or lower(h.code) = lower(choice.error)
               or strpos(lower(h.error), lower(choice.error)) > 0)
          and (choice.state is null or h.state = choice.state)
          and (choice.after is null or h.held_at >= choice.after)
          and (choice.before is null or h.held_at < choice.before);
end
$function$;
revoke execute on function outbox.chosen from public;
