"""Transactions of both databases: committed or rolled back as a whole, and no connection is lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database, url_of
from tests.fixtures.databases import BACKENDS, new_postgres_url

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


@asynccontextmanager
async def opened(backend: str) -> AsyncGenerator[Database, None]:
    """A database of one table, `numbers`."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(url_of(Path(folder), None if backend == "sqlite" else new_postgres_url()))
        async with database.write() as connection:
            await connection.exec_driver_sql("CREATE TABLE numbers (number INTEGER)")
        yield database
        pool: Any = database._engine.pool
        assert pool.checkedout() == 0
        await database.aclose()


async def add(connection: AsyncConnection, number: int) -> None:
    await connection.exec_driver_sql(f"INSERT INTO numbers VALUES ({number})")


async def numbers(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.exec_driver_sql("SELECT number FROM numbers ORDER BY number")).scalars())


async def test_a_database_that_is_closed_waits_for_who_was_cut_off(backend: str):
    async with opened(backend) as database:
        in_it = asyncio.Event()

        async def serve() -> None:
            async with database.read() as connection:
                await connection.exec_driver_sql("SELECT 1")
                in_it.set()
                await asyncio.Event().wait()

        cut = asyncio.create_task(serve())
        await in_it.wait()
        pool: Any = database._engine.pool
        cut.cancel()
        await database.aclose()
        assert cut.done()
        assert pool.checkedin() == pool.checkedout() == 0


async def test_an_exception_undoes_all_of_its_transaction(backend: str):
    async with opened(backend) as database:
        with suppress(ZeroDivisionError):
            async with database.write() as connection:
                await add(connection, 1)
                raise ZeroDivisionError
        assert await numbers(database) == []


async def test_what_is_written_while_an_exception_is_handled_stays(backend: str):
    async with opened(backend) as database:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            async with database.write() as connection:
                await add(connection, 1)
        assert await numbers(database) == [1]


async def test_a_savepoint_is_undone_by_itself(backend: str):
    async with opened(backend) as database:
        async with database.write() as connection:
            await add(connection, 1)
            async with connection.begin_nested() as attempt:
                await add(connection, 2)
                await attempt.rollback()
            with suppress(ZeroDivisionError):
                async with connection.begin_nested():
                    await add(connection, 3)
                    raise ZeroDivisionError
            async with connection.begin_nested():
                await add(connection, 4)
        assert await numbers(database) == [1, 4]


@pytest.mark.parametrize("num_steps", range(0, 30, 4))
async def test_a_cancellation_undoes_its_transaction_whenever_it_comes(backend: str, num_steps: int):
    async with opened(backend) as database:

        async def work() -> None:
            async with database.write() as connection:
                await add(connection, 1)
                await add(connection, 2)
                await asyncio.Event().wait()

        working = asyncio.ensure_future(work())
        for _ in range(num_steps):
            await asyncio.sleep(0.0003)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert await numbers(database) == []
        async with database.write() as connection:
            await add(connection, 3)
        assert await numbers(database) == [3]
