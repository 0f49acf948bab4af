-- A migration that older relays cannot work with is refused while one of them is at work, and none can start until it is
-- over: each relay holds the shared lock of the revision that it was made for.
do $do$
declare
    older text := (
        select string_agg(distinct coalesce(nullif(a.application_name, ''), 'pid ' || l.pid), ', ')
        from generate_series(1, outbox.oldest_relay()::int - 1) as revision
        left join pg_locks l on l.locktype = 'advisory' and l.objsubid = 2 and l.granted
            and l.classid = 1869968416 and l.objid = revision
            and l.database = (select oid from pg_database where datname = current_database())
        left join pg_stat_activity a using (pid)
        where not pg_try_advisory_xact_lock(1869968416, revision));
begin
    if older is not null then
        raise exception 'relays of a release that cannot work with the new schema are running: %', older
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'replace them by the release before this one or by this one, then migrate again';
    end if;
end
$do$;
