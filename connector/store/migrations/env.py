"""Run by Alembic. The connection and its transaction are those of whoever called ``migrations.upgrade``."""

from __future__ import annotations

from alembic import context

from connector.store.tables import metadata

connection = context.config.attributes["connection"]
# SQLite changes a column by making the table again (batch).
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
