-- create_analytics_hourly: how often each event happened to each user, by the hour in which it happened (UTC, by its
-- beginning), whenever it arrived. '' stands for no user, so that a primary key can say it.
create table worker.analytics_hourly (
    event   text        not null,
    user_id text        not null,
    hour    timestamptz not null,
    count   bigint      not null,
    primary key (event, hour, user_id)
);
create index analytics_hourly_user on worker.analytics_hourly (user_id, hour);

-- create_analytics_daily: days in UTC
create table worker.analytics_daily (
    event   text   not null,
    user_id text   not null,
    day     date   not null,
    count   bigint not null,
    primary key (event, day, user_id)
);
create index analytics_daily_user on worker.analytics_daily (user_id, day);
