-- How an insert wakes a relay that sleeps.

-- create_ring: wakes the relay that sleeps on a shard. The shared lock is refused while a relay is awake, for it holds the
-- exclusive one. `set outbox.doorbell = off` is for transactions that will be prepared: those may not notify.
create function outbox.ring() returns trigger
    language plpgsql
as $function$
begin
    if pg_catalog.pg_try_advisory_xact_lock_shared(1869968387, new.shard)
       and pg_catalog.current_setting('outbox.doorbell', true) is distinct from 'off' then
        perform pg_catalog.pg_notify('outbox', new.shard::text);
    end if;
    return null;
end
$function$;

-- create_doorbell: the function decides, not a WHEN: PostgreSQL prepares that anew for each statement, which cost an
-- insert of one row a tenth; this costs it half of that
create trigger doorbell after insert on outbox.message
    for each row execute function outbox.ring();
