"""What alembic runs: the migrations, on the connection that `store.schema` gives it."""

from alembic import context

from antiphon.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
