-- create_notification: what a user was told. The id is the message's, so that client and server speak of the same one.
create table worker.notification (
    id         text        not null primary key,
    user_id    text        not null,
    type       text        not null,
    title      text        not null,
    message    text        not null,
    data       json        not null default '{}',
    created_at timestamptz not null,
    read_at    timestamptz
);
create index notification_newest on worker.notification (user_id, created_at desc, id desc);
create index notification_unread on worker.notification (user_id) where read_at is null;
