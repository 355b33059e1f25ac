"""The templates of real models: each request of a conversation begins with the tokens of the one before."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.turn.reuse import num_common
from tests.fixtures.conversations import CONVERSATIONS, chat_in

pytestmark = pytest.mark.real
_GROWN = 1
"""The last token of a prompt may grow together with what the reply begins with."""


@asynccontextmanager
async def serving(path: Path, folder: Path) -> AsyncGenerator[ChildEngine]:
    plan = gguf.plan(path, gguf.available_bytes(), gguf.num_cores(), num_slots=1)
    child = ChildEngine(path, folder, SystemClock(), name="m", plan=plan)
    await child.start()
    try:
        yield child
    finally:
        await child.aclose()


async def lost(engine: ChildEngine, name: str) -> list[int]:
    """Of each prompt: how many of its tokens the next one does not begin with."""
    prompts = [(await engine.prepare("m", chat_in(body))).tokens for body in CONVERSATIONS[name]]
    assert len(prompts) > 2
    return [len(one) - num_common(one, other) for one, other in itertools.pairwise(prompts)]


async def check(path: Path, folder: Path) -> None:
    async with serving(path, folder) as engine:
        found = {name: await lost(engine, name) for name in CONVERSATIONS}
    assert {name: num for name, num in found.items() if max(num) > _GROWN} == {}


async def test_smollm2_reads_each_prompt_as_the_beginning_of_the_next(smollm2: Path, tmp_path: Path):
    await check(smollm2, tmp_path)


@pytest.mark.full
async def test_a_model_with_tools_reads_each_prompt_as_the_beginning_of_the_next(qwen05: Path, tmp_path: Path):
    await check(qwen05, tmp_path)
