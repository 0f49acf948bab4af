-- Since when new rows go to a slot.

-- create_rotation: when new rows began to go to each slot, the last time. Only the time of the slot that they go to now
-- decides anything, namely when to move on; whoever rotates writes it, so that relays need no memory of it.
create table outbox.rotation (
    slot smallint    not null primary key check (slot between 0 and 7),
    at   timestamptz not null default clock_timestamp()
);

-- first_rotation
insert into outbox.rotation (slot) values (0);
