"""Which version of the tables a database has, and the way to the newest.

Migrations only add (docs/decisions): the code before a migration runs on the tables after it, so that servers are
replaced one by one. An empty database needs none of them: it gets the tables as they are now, and a test compares.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database, Lock
from antiphon.store.tables import metadata

HEAD = "0005"


async def version_of(connection: AsyncConnection) -> str | None:
    """The database's version; None for one that is empty."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()


async def version(database: Database) -> str | None:
    async with database.read() as connection:
        return await version_of(connection)


async def upgrade(database: Database) -> str | None:
    """Bring the tables to HEAD; the version that they had. Tables that are newer already are left as they are.

    Raises OperatorError if the database cannot be used at all.
    """
    async with database.write() as connection:
        await database.hold(connection, Lock.TABLES)
        found = await version_of(connection)
        if found is None:
            await connection.run_sync(_create)
        elif found < HEAD:
            await connection.run_sync(_run)
        return found


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    connection.execute(_CREATE_VERSION)
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})


_CREATE_VERSION = text(
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def _run(connection: Connection) -> None:
    from alembic import command  # a start that has nothing to migrate does not pay for it

    command.upgrade(_config(connection), "head")


def _config(connection: Connection):  # noqa: ANN202 - alembic's, which is imported late
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config
