"""How Alembic runs the application's migrations: on the connection that `app_integration.example.migrate` hands over.

The version table is the application's own, so that its migrations and those of the outbox, which are in the same
database, never meet.
"""

from alembic import context

SCHEMA = "edu_matrix"

connection = context.config.attributes["connection"]
connection.exec_driver_sql(f"create schema if not exists {SCHEMA}")
context.configure(connection=connection, version_table="schema_version", version_table_schema=SCHEMA)
with context.begin_transaction():
    context.run_migrations()
