-- drop_all: the version table stays, in its schema
drop schema payment_sandbox cascade;
drop table edu_matrix.enrolments, edu_matrix.payments, edu_matrix.purchases, edu_matrix.courses, edu_matrix.users;
