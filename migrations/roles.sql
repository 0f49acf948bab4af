-- Who may do what: three roles without a login, to be granted to those that log in, and their rights on the outbox.
-- Run after every migration, and whenever relay migrate is; it changes nothing where all is as it says.

-- create_roles: of the whole cluster, so another database's outbox may have made them already
do $do$
declare
    missing text[] := array(
        select name from unnest(array['outbox_application', 'outbox_relay', 'outbox_operator']) as name
        where to_regrole(name) is null);
    name    text;
begin
    if exists (select from pg_roles where rolname like 'outbox\_%' and rolsuper
               and rolname in ('outbox_application', 'outbox_relay', 'outbox_operator')) then
        raise exception 'one of the roles outbox_application, outbox_relay, outbox_operator is a superuser'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'take that from it (alter role ... nosuperuser), or migrate with --no-roles';
    end if;
    foreach name in array missing loop
        begin
            execute format('create role %I nologin', name);
        exception
            -- Another database of this cluster was migrated at the same moment.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'role % may not create the roles that are missing: %', current_user,
                                array_to_string(missing, ', ')
                    using errcode = 'object_not_in_prerequisite_state',
                          hint = format('let one who may run: create role %s; then migrate again; '
                                        'or migrate with --no-roles, and grant by hand what migrations/roles.sql grants',
                                        array_to_string(missing, '; create role '));
        end;
    end loop;
end
$do$;

-- begin_with_nothing: rights that an earlier release gave and this one does not go; functions are nobody's by default
revoke all on all tables in schema outbox from outbox_application, outbox_relay, outbox_operator;
revoke all on all sequences in schema outbox from outbox_application, outbox_relay, outbox_operator;
revoke all on all functions in schema outbox from public, outbox_application, outbox_relay, outbox_operator;
grant usage on schema outbox to outbox_application, outbox_relay, outbox_operator;

-- grant_application: writes messages, and neither reads any nor writes the columns that are the database's own; a row with
-- a false xid or a low seq would never be sent. A column's default reads the sequence.
grant insert (id, topic, key, type, payload, content_type, headers, deliver_after, created_at)
    on outbox.message to outbox_application;
grant select on sequence outbox.slot to outbox_application;
grant execute on function outbox.uuid7, outbox.enqueue, outbox.enqueue_bytes to outbox_application;

-- grant_relay: reads messages, and records what it sent and what it holds
grant select on outbox.message, outbox.checkpoint, outbox.snapshot, outbox.held, outbox.held_state, outbox.rotation,
    outbox.topic_rule, outbox.schema_version to outbox_relay;
grant insert on outbox.checkpoint, outbox.snapshot, outbox.held to outbox_relay;
grant update on outbox.held to outbox_relay;
grant select on sequence outbox.message_seq, outbox.slot to outbox_relay;
grant execute on function outbox.shard_count, outbox.oldest_relay to outbox_relay;
-- so that who is where a relay runs can look with its login: relay status, failed, relays
grant execute on function outbox.chosen, outbox.relays to outbox_relay;

-- grant_pruning: what retention takes beside that
grant truncate on outbox.message_0, outbox.message_1, outbox.message_2, outbox.message_3, outbox.message_4,
    outbox.message_5, outbox.message_6, outbox.message_7 to outbox_relay;
grant select on outbox.message_0, outbox.message_1, outbox.message_2, outbox.message_3, outbox.message_4,
    outbox.message_5, outbox.message_6, outbox.message_7 to outbox_relay;
grant delete on outbox.checkpoint, outbox.snapshot, outbox.held to outbox_relay;
grant insert, update on outbox.rotation to outbox_relay;
grant update on sequence outbox.slot to outbox_relay;

-- grant_operator: sees all but payloads and headers, and acts through functions alone, which leave a record
grant select (xid, seq, slot, shard, id, topic, key, type, content_type, deliver_after, created_at)
    on outbox.message to outbox_operator;
grant select (shard, seq, id, topic, key, key_hash, type, content_type, created_at, scope, ordered, due_at, dead, attempts,
              failed_at, fault, code, error, held_at, replay, force, first_sent_at, settled_as, settled_at, state)
    on outbox.held_state to outbox_operator;
grant select on outbox.message_state, outbox.checkpoint, outbox.snapshot, outbox.rotation, outbox.operator_act,
    outbox.topic_rule, outbox.erased, outbox.schema_version to outbox_operator;
grant select on sequence outbox.message_seq, outbox.slot to outbox_operator;
grant execute on function outbox.shard_count, outbox.oldest_relay, outbox.covers, outbox.covers_topic, outbox.sent_at,
    outbox.position_before to outbox_operator;
grant execute on function outbox.chosen, outbox.replay, outbox.discard to outbox_operator;
grant execute on function outbox.pause, outbox.resume, outbox.limit, outbox.known_topics, outbox.not_obeying
    to outbox_operator;
grant execute on function outbox.acts_on, outbox.relays to outbox_operator;
-- outbox.show tells what messages say, and outbox.erase takes it away for good: grant those to a few by name.
