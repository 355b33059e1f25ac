"""Files that mean harm, sent by some while others only want an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import orjson

from tests.fixtures.hostile import IMAGES, PDFS
from tests.fixtures.images import block_of, document_of
from tests.fixtures.world import HEADERS, World, ask

MAX_HELD_S = 0.15
"""Processor time that nothing on the loop may take at a stretch, test and client included."""
BOMBS = ("a png of 8000 by 8000 zeros", "a jpeg of 5000 scans", "a webp of 16383 by 16383", "a postscript program")
PDF_BOMBS = ("a pattern of tiny tiles", "a form that draws itself")


def requests() -> list[bytes]:
    blocks: list[dict[str, Any]] = [block_of(IMAGES[name]()) for name in BOMBS]
    blocks += [document_of(PDFS[name]()) for name in PDF_BOMBS]
    return [orjson.dumps(ask([block])) for block in blocks]


async def post(world: World, body: bytes) -> int:
    async with world.http.post("/v1/messages", headers=HEADERS, data=BytesIO(body)) as reply:
        await reply.read()
        return reply.status


@asynccontextmanager
async def watched() -> AsyncGenerator[list[float]]:
    """The processor time that the loop's thread took between two looks, each time. A busy machine adds nothing."""
    held: list[float] = []

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            held.append(time.thread_time() - before)

    watching = asyncio.create_task(watch())
    try:
        yield held
    finally:
        watching.cancel()


async def test_others_are_answered_while_bombs_are_read():
    bombs = requests()
    async with World() as world, watched() as held:
        reading = asyncio.gather(*(post(world, bomb) for bomb in bombs))
        num_answers = 0
        while not reading.done():
            status, _ = await world.post("/v1/messages", ask("hi"))
            assert status == 200
            num_answers += 1
            await asyncio.sleep(0.01)
        statuses = await reading
    assert sorted(statuses) == [200, 400, 400, 400, 400, 400]
    assert num_answers > 20
    assert max(held) < MAX_HELD_S
