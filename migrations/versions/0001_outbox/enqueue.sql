-- Enqueueing from any language.

-- create_enqueue_bytes: a payload of any format, as it goes to Kafka; not before deliver_after, where that is given
create function outbox.enqueue_bytes(
    topic text, payload bytea, content_type text default 'application/octet-stream', key text default null,
    type text default null, headers jsonb default null, id uuid default null, deliver_after timestamptz default null
) returns uuid
    language plpgsql
as $function$
declare
    message_id uuid := coalesce(id, outbox.uuid7());
begin
    insert into outbox.message (id, topic, key, type, payload, content_type, headers, deliver_after)
    values (message_id, topic, key, type, payload, content_type, headers, deliver_after);
    return message_id;
end
$function$;

-- create_enqueue: a JSON payload; null is a tombstone
create function outbox.enqueue(
    topic text, payload jsonb, key text default null, type text default null, headers jsonb default null,
    id uuid default null, deliver_after timestamptz default null
) returns uuid
    language sql volatile
    return outbox.enqueue_bytes(topic, convert_to(payload::text, 'UTF8'), 'application/json', key, type, headers, id,
                                deliver_after);
