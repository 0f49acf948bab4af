-- drop_all: in the reverse order; the role stays, for it may be another database's too
drop table worker.delivery, worker.retired_secret, worker.endpoint;
drop table worker.audit_entry;
drop function worker.refuse_change();
drop table worker.analytics_daily, worker.analytics_hourly, worker.notification, worker.held, worker.inbox;
