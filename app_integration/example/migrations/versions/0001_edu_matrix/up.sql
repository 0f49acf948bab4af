-- create_users: one account for an address, whatever its capitals
create table edu_matrix.users (
    id            uuid        not null primary key,
    email         text        not null check (length(email) between 3 and 254),
    name          text        not null check (length(name) between 1 and 200),
    user_type     text        not null check (user_type in ('student', 'teacher')),
    password_hash text        not null check (password_hash like '$argon2%'),
    registered_at timestamptz not null default now()
);
create unique index users_email on edu_matrix.users (lower(email));

-- create_courses
create table edu_matrix.courses (
    id         uuid          not null primary key,
    name       text          not null unique check (length(name) between 1 and 200),
    amount     numeric(18,3) not null check (amount >= 0),
    currency   text          not null check (currency ~ '^[A-Z]{3}$'),
    teacher_id uuid          references edu_matrix.users
);
create index courses_teacher on edu_matrix.courses (teacher_id);

-- create_purchases: a settled one has its answer
create table edu_matrix.purchases (
    id              uuid          not null primary key,
    user_id         uuid          not null references edu_matrix.users,
    course_id       uuid          not null references edu_matrix.courses,
    amount          numeric(18,3) not null check (amount >= 0),
    currency        text          not null,
    idempotency_key text          not null check (length(idempotency_key) between 1 and 200),
    fingerprint     text          not null,
    state           text          not null default 'pending'
                    check (state in ('pending', 'completed', 'declined', 'rejected', 'abandoned')),
    status          integer,
    answer          json,
    begun_at        timestamptz   not null default now(),
    constraint purchases_key unique (user_id, idempotency_key),
    constraint settled_purchases_have_an_answer check ((state = 'pending') = (status is null)
                                                       and (status is null) = (answer is null))
);
create index purchases_pending on edu_matrix.purchases (begun_at) where state = 'pending';
create index purchases_course on edu_matrix.purchases (course_id);

-- create_payments
create table edu_matrix.payments (
    id        uuid          not null primary key references edu_matrix.purchases,
    user_id   uuid          not null references edu_matrix.users,
    amount    numeric(18,3) not null check (amount >= 0),
    currency  text          not null,
    charge_id text          not null unique,
    paid_at   timestamptz   not null default now()
);
create index payments_user on edu_matrix.payments (user_id);

-- create_enrolments: one seat, paid for once
create table edu_matrix.enrolments (
    user_id    uuid        not null references edu_matrix.users,
    course_id  uuid        not null references edu_matrix.courses,
    payment_id uuid        not null unique references edu_matrix.payments,
    since      timestamptz not null,
    primary key (user_id, course_id)
);
create index enrolments_course on edu_matrix.enrolments (course_id);

-- fill_courses: so that there is something to buy
insert into edu_matrix.courses (id, name, amount, currency) values
    ('01920000-0000-7000-8000-000000000001', 'Algebra from the beginning', 49.00, 'EUR'),
    ('01920000-0000-7000-8000-000000000002', 'Biology of the garden', 59.90, 'EUR'),
    ('01920000-0000-7000-8000-000000000003', 'Chemistry in the kitchen', 65.00, 'EUR'),
    ('01920000-0000-7000-8000-000000000004', 'Drawing what you see', 19.50, 'EUR');

-- create_sandbox: another company's database, in truth; it shares no transaction with ours
create schema payment_sandbox;
create table payment_sandbox.charges (
    payment_id text          not null primary key,
    state      text          not null check (state in ('charged', 'declined', 'cancelled')),
    charge_id  text          unique,
    amount     numeric(18,3),
    currency   text,
    reason     text,
    at         timestamptz   not null default clock_timestamp(),
    constraint charges_have_a_name check ((state = 'charged') = (charge_id is not null))
);
