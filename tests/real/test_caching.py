"""What replies tell of the cache, held against the counters of the real engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.turn.pieces import Piece, Prompt, Wish
from tests.fixtures.world import World, ask

pytestmark = pytest.mark.real
MODEL = "m"
HERE = {"type": "ephemeral"}
RULES = " ".join(f"Rule {number}: be kind to the {number}th of them." for number in range(15))


class Counting(ChildEngine):
    """Keeps (the prompt's tokens, what the engine had of them) of each call."""

    calls: list[tuple[int, int]]

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        async for pieces in super().generate(model, prompt, wish):
            for piece in pieces:
                if piece.stop:
                    assert piece.stop.num_input is not None
                    assert piece.stop.num_cached is not None
                    self.calls.append((piece.stop.num_input, piece.stop.num_cached))
            yield pieces


@pytest.fixture
async def engine(smollm2: Path, tmp_path: Path) -> AsyncGenerator[Counting]:
    """One slot, and nowhere to move a prompt to: each other prompt loses the one before."""
    plan = replace(gguf.plan(smollm2, gguf.available_bytes(), gguf.num_cores(), num_slots=1), cache_mib=0)
    child = Counting(smollm2, tmp_path, SystemClock(), name=MODEL, plan=plan)
    child.calls = []
    await child.start()
    yield child
    await child.aclose()


def about(text: str, rules: str = RULES) -> dict[str, Any]:
    system = [{"type": "text", "text": rules, "cache_control": HERE}]
    return ask(text, model=MODEL, system=system, max_tokens=2)


async def test_what_is_told_as_read_was_not_computed_again(engine: Counting):
    """Twice the same, then after another prompt has taken its place, then again."""
    bodies = [about("Hi"), about("Bye"), about("Hi", "Other. " + RULES), about("Hi"), about("Hi")]
    async with World(engine, cache_min_tokens=100) as world:
        streams = [await world.stream(body) for body in bodies]
    told = [events[-2]["usage"] for events in streams]
    for usage, (num_input, num_cached) in zip(told, engine.calls, strict=True):
        assert usage["cache_read_input_tokens"] <= num_cached
        written = usage["cache_creation_input_tokens"]
        assert usage["cache_read_input_tokens"] + written + usage["input_tokens"] == num_input
    reads = [usage["cache_read_input_tokens"] for usage in told]
    assert reads[0] == reads[2] == 0
    assert reads[1] == reads[4] > 200
    assert reads[3] < 20  # expected, and lost
    assert streams[3][0]["message"]["usage"]["cache_read_input_tokens"] == reads[4]
