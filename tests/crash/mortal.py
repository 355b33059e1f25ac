"""Clients of a server that is going to die (`fixtures/dying.py`)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from tests.fixtures.serving import Served

_DIES_WITHIN_S = 60


async def call_until_it_dies(
    served: Served, client: Callable[[aiohttp.ClientSession], Awaitable[None]], num_clients: int, **options: Any
) -> None:
    """`num_clients` at once, each for ever, until the server kills itself under whatever they do."""
    async with aiohttp.ClientSession(served.url, timeout=aiohttp.ClientTimeout(30), **options) as http:
        tasks = [asyncio.ensure_future(client(http)) for _ in range(num_clients)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert await asyncio.to_thread(served.process.wait, _DIES_WITHIN_S) == -signal.SIGKILL
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError | aiohttp.ClientError):
                raise AssertionError(f"a client ended otherwise: {outcome!r}")
