"""A server that nobody calls leaves its database, and so the processor, to others."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines.fake import FakeEngine
from antiphon.store.db import Database
from tests.fixtures.world import World, ask

IDLE_S = 6.5


async def test_an_idle_server_looks_at_its_database_every_third_second(monkeypatch: pytest.MonkeyPatch):
    num_reads = 0
    read = Database.read

    def counted(self: Database) -> AbstractAsyncContextManager[Any]:
        nonlocal num_reads
        num_reads += 1
        return read(self)

    async with World(FakeEngine(SystemClock())):
        await asyncio.sleep(0.2)  # what a start has to look at
        monkeypatch.setattr(Database, "read", counted)
        await asyncio.sleep(IDLE_S)
    assert 1 <= num_reads <= 3 + 1  # for batches, and once for what can be cleared away


async def test_who_is_woken_while_it_looks_looks_once_more(monkeypatch: pytest.MonkeyPatch):
    """What was made meanwhile may not have been seen: it does not have to wait for the next look."""
    num_looks = 0

    async with World(FakeEngine(SystemClock())) as world:

        async def look(connection: Any, server: str, now: float) -> tuple[bool, bool]:
            nonlocal num_looks
            num_looks += 1
            if num_looks == 1:
                world.app.worker.wake()
            return False, False

        await asyncio.sleep(0.2)
        monkeypatch.setattr("antiphon.features.batches.queue.look", look)
        world.app.worker.wake()
        await asyncio.sleep(0.5)
    assert num_looks == 2


async def test_who_chats_is_told_to_nobody_while_there_are_no_batches(monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []

    async def announce(connection: Any, server: str, until: float) -> None:
        told.append(server)

    async def there_are(connection: Any, server: str, now: float) -> tuple[bool, bool]:
        return True, False

    async with World(FakeEngine(SystemClock())) as world, world.sdk() as client:
        monkeypatch.setattr("antiphon.features.batches.queue.announce_chat", announce)
        async with client.messages.stream(**ask(model="slow", max_tokens=100_000)):
            await asyncio.sleep(2.2)
            assert told == []
            monkeypatch.setattr("antiphon.features.batches.queue.look", there_are)
            await asyncio.sleep(2.2)
    assert told
