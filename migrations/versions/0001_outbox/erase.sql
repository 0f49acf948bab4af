-- A person's right to be forgotten: what a message said goes, the fact that it was there stays.

-- create_erased: whose content is gone, by which act. Kept for good: it says nothing of what the message said.
create table outbox.erased (
    shard smallint    not null,
    seq   bigint      not null,
    id    uuid        not null,
    act   bigint      not null,
    at    timestamptz not null default clock_timestamp(),
    primary key (shard, seq)
);
create index erased_id on outbox.erased (id);

-- create_key_in_place: a key that says nothing, and hashes to the same shard: a message that changed its shard would be
-- judged by another's progress, and might be sent again
create function outbox.key_in_place(of_shard smallint, act bigint) returns text
    language sql immutable
as $function$
    select candidate
    from generate_series(0, 100000) as n
    cross join lateral (select format('erased-%s-%s', act, n)) as made(candidate)
    where abs(hashtextextended(candidate, 0) % outbox.shard_count()) = of_shard
    limit 1
$function$;

-- create_erase: takes payload, headers and key of messages away, by their ids, or all of a topic's key. What is held and
-- not sent is discarded in the same transaction. What a relay has still to send in its turn is refused: it would reach
-- Kafka half. Returns the act, and how many messages there were.
create function outbox.erase(
    why text, ids uuid[] default null, topic text default null, key text default null, dry_run boolean default false,
    out act bigint, out messages bigint
)
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp set jit = off
as $function$
declare
    problem text := case
        when coalesce(btrim(why), '') = '' and not dry_run then 'why is empty; allowed: a reason, which is recorded'
        when ids is not null and num_nonnulls(topic, key) > 0 then 'ids are given together with topic or key; allowed: one or the other'
        when ids is null and (topic is null or key is null) then 'nothing is chosen; allowed: ids, or topic and key'
        when cardinality(ids) = 0 or array_position(ids, null) > 0 then 'ids is empty, or has a null in it'
    end;
    unknown uuid[];
    pending uuid[];
    shards  smallint[];
    seqs    bigint[];
    keys    text[];
    topics  text[];
    found   uuid[];
begin
    if problem is not null then
        raise exception using message = problem, errcode = 'invalid_parameter_value', hint = 'nothing was changed';
    end if;
    lock table outbox.operator_act in share row exclusive mode;
    -- Locked before their state is told, so that a relay that settles one has done so, or waits until this is over.
    perform 1 from outbox.held h
    where h.id = any (erase.ids)
       or erase.ids is null and h.topic = erase.topic and h.key_hash = hashtextextended(erase.key, 0) and h.key = erase.key
    order by h.shard, h.seq for update;
    select array_agg(c.shard), array_agg(c.seq), array_agg(c.id), array_agg(c.key), array_agg(c.topic),
           array_agg(c.id) filter (
               where c.state in ('pending', 'paused')
                 and not exists (select from outbox.held h where h.shard = c.shard and h.seq = c.seq))
    into shards, seqs, found, keys, topics, pending
    from (
        select s.shard, s.seq, s.id, s.key, s.topic, s.state from outbox.message_state s where s.id = any (erase.ids)
        union all
        select s.shard, s.seq, s.id, s.key, s.topic, s.state from outbox.message_state s
        where erase.ids is null and s.shard in (select outbox.shards_of(erase.key)) and s.topic = erase.topic
          and s.key = erase.key
        order by 1, 2
    ) as c;
    unknown := array(select unnest(ids) except select unnest(found));
    if unknown <> '{}' then
        raise exception using errcode = 'object_not_in_prerequisite_state', hint = 'nothing was changed',
            message = format('message %s is not known: it was never committed, or it is no longer kept', unknown[1]);
    end if;
    if pending is not null then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('not sent yet, and a relay will send it in its turn: %s', array_to_string(pending[1:10], ', ')),
            hint = 'nothing was changed; let it be sent first, and erase it then (Kafka keeps its copy: docs/operations.md)';
    end if;
    select array_agg(c.shard), array_agg(c.seq), array_agg(c.id), array_agg(c.key), array_agg(c.topic), count(*)
    into shards, seqs, found, keys, topics, messages
    from unnest(shards, seqs, found, keys, topics) as c(shard, seq, id, key, topic)
    where not exists (select from outbox.erased e where e.shard = c.shard and e.seq = c.seq);
    if dry_run or messages = 0 then
        return;
    end if;
    act := nextval(pg_get_serial_sequence('outbox.operator_act', 'id'));
    update outbox.held h
    set payload = null, headers = null, key = case when h.key is not null then outbox.key_in_place(h.shard, erase.act) end,
        error = case when h.error is not null then 'erased' end,
        settled_as = coalesce(h.settled_as, case when h.replay is null then 'discarded' else 'sent' end),
        settled_at = coalesce(h.settled_at, clock_timestamp())
    from unnest(shards, seqs) as e(shard, seq) where h.shard = e.shard and h.seq = e.seq;
    update outbox.message m
    set payload = null, headers = null, key = case when m.key is not null then outbox.key_in_place(m.shard, erase.act) end
    from unnest(shards, seqs) as e(shard, seq) where m.shard = e.shard and m.seq = e.seq;
    -- What operators named in their acts is a copy too.
    update outbox.operator_act a set choice = a.choice || '{"key": "erased"}'
    where (a.choice ->> 'topic', a.choice ->> 'key') in (select * from unnest(topics, keys));
    insert into outbox.erased (shard, seq, id, act) select e.shard, e.seq, e.id, erase.act
    from unnest(shards, seqs, found) as e(shard, seq, id);
    insert into outbox.operator_act (id, act, why, choice, messages) overriding system value
    values (erase.act, 'erase', why,
            jsonb_strip_nulls(jsonb_build_object('ids', ids, 'topic', topic, 'key', case when key is not null then 'erased' end)),
            messages);
end
$function$;
revoke execute on function outbox.erase from public;
