-- drop_all: in the reverse order; the version table stays, in its schema
drop function realtime.post(text, text, jsonb, text), realtime.expel(text, text), realtime.admit(text, text);
drop table realtime.call_party, realtime.call, realtime.presence, realtime.attendance, realtime.server, realtime.entry,
    realtime.stream, realtime.membership;
