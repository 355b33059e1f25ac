"""Slots over the real llama.cpp and SmolLM2: what the engine computes again, by its own counters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.engines.saved import SavedPrompts
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Piece, Sampling, Stop, Wish

pytestmark = pytest.mark.real
MODEL = "smollm2"
PREFIX = " ".join(f"Rule {number}: be kind to the {number}th of them." for number in range(20))
"""Some 300 tokens."""
WISH = Wish(2, Sampling(temperature=0.0), salt="ours")


@asynccontextmanager
async def serving(
    path: Path, folder: Path, num_slots: int = 2, *, is_lasting: bool = False
) -> AsyncGenerator[ChildEngine]:
    """An engine that moves prompts to `folder`."""
    clock = SystemClock()
    saved = SavedPrompts(folder / "kv", 1 << 30, clock, model="m", is_lasting=is_lasting)
    plan = gguf.plan(path, gguf.available_bytes(), gguf.num_cores(), num_slots=num_slots)
    child = ChildEngine(path, folder / "data", clock, name=MODEL, plan=plan, saved=saved)
    await child.start()
    try:
        yield child
    finally:
        await child.aclose()


def about(text: str, system: str = PREFIX) -> Chat:
    return Chat((ChatTurn("system", system), ChatTurn("user", text)))


async def run(engine: ChildEngine, chat: Chat, wish: Wish = WISH) -> tuple[int, int]:
    """(the prompt's tokens, those of them that were computed)."""
    prompt = await engine.prepare(MODEL, chat)
    stop = stop_of([piece async for burst in engine.generate(MODEL, prompt, wish) for piece in burst])
    assert stop.num_cached is not None
    return prompt.num_tokens, prompt.num_tokens - stop.num_cached


def stop_of(pieces: list[Piece]) -> Stop:
    return next(piece.stop for piece in pieces if piece.stop)


async def test_no_workspace_gets_what_another_has_computed(smollm2: Path, tmp_path: Path):
    theirs = WISH._replace(salt="theirs")
    async with serving(smollm2, tmp_path) as engine:
        whole, first = await run(engine, about("Hi"))
        computed = [(await run(engine, about("Hi"), wish))[1] for wish in (theirs, WISH, theirs, WISH)]
    assert first == whole
    assert computed[0] == whole
    assert max(computed[1:]) == 1


@pytest.mark.full
async def test_workspaces_that_share_one_slot_get_nothing_of_each_other(smollm2: Path, tmp_path: Path):
    """Each finds its own prompt again, though the slot was the other's."""
    theirs = WISH._replace(salt="theirs")
    async with serving(smollm2, tmp_path, num_slots=1) as engine:
        whole, _ = await run(engine, about("Hi"))
        computed = [(await run(engine, about("Hi"), wish))[1] for wish in (theirs, WISH, theirs, WISH)]
    assert computed[0] == whole
    assert max(computed[1:]) == 1


@pytest.mark.full
async def test_a_side_call_on_the_only_slot_does_not_cost_the_conversation(smollm2: Path, tmp_path: Path):
    async with serving(smollm2, tmp_path, num_slots=1) as engine:
        whole, _ = await run(engine, about("Hi"))
        await run(engine, about("Name a title for this.", system="You name titles."))
        _, computed = await run(engine, about("Hi"))
    assert whole > 250
    assert computed <= 2


async def test_a_sessions_titles_take_one_slot_and_compute_their_head_once(smollm2: Path, tmp_path: Path):
    wish = WISH._replace(session="claude")
    async with serving(smollm2, tmp_path, num_slots=4) as engine:
        titles = [about(f"{word} is what it is about.", system="You name titles.") for word in ("Rust", "Cake", "Snow")]
        (whole, first), *later = [await run(engine, title, wish) for title in titles]
    assert first == whole
    assert all(computed < whole - 5 for _, computed in later)


@pytest.mark.full
async def test_six_conversations_take_turns_on_two_slots_and_none_is_computed_again(smollm2: Path, tmp_path: Path):
    async with serving(smollm2, tmp_path) as engine:
        chats = [about("Hi", system=f"You are number {number}. {PREFIX}") for number in range(6)]
        first = [await run(engine, chat) for chat in chats]
        again = [await run(engine, chat) for chat in chats]
    assert sum(computed for _, computed in again) <= 0.02 * sum(whole for whole, _ in first)


async def test_calls_with_a_common_beginning_take_a_copy_of_it(smollm2: Path, tmp_path: Path):
    """The first computes it, alone; the others come together, and find it in other slots."""
    async with serving(smollm2, tmp_path, num_slots=4) as engine:
        whole, _ = await run(engine, about("What is the capital of France?"))
        words = ("one", "two", "three", "four", "five", "six", "seven")
        runs = [run(engine, about(f"Say the number {word} now.")) for word in words]
        computed = [done for _, done in await asyncio.gather(*runs)]
    assert whole > 250
    assert max(computed) < 40


async def test_calls_that_begin_alike_and_come_at_once_compute_it_once(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The others wait until the first one's prompt is computed, not for its reply; another workspace's does not."""
    monkeypatch.setattr("antiphon.engines.slots._WORTH_WAITING", 200)
    order: list[str] = []

    async def one(word: str, wish: Wish) -> int:
        _, done = await run(engine, about(f"Say the number {word} now."), wish)
        order.append(word)
        return done

    async with serving(smollm2, tmp_path, num_slots=4) as engine:
        long = WISH._replace(max_tokens=200)
        first = asyncio.ensure_future(one("one", long))
        await asyncio.sleep(0.05)
        theirs = WISH._replace(salt="theirs")
        others = [one("two", WISH), one("three", WISH), one("four", theirs)]
        two, three, four = await asyncio.gather(*others)
        await first
    assert max(two, three) < 40
    assert four > 250
    assert order[-1] == "one"


async def test_what_others_wait_for_is_shared_before_the_reply_is_written(smollm2: Path, tmp_path: Path):
    """The others come when its prompt is computed, and find it in their slots, while it is still writing."""
    first = WISH._replace(max_tokens=200, num_waiting=2)
    async with serving(smollm2, tmp_path, num_slots=4) as engine:
        prompt = await engine.prepare(MODEL, about("Tell me a long story."))
        bursts = engine.generate(MODEL, prompt, first)
        told = [piece.progress async for piece in _until_computed(bursts)]
        computed = [await run(engine, about(f"Say the number {word} now.")) for word in ("one", "two")]
        rest = [piece async for burst in bursts for piece in burst]
    assert told[0]
    assert told[0].num_cached == 0
    assert max(done for _, done in computed) < 40
    assert rest[-1].num_output == 200
    assert told[-1]
    assert told[-1].num_cached == prompt.num_tokens - 1
    assert stop_of(rest).num_cached == 0


async def _until_computed(bursts: AsyncGenerator[list[Piece]]) -> AsyncGenerator[Piece]:
    async for burst in bursts:
        for piece in burst:
            yield piece
            if piece.progress and piece.progress.is_done:
                return


@pytest.mark.full
async def test_a_restart_keeps_what_was_computed(smollm2: Path, tmp_path: Path):
    async with serving(smollm2, tmp_path, is_lasting=True) as engine:
        whole, _ = await run(engine, about("Hi"))
    async with serving(smollm2, tmp_path, is_lasting=True) as engine:
        _, theirs = await run(engine, about("Hi"), WISH._replace(salt="theirs"))
        _, computed = await run(engine, about("Hi"))
    assert theirs == whole
    assert computed <= 2


@pytest.mark.full
async def test_without_a_folder_of_its_own_nothing_is_left_behind(smollm2: Path, tmp_path: Path):
    async with serving(smollm2, tmp_path, num_slots=1) as engine:
        await run(engine, about("Hi"))
        await run(engine, about("Hi", system="Another. " + PREFIX))
        assert list((tmp_path / "kv").glob("*.kv"))
    assert not (tmp_path / "kv").exists()


@pytest.mark.full
async def test_a_call_that_was_given_up_goes_on_where_it_was(smollm2: Path, tmp_path: Path):
    long = about("Hi", system=PREFIX + PREFIX)
    async with serving(smollm2, tmp_path, num_slots=4) as engine:
        prompt = await engine.prepare(MODEL, long)
        bursts = engine.generate(MODEL, prompt, WISH)
        num_done = 0
        async for burst in bursts:
            num_done = max([num_done, *(piece.progress.num_done for piece in burst if piece.progress)])
            if num_done > 150:
                break
        await bursts.aclose()
        whole, computed = await run(engine, long)
    assert whole > 500
    assert computed <= whole - num_done


@pytest.mark.full
async def test_what_is_saved_is_readable_by_its_owner_only(smollm2: Path, tmp_path: Path):
    async with serving(smollm2, tmp_path, num_slots=1) as engine:
        await run(engine, about("Hi"))
        await run(engine, about("Hi", system="Another. " + PREFIX))
        modes = {path.stat().st_mode & 0o077 for path in [tmp_path / "kv", *(tmp_path / "kv").iterdir()]}
    assert modes == {0}
