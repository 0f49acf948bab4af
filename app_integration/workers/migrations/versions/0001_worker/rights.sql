-- create_runtime_role: what a worker needs and no more. It may add to the audit log and read it, nothing else. Roles
-- belong to the whole cluster: one that is there already (another database's) is taken as it is. Who may create no role
-- gets none, and grants by hand what is here.
do $do$
begin
    if not exists (select from pg_roles where rolname = 'outbox_worker') then
        create role outbox_worker nologin;
    end if;
exception
    when insufficient_privilege then
        raise notice 'role outbox_worker was not made: this role may not create roles';
    when duplicate_object or unique_violation then
        null; -- another database's migration made it in the same moment
end
$do$;

do $do$
begin
    if exists (select from pg_roles where rolname = 'outbox_worker') then
        grant usage on schema worker to outbox_worker;
        grant select, insert, update, delete on worker.inbox, worker.held, worker.notification to outbox_worker;
        grant select, insert, update on worker.analytics_hourly, worker.analytics_daily to outbox_worker;
        grant select, insert on worker.audit_entry to outbox_worker;
        grant select, insert, update, delete on worker.endpoint, worker.retired_secret, worker.delivery to outbox_worker;
        grant select on worker.schema_version to outbox_worker;
    end if;
end
$do$;
