-- create_audit_entry: append-only. `entry` is the canonical JSON whose hash, after the hash before it, is `hash`; nobody
-- can change, add, drop or exchange an entry without changing all hashes after it.
create table worker.audit_entry (
    chain    text   not null,
    number   bigint not null,
    entry    text   not null,
    hash     bytea  not null,
    primary key (chain, number),
    constraint numbers_begin_with_one check (number >= 1),
    constraint hash_is_sha256 check (length(hash) = 32)
);

-- refuse_change: whoever holds the rights by mistake is refused too; only the table's owner can take this trigger away
create function worker.refuse_change() returns trigger
    language plpgsql
as $function$
begin
    raise exception 'worker.audit_entry is append-only: % is refused', lower(tg_op) using errcode = 'insufficient_privilege';
end
$function$;

create trigger audit_entry_is_append_only before update or delete or truncate on worker.audit_entry
    for each statement execute function worker.refuse_change();
