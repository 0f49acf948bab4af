"""How Alembic runs the migrations of the schema `edu_matrix`; the rest is in `app_integration.migrations`."""

from app_integration.migrations import run

run("edu_matrix")
