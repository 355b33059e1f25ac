"""From any version to the newest, with its data, on both databases."""

import ast
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData, insert, inspect, select, text

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
async def test_an_empty_database_gets_the_very_tables_that_the_migrations_make(backend: str):
    """All that a database says of them: columns, keys, indexes, comments, triggers and functions."""
    found: list[set[Any]] = []
    for make in (lambda connection: upgrade_to(connection, "head"), schema._create):
        with tempfile.TemporaryDirectory() as folder:
            database = Database(url_of(Path(folder), None if backend == "sqlite" else new_postgres_url()))
            async with database.write() as connection:
                await connection.run_sync(make)
                found.append(await connection.run_sync(all_that_is_there))
            await database.aclose()
    migrated, created = found
    assert created == migrated
    assert {name for name, *_ in created} >= {"alembic_version", *tables.metadata.tables}


def all_that_is_there(connection: Connection) -> set[Any]:
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    else:
        rows = connection.exec_driver_sql(
            "SELECT t.tgname, t.tgrelid::regclass::text, pg_get_triggerdef(t.oid) || pg_get_functiondef(t.tgfoid) "
            "FROM pg_trigger t WHERE NOT t.tgisinternal"
        ).all()
    there = inspect(connection)
    found = {tuple(row) for row in rows}
    for table in there.get_table_names():
        versions = tuple(map(str, connection.execute(text(f"SELECT * FROM {table}"))))
        found.add((table, *(versions if table == "alembic_version" else ())))
        found |= {(table, "column", told(column)) for column in there.get_columns(table)}
        found |= {(table, "index", told(index)) for index in there.get_indexes(table)}
        found |= {(table, "foreign", told(key)) for key in there.get_foreign_keys(table)}
        found |= {(table, "unique", told(key)) for key in there.get_unique_constraints(table)}
        found.add((table, "primary", told(there.get_pk_constraint(table))))
        found.add((table, "checks", repr(there.get_check_constraints(table))))
        if connection.dialect.name != "sqlite":  # it has no comments
            found.add((table, "comment", there.get_table_comment(table)["text"]))
    return found


def told(facts: Any) -> str:
    """The same words for the same facts: a condition's own would hold its address."""
    if isinstance(facts, Mapping):
        return str(sorted((name, told(fact)) for name, fact in facts.items()))
    return str(facts)


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
