"""A server that nobody calls leaves its database, and so the processor, to others."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines.fake import FakeEngine
from antiphon.store.db import Database
from tests.fixtures.world import World

IDLE_S = 3.3


async def test_an_idle_server_looks_at_its_database_once_a_second(monkeypatch: pytest.MonkeyPatch):
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
    assert 1 <= num_reads <= IDLE_S + 1
