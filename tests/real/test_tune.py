"""What `antiphon tune` measures, and what it may set, with SmolLM2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines import gguf, tune
from antiphon.engines.child import ChildEngine
from antiphon.engines.saved import SavedPrompts
from antiphon.engines.setup import setup_of
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Piece, Prompt, Sampling, Wish

pytestmark = pytest.mark.real

TEXT = """The river turns the old stone wheel, and the wheel turns the mill. The miller has a cat that is grey.
In the evening he reads the news of the town to her, and she sleeps. Then both of them eat bread with butter.
"""


def planned(path: Path) -> gguf.Plan:
    return gguf.plan(path, gguf.available_bytes(), gguf.num_cores(), window=2048)


async def test_replies_are_measured_deep_in_a_prompt_that_is_computed_once(
    smollm2: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[tuple[int, int]] = []

    class Watched(ChildEngine):
        async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
            async for pieces in super().generate(model, prompt, wish):
                calls.extend((prompt.num_tokens, piece.stop.num_cached or 0) for piece in pieces if piece.stop)
                yield pieces

    monkeypatch.setattr(tune, "ChildEngine", Watched)
    monkeypatch.setattr(tune, "_NUM_CHARS", 1_600)
    monkeypatch.setattr(tune, "_NUM_TRIES", 1)
    plan = planned(smollm2)
    (speed,) = await tune.measure_model(smollm2, plan, [setup_of(plan)], SystemClock())
    assert min(speed) > 1.0
    deep = [call for call in calls if call[0] >= 400]
    assert len(deep) == 7  # the first one, one alone, four together, and one that repeats
    assert deep[0][1] == 0
    assert all(num_tokens - num_cached <= 8 for num_tokens, num_cached in deep[1:6])


async def saved_bytes(path: Path, folder: Path, plan: gguf.Plan) -> int:
    """What a prompt takes that was computed, saved and brought back."""
    saved = SavedPrompts(folder / "kv", 1 << 30, SystemClock(), model="m", is_lasting=False)
    engine = ChildEngine(path, folder / "data", SystemClock(), name="m", plan=plan, saved=saved)
    await engine.start()
    try:
        prompt = await engine.prepare("m", Chat((ChatTurn("user", TEXT * 10),)))
        wish = Wish(8, Sampling(0.0), num_waiting=1)
        texts = [piece.text async for pieces in engine.generate("m", prompt, wish) for piece in pieces]
        assert "".join(texts)
        assert saved.num_restored > 0
        return saved.num_bytes
    finally:
        await engine.aclose()


async def test_keys_of_eight_bits_take_less(smollm2: Path, tmp_path: Path):
    plan = planned(smollm2)
    full = await saved_bytes(smollm2, tmp_path / "full", plan)
    assert await saved_bytes(smollm2, tmp_path / "q8", replace(plan, q8_keys=True)) < 0.8 * full


async def replies(path: Path, folder: Path, plan: gguf.Plan) -> tuple[set[str], int]:
    """What four say at once who repeat a text, and how many tokens of it were guessed rightly."""
    engine = ChildEngine(path, folder, SystemClock(), name="m", plan=plan)
    await engine.start()
    try:
        llama = engine._engine()  # pyright: ignore[reportPrivateUsage]
        body = {"prompt": TEXT * 6, "n_predict": 64, "temperature": 0}
        asked = [llama._upstream.post_and_wait("/completion", body) for _ in range(4)]  # pyright: ignore[reportPrivateUsage]
        found = await asyncio.gather(*asked)
        assert engine.num_restarts == 0
        num_guessed = sum(reply["timings"].get("draft_n_accepted", 0) for reply in found)
        return {reply["content"] for reply in found}, num_guessed
    finally:
        await engine.aclose()


async def test_what_is_repeated_is_guessed_and_says_the_same(smollm2: Path, tmp_path: Path):
    plan = planned(smollm2)
    setup = replace(setup_of(plan), num_batch=64)
    texts, num_guessed = await replies(smollm2, tmp_path / "alone", setup.apply(plan))
    assert num_guessed == 0
    drafted = replace(setup, drafts=True).apply(plan)
    same, num_guessed = await replies(smollm2, tmp_path / "drafts", drafted)
    assert num_guessed > 4 * 64 / 2
    assert same == texts
