"""How Alembic runs the workers' migrations: in the one transaction that `worker migrate` hands over, one at a time.

Apart from the outbox's: a database may have either without the other, and each has its own version table.
"""

from alembic import context

BEFORE = """
-- serialise_operators: the second one waits for the first, then finds nothing left to do
set local lock_timeout = '60s';
select pg_advisory_xact_lock(hashtextextended('outbox-relay worker migrate', 0));
-- yield_to_workers: a migration that waits for a table makes every later statement wait behind it
set local lock_timeout = '3s';
set local search_path = pg_catalog;
"""

connection = context.config.attributes["connection"]
connection.exec_driver_sql(BEFORE)
if connection.exec_driver_sql("select to_regnamespace('worker') is null").scalar():
    connection.exec_driver_sql("create schema worker")
context.configure(connection=connection, version_table="schema_version", version_table_schema="worker")
with context.begin_transaction():
    context.run_migrations()
