-- Takes the outbox back, unless that would lose a message that was never sent.

-- lock_message: waits for every open transaction that has written, and keeps new ones out until this one is over, so
-- that none slips in between the look and the drop
lock table outbox.message in access exclusive mode;

-- refuse_unsent
do $do$
declare
    unsent bigint;
begin
    select count(*) into unsent from outbox.message_state where state not in ('sent', 'discarded');
    if unsent > 0 then
        raise exception '% message(s) in outbox.message are unsent and would be lost', unsent
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'let a relay send them first (relay drain); what it cannot send is for relay failed';
    end if;
end
$do$;

-- drop_functions_of_writers
drop function outbox.enqueue(text, jsonb, text, text, jsonb, uuid, timestamptz);
drop function outbox.enqueue_bytes(text, bytea, text, text, text, jsonb, uuid, timestamptz);

-- drop_functions_of_operators
drop function outbox.pause, outbox.resume, outbox.limit, outbox.rule, outbox.known_topics, outbox.not_obeying;
drop function outbox.show, outbox.relays, outbox.acts_on, outbox.erase, outbox.key_in_place;
drop function outbox.replay, outbox.discard, outbox.carry_out, outbox.demand_all, outbox.publish_anew,
    outbox.settle_discarded, outbox.make_due, outbox.why_not, outbox.told, outbox.chosen, outbox.chosen_sent,
    outbox.passed, outbox.passed_since, outbox.shards_of, outbox.demand_choice;
drop type outbox.choice;

-- drop_tables
drop view outbox.message_state;
drop view outbox.held_state;
drop function outbox.position_before(smallint, timestamptz);
drop function outbox.sent_at(smallint, text, xid8, bigint);
drop function outbox.covers_topic(pg_snapshot, pg_snapshot, bigint, jsonb, text, xid8, bigint);
drop function outbox.covers(pg_snapshot, pg_snapshot, bigint, xid8, bigint);
drop table outbox.checkpoint;
drop table outbox.snapshot;
drop table outbox.message;
drop table outbox.held;
drop table outbox.operator_act;
drop table outbox.topic_rule;
drop table outbox.erased;
drop table outbox.rotation;
drop function outbox.ring();

-- drop_upgrade
drop function outbox.oldest_relay();

-- drop_defaults
drop function outbox.uuid7();
drop function outbox.shard_count();
drop sequence outbox.slot;

-- revoke_from_roles: the roles themselves belong to the whole cluster, and may serve another database's outbox
do $do$
begin
    if num_nulls(to_regrole('outbox_application'), to_regrole('outbox_relay'), to_regrole('outbox_operator')) = 0 then
        revoke all on schema outbox from outbox_application, outbox_relay, outbox_operator;
        revoke all on outbox.schema_version from outbox_application, outbox_relay, outbox_operator;
    end if;
end
$do$;
