"""Connects alembic to MIGRATION_DATABASE_URL, or to the connection that `server.store.migrate` hands over."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from server.store.migrate import driver_url


def migrate(connection: Connection) -> None:
    """Each revision is one transaction: what stands in `alembic_version` is complete."""
    context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with create_engine(driver_url(os.environ["MIGRATION_DATABASE_URL"]), poolclass=NullPool).connect() as own:
        migrate(own)
