-- The operator's two answers to what is held. A row belongs to the relay that leases its shard, so nothing is sent from
-- here: a failed row is made due, or a row is settled. Rows are locked in the order of their primary key, each write says
-- again what it may touch, and operators take turns.
--
-- num_nulls(settled_as) = 1 is `settled_as is null` to all but the planner, which would else take an index of what is not
-- settled for that of the primary key, and read a whole shard for each row (50,000 rows of one key took 514 s; they take 2).

-- create_told: a time in words
create function outbox.told(moment timestamptz) returns text
    language sql stable
    return to_char(moment at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"');

-- create_why_not: why an act cannot be done to a message that was named by its id
create function outbox.why_not(act text, sent boolean, of_id uuid) returns text
    language plpgsql stable
as $function$
declare
    message record;
    held  outbox.held;
    first uuid;
begin
    select s.shard, s.seq, s.topic, s.key, s.state, s.sent_at into message
    from outbox.message_state s where s.id = of_id limit 1;
    if message.shard is null then
        return 'is not known: it was never committed, or it is no longer kept';
    end if;
    select * into held from outbox.held h where h.shard = message.shard and h.seq = message.seq;
    select h.id into first from outbox.held h
    where h.settled_as is null and h.failed_at is not null and h.topic = message.topic and h.seq < message.seq
      and (h.scope = 'topic' or h.scope = 'key' and h.key = message.key)
    order by h.seq limit 1;
    return case
        when exists (select from outbox.erased e where e.id = of_id) then 'was erased: there is nothing left to send'
        when message.state = 'sent' and held.replay is not null and held.settled_as is null and held.failed_at is null
            then format('is being published anew already, by act %s', held.replay)
        when message.state = 'sent' and held.replay is not null and held.settled_as is null
            then format('could not be published anew by act %s: it is held again, and replayed like any other', held.replay)
        when message.state = 'sent'
            then format('was sent at %s%s', outbox.told(message.sent_at),
                        case act when 'replay' then '; as a sent message it can be published anew' else '' end)
        when message.state = 'discarded' then format('was discarded at %s, which is final', outbox.told(held.settled_at))
        when sent and held.failed_at is not null then format('is %s, and was never sent', message.state)
        when sent and message.state = 'scheduled'
            then format('is scheduled for %s, and was not sent yet', outbox.told(held.due_at))
        when sent then format('is %s, and was not sent yet', message.state)
        when message.state = 'scheduled'
            then format('is scheduled for %s, it has not failed', outbox.told(held.due_at))
        when message.state in ('blocked', 'unreachable')
            then format('waits behind %s, which has failed, and follows it by itself', first)
        when held.id is null then 'is pending, it is not held: a relay sends it in its turn'
        else 'is pending, nothing is in its way any more: a relay sends it in its turn'
    end;
end
$function$;

-- create_make_due: failed rows, to be sent at once, and with all their attempts before them
create function outbox.make_due(shards smallint[], seqs bigint[]) returns uuid[]
    language sql
as $function$
    with locked as (
        select h.shard, h.seq
        from unnest(shards, seqs) as c(shard, seq)
        join outbox.held h on h.shard = c.shard and h.seq = c.seq
        where num_nulls(h.settled_as) = 1 and h.failed_at is not null
        order by h.shard, h.seq
        for update of h
    ), due as (
        update outbox.held h set due_at = clock_timestamp(), attempts = 0
        from locked where h.shard = locked.shard and h.seq = locked.seq
        returning h.id
    )
    select coalesce(array_agg(due.id), '{}') from due
$function$;

-- create_settle_discarded: rows that are not settled yet. One that a relay is sending at this moment is settled by that
-- relay as sent, afterwards: for so it is.
create function outbox.settle_discarded(shards smallint[], seqs bigint[]) returns uuid[]
    language sql
as $function$
    with locked as (
        select h.shard, h.seq
        from unnest(shards, seqs) as c(shard, seq)
        join outbox.held h on h.shard = c.shard and h.seq = c.seq
        where num_nulls(h.settled_as) = 1
        order by h.shard, h.seq
        for update of h
    ), discarded as (
        update outbox.held h set settled_as = 'discarded', settled_at = clock_timestamp()
        from locked where h.shard = locked.shard and h.seq = locked.seq
        returning h.id
    )
    select coalesce(array_agg(discarded.id), '{}') from discarded
$function$;

-- create_publish_anew: sent rows, as held ones that nothing waits for: reopened where they were held, else copied. Due now,
-- all at one time, so that those of a shard go in their order. By force: consumers are asked to handle them once more.
create function outbox.publish_anew(by_act bigint, by_force boolean, shards smallint[], seqs bigint[]) returns uuid[]
    language sql
as $function$
    with locked as (
        select h.shard, h.seq
        from unnest(shards, seqs) as c(shard, seq)
        join outbox.held h on h.shard = c.shard and h.seq = c.seq
        where h.settled_as = 'sent' or h.settled_as is not null and h.replay is not null
        order by h.shard, h.seq
        for update of h
    ), reopened as (
        update outbox.held h
        set scope = 'none', due_at = now(), attempts = 0, failed_at = null, fault = null, code = null, error = null,
            held_at = clock_timestamp(), replay = by_act, force = by_force, settled_as = null, settled_at = null,
            first_sent_at = case when h.replay is null then h.settled_at else h.first_sent_at end
        from locked where h.shard = locked.shard and h.seq = locked.seq
        returning h.id
    ), copied as (
        insert into outbox.held (shard, seq, id, topic, key, type, payload, content_type, headers, created_at, scope,
                                 due_at, replay, force)
        select m.shard, m.seq, m.id, m.topic, m.key, m.type, m.payload, m.content_type, m.headers, m.created_at, 'none',
               now(), by_act, by_force
        from unnest(shards, seqs) as c(shard, seq)
        join outbox.message m on m.shard = c.shard and m.seq = c.seq
        where not exists (select from outbox.held h where h.shard = c.shard and h.seq = c.seq)
        order by m.shard, m.seq
        returning id
    )
    select coalesce(array_agg(id), '{}') from (select id from reopened union all select id from copied) as anew
$function$;

-- create_demand_all: goes on only where nothing that was named by its id was left out
create function outbox.demand_all(act text, choice outbox.choice, taken uuid[]) returns void
    language plpgsql stable
as $function$
declare
    missing uuid[] := array(select unnest(choice.ids) except select unnest(taken) order by 1);
begin
    if missing <> '{}' then
        raise exception using
            errcode = 'object_not_in_prerequisite_state', hint = 'nothing was changed',
            message = (
                select string_agg(format('message %s %s', id, outbox.why_not(act, choice.sent, id)), '; ')
                from unnest(missing[1:10]) as id
            ) || case when cardinality(missing) > 10 then format('; and %s more', cardinality(missing) - 10) else '' end;
    end if;
end
$function$;

-- create_carry_out: does an act to all that is chosen, in steps, of which a session that listens to notices of 01OUT hears
create function outbox.carry_out(
    kind text, why text, choice outbox.choice, dry_run boolean, out act bigint, out messages bigint
)
    language plpgsql
as $function$
declare
    step  record;
    done  uuid[];
    taken uuid[] := '{}';
begin
    perform outbox.demand_choice(kind, choice);
    if dry_run then
        select count(*), array_agg(c.id) filter (where choice.ids is not null) into messages, taken
        from outbox.chosen(kind, choice) as c;
        perform outbox.demand_all(kind, choice, coalesce(taken, '{}'));
        return;
    end if;
    if coalesce(btrim(why), '') = '' then
        raise exception 'why is empty; allowed: a reason, which is recorded'
            using errcode = 'invalid_parameter_value', hint = 'nothing was changed';
    end if;
    lock table outbox.operator_act in share row exclusive mode;
    act := nextval(pg_get_serial_sequence('outbox.operator_act', 'id'));
    messages := 0;
    for step in
        select array_agg(c.shard order by c.shard, c.seq) as shards, array_agg(c.seq order by c.shard, c.seq) as seqs
        from (
            select chosen.shard, chosen.seq, (row_number() over (order by chosen.shard, chosen.seq) - 1) / 5000 as number
            from outbox.chosen(kind, choice) as chosen
        ) as c
        group by c.number order by c.number
    loop
        done := case
            when kind = 'discard' then outbox.settle_discarded(step.shards, step.seqs)
            when choice.sent then outbox.publish_anew(act, coalesce(choice.force, false), step.shards, step.seqs)
            else outbox.make_due(step.shards, step.seqs) end;
        messages := messages + cardinality(done);
        taken := taken || case when choice.ids is not null then done else '{}' end;
        if cardinality(step.seqs) = 5000 then
            raise notice using message = format('%s messages so far', messages), errcode = '01OUT';
        end if;
    end loop;
    perform outbox.demand_all(kind, choice, taken);
    if messages = 0 then
        act := null;
        return;
    end if;
    insert into outbox.operator_act (id, act, why, choice, messages) overriding system value
    values (act, kind, why, jsonb_strip_nulls(to_jsonb(choice)), messages);
end
$function$;

-- create_replay: sends again what has failed, or publishes anew what was sent. Returns the number of the act, under which
-- it is recorded (null where nothing was to be done), and of how many messages. Runs with the rights of the owner of the
-- outbox, so that no one acts and leaves no record.
create function outbox.replay(
    why text, ids uuid[] default null, topic text default null, key text default null, error text default null,
    state text default null, after timestamptz default null, before timestamptz default null,
    everything boolean default false, sent boolean default false, dry_run boolean default false,
    force boolean default false, out act bigint, out messages bigint
)
    language sql security definer
    set search_path = pg_catalog, pg_temp set jit = off
as $function$
    select act, messages
    from outbox.carry_out(
        'replay', why, row(ids, topic, key, error, state, after, before, everything, sent, force), dry_run)
$function$;
revoke execute on function outbox.replay from public;

-- create_discard: settles what is held as never to be sent; what waited behind it goes on. Else as outbox.replay.
create function outbox.discard(
    why text, ids uuid[] default null, topic text default null, key text default null, error text default null,
    state text default null, after timestamptz default null, before timestamptz default null,
    everything boolean default false, dry_run boolean default false,
    out act bigint, out messages bigint
)
    language sql security definer
    set search_path = pg_catalog, pg_temp set jit = off
as $function$
    select act, messages
    from outbox.carry_out(
        'discard', why, row(ids, topic, key, error, state, after, before, everything, false, false), dry_run)
$function$;
revoke execute on function outbox.discard from public;
