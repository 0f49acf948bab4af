-- What operators say of whole topics: pause, resume, limit. A relay looks twice a second at what was said, and shows by a
-- shared lock up to which act it obeys.

-- create_known_topics: topics that have been enqueued lately, that something is held of, or of which something was said
create function outbox.known_topics() returns setof text
    language sql stable security definer
    set search_path = pg_catalog, pg_temp set jit = off
as $function$
    select topic from (
        select recent.topic
        from generate_series(0, outbox.shard_count() - 1) as every(shard)
        cross join lateral (
            select m.topic from outbox.message m where m.shard = every.shard::smallint order by m.seq desc limit 1000
        ) as recent
        union
        select h.topic from outbox.held h where h.settled_as is null
        union
        select r.topic from outbox.topic_rule r
    ) as known
$function$;
revoke execute on function outbox.known_topics from public;

-- create_rule: says one thing of a topic and records it; returns the act, or null where that is said already
create function outbox.rule(kind text, of_topic text, new_rate double precision, why text, unknown boolean) returns bigint
    language plpgsql
as $function$
declare
    said    outbox.topic_rule;
    number  bigint;
    problem text := case
        when coalesce(btrim(why), '') = '' then 'why is empty; allowed: a reason, which is recorded'
        when of_topic is null or of_topic ~ '[^a-zA-Z0-9._-]' or length(of_topic) not between 1 and 249
            then format('topic is %L; allowed: the name of a topic', left(of_topic, 300))
        when new_rate = 'NaN' or new_rate = 'infinity' or new_rate <= 0
            then format('rate is %s; allowed: messages a second, above 0, or null to take the limit away', new_rate)
    end;
begin
    if problem is not null then
        raise exception using message = problem, errcode = 'invalid_parameter_value', hint =
            case when new_rate <= 0 then 'nothing was changed; to stop a topic: outbox.pause, relay pause'
                 else 'nothing was changed' end;
    end if;
    lock table outbox.operator_act in share row exclusive mode;
    select * into said from outbox.topic_rule r where r.topic = of_topic;
    if kind = 'resume' and said.paused_at is null or kind = 'limit' and said.rate is not distinct from new_rate
       or kind = 'pause' and said.paused_at is not null then
        return null;
    end if;
    if not unknown and not exists (select from outbox.known_topics() as known(topic) where known.topic = of_topic) then
        raise exception using
            message = format('nothing is known of a topic %L', of_topic), errcode = 'invalid_parameter_value',
            hint = format('nothing was changed; known are: %s; for one of which nothing was enqueued lately: unknown => true',
                          coalesce((select string_agg(known, ', ' order by known) from outbox.known_topics() as known), 'none'));
    end if;
    number := nextval(pg_get_serial_sequence('outbox.operator_act', 'id'));
    insert into outbox.operator_act (id, act, why, choice) overriding system value
    values (number, kind, why, jsonb_strip_nulls(jsonb_build_object('topic', of_topic, 'rate', new_rate)));
    insert into outbox.topic_rule as r (topic, paused_at, rate, act)
    values (of_topic, case when kind = 'pause' then clock_timestamp() end, new_rate, number)
    on conflict (topic) do update
    set paused_at = case kind when 'pause' then clock_timestamp() when 'resume' then null else r.paused_at end,
        rate = case kind when 'limit' then new_rate else r.rate end, act = number;
    return number;
end
$function$;

-- create_pause: nothing of a topic is published from when all relays obey (outbox.not_obeying) until it is resumed. Returns
-- the act; null where it is paused already.
create function outbox.pause(topic text, why text, unknown boolean default false) returns bigint
    language sql security definer
    set search_path = pg_catalog, pg_temp
    begin atomic select outbox.rule('pause', topic, null, why, unknown); end;
revoke execute on function outbox.pause from public;

-- create_resume: what waited goes, in order, and at its rate where it has one. Returns the act; null where nothing was paused.
create function outbox.resume(topic text, why text) returns bigint
    language sql security definer
    set search_path = pg_catalog, pg_temp
    begin atomic select outbox.rule('resume', topic, null, why, true); end;
revoke execute on function outbox.resume from public;

-- create_limit: of a topic, all relays together publish no more than so many messages a second; null takes the limit away.
-- Returns the act; null where that was the limit already.
create function outbox.limit(topic text, rate double precision, why text, unknown boolean default false) returns bigint
    language sql security definer
    set search_path = pg_catalog, pg_temp
    begin atomic select outbox.rule('limit', topic, rate, why, unknown); end;
revoke execute on function outbox.limit from public;

-- create_not_obeying: the live relays that do not obey an act on a topic yet
create function outbox.not_obeying(of_act bigint) returns table (pid integer, relay text)
    language sql volatile
    set search_path = pg_catalog, pg_temp
as $function$
    with locked as materialized (
        select l.pid, l.classid::bigint as class, l.objid::bigint as number
        from pg_locks l
        where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
          and l.database = (select oid from pg_database where datname = current_database())
    )
    select member.pid, coalesce((select a.application_name from pg_stat_activity a where a.pid = member.pid), '')
    from locked member
    where member.class = 1869968386
      and not exists (
          select from locked obeyed
          where obeyed.pid = member.pid and obeyed.class = 1869968402 and obeyed.number >= of_act
      )
$function$;
