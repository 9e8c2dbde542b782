"""Alembic runs this file for every migration; the connection comes from `upgrade`."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], render_as_batch=True, transaction_per_migration=False
)
context.run_migrations()
