-- Which relays may run here while a fleet is upgraded.

-- create_oldest_relay: relays that know this revision, or a later one, work with the schema as it is now. A migration that
-- only adds leaves it as it is; one that takes something away, or asks more of relays, raises it to the first revision whose
-- relays do without the one and know the other.
create function outbox.oldest_relay() returns text
    language sql stable
    return '0001';
