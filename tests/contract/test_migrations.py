"""From any version to the newest, with its data, on both databases."""

import ast
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, MetaData, insert, select

import antiphon.store.migrations
from antiphon.store import schema, tables
from antiphon.store.care import faults_of
from antiphon.store.db import Database, url_of
from tests.fixtures.databases import BACKENDS, books, new_postgres_url

VERSIONS = sorted((Path(antiphon.store.migrations.__file__).parent / "versions").glob("0*.py"))


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_migrations_make_the_tables_that_the_code_knows(backend: str):
    async with books(backend) as own:
        assert await schema.version(own.database) == schema.HEAD == VERSIONS[-1].name[:4]
        assert await faults_of(own.database) == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", [path.name[:4] for path in VERSIONS[:-1]])
async def test_an_older_database_keeps_its_data(backend: str, version: str):
    old = await tables_of(backend, version)
    async with opened(backend) as database:
        async with database.write() as connection:
            await connection.run_sync(upgrade_to, version)
            await connection.run_sync(fill, old)
        before = await everything(database)
        assert await schema.upgrade(database) == version
        after = await everything(database)
        assert await faults_of(database) == []
    assert before
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("version", [path.name[:4] for path in VERSIONS[:-1]])
async def test_the_newest_tables_take_and_give_what_an_older_release_knows(backend: str, version: str):
    """It names only the columns that it has, in every statement."""
    old = await tables_of(backend, version)
    async with opened(backend) as database:
        await schema.upgrade(database)
        async with database.write() as connection:
            await connection.run_sync(fill, old)
            for table in old.sorted_tables:
                assert len((await connection.execute(select(table))).all()) == 1, table.name


@pytest.mark.parametrize("backend", BACKENDS)
async def test_tables_of_a_newer_release_are_left_as_they_are(backend: str):
    async with books(backend) as own:
        async with own.database.write() as connection:
            await connection.exec_driver_sql("ALTER TABLE api_keys ADD COLUMN news TEXT")
            await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        assert await schema.upgrade(own.database) == "9999"
        assert own.first.api
        assert await own.directory.find(own.first.api)


@pytest.mark.parametrize("path", VERSIONS[1:], ids=lambda path: path.stem)
def test_a_migration_only_adds(path: Path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
    assert not {name for name in names if name.startswith(("drop_", "rename_", "alter_"))}
    for node in calls:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "add_column":
            source = ast.unparse(node)
            assert "nullable=True" in source or "server_default" in source, source


def upgrade_to(connection: Connection, version: str) -> None:
    from alembic import command

    command.upgrade(schema._config(connection), version)


@asynccontextmanager
async def opened(backend: str) -> AsyncGenerator[Database, None]:
    """An empty database."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(url_of(Path(folder), None if backend == "sqlite" else new_postgres_url()))
        yield database
        await database.aclose()


async def tables_of(backend: str, version: str) -> MetaData:
    """The tables as they were at `version`."""
    old = MetaData()
    async with opened(backend) as database, database.write() as connection:
        await connection.run_sync(upgrade_to, version)
        await connection.run_sync(old.reflect)
    return old


def fill(connection: Connection, old: MetaData) -> None:
    """A row in every table of `old`, with the columns that it has there."""
    values = {"organization_id": "org_1", "workspace_id": "wrkspc_1", "user_id": "user_1", "created_by": "user_1"}
    ids = {"organizations": "org_1", "workspaces": "wrkspc_1", "users": "user_1"}
    for table in tables.metadata.sorted_tables:
        if table.name not in old.tables:
            continue
        columns = [column for column in table.columns if column.name in old.tables[table.name].columns]
        row = {column.name: values.get(column.name, sample(column.type.python_type)) for column in columns}
        if table.name in ids:
            row["id"] = ids[table.name]
        connection.execute(insert(old.tables[table.name]).values(row))


def sample(kind: type) -> object:
    return {str: "x", int: 7, float: 7.5, bool: True}[kind]


async def everything(database: Database) -> dict[str, list[dict[str, object]]]:
    async with database.read() as connection:
        old = MetaData()
        await connection.run_sync(old.reflect)
        found = {}
        for name, table in old.tables.items():
            if name != "alembic_version":
                found[name] = [dict(row) for row in (await connection.execute(select(table))).mappings()]
        return found
