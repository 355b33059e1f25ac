"""A batch's requests that begin alike: the others wait for the first one's prompt, not for its reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from antiphon.core.clock import SystemClock
from antiphon.engines.fake import FakeEngine
from antiphon.turn.pieces import Piece, Progress, Prompt, Wish
from tests.fixtures.world import World

LONG, OTHER = "word " * 2000, "term " * 2000
NUM_ITEMS = 4


class Recorder(FakeEngine):
    """It reads each prompt, and goes on when it may."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.wishes: list[Wish] = []
        self.may_read, self.may_write = asyncio.Event(), asyncio.Event()

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        self.wishes.append(wish)
        await self.may_read.wait()
        yield [Piece(progress=Progress(prompt.num_tokens, prompt.num_tokens, 0))]
        await self.may_write.wait()
        async for pieces in super().generate(model, prompt, wish):
            yield pieces

    async def until_called(self, num_calls: int) -> None:
        async with asyncio.timeout(10):
            while len(self.wishes) < num_calls:
                await asyncio.sleep(0.01)


async def test_the_first_is_told_that_others_wait_and_they_begin_when_its_prompt_is_computed():
    engine = Recorder()
    params = {"model": "echo", "max_tokens": 5}
    items: list[Any] = [
        {"custom_id": f"{system[0]}{n}", "params": params | {"system": system, "messages": [ask(n)]}}
        for system, num in ((LONG, NUM_ITEMS), (OTHER, 1))
        for n in range(num)
    ]
    async with World(engine, slots=8) as world, world.sdk() as client:
        made = await client.messages.batches.create(requests=items)
        await engine.until_called(2)
        await asyncio.sleep(0.1)
        assert sorted(wish.num_waiting for wish in engine.wishes) == [0, NUM_ITEMS - 1]
        engine.may_read.set()
        await engine.until_called(NUM_ITEMS + 1)
        assert not any(wish.num_waiting for wish in engine.wishes[2:])
        engine.may_write.set()
        async with asyncio.timeout(10):
            while (await client.messages.batches.retrieve(made.id)).processing_status != "ended":
                await asyncio.sleep(0.05)


def ask(number: int) -> dict[str, Any]:
    return {"role": "user", "content": f"say {number}"}
