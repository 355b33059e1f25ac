"""What every engine keeps to. One suite over the scripted engine and over each dialect on a pre-encoded upstream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from antiphon.core.clock import SystemClock
from antiphon.core.errors import ApiError, Kind
from antiphon.engines.dialects.llamacpp import LlamaCpp
from antiphon.engines.dialects.plain import Plain
from antiphon.engines.fake import FakeEngine
from antiphon.engines.http import Upstream
from antiphon.engines.protocol import Engine
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Piece, Wish
from bench import mock

CHAT = Chat((ChatTurn("system", "be brief"), ChatTurn("user", "one two three")))
DIALECTS = {"plain": lambda upstream: Plain(upstream, num_slots=8), "llamacpp": LlamaCpp}


@asynccontextmanager
async def upstream(dialect: str) -> AsyncGenerator[tuple[Engine, mock.State, asyncio.Server]]:
    state = mock.State(dialect)
    server = await asyncio.get_running_loop().create_server(lambda: mock.Upstream(state), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    engine = DIALECTS[dialect](Upstream(f"http://127.0.0.1:{port}"))
    try:
        yield engine, state, server
    finally:
        await engine.aclose()
        server.close()


@asynccontextmanager
async def any_engine(kind: str) -> AsyncGenerator[tuple[Engine, str]]:
    """An engine, and a model of it that can go on for ever."""
    if kind == "fake":
        yield FakeEngine(SystemClock()), "lorem"
    else:
        async with upstream(kind) as (engine, _, _):
            yield engine, (await engine.models())[0].name


async def generate(engine: Engine, model: str, max_tokens: int) -> list[list[Piece]]:
    prompt = await engine.prepare(model, CHAT)
    return [burst async for burst in engine.generate(model, prompt, Wish(max_tokens))]


all_engines = pytest.mark.parametrize("kind", ["fake", *DIALECTS])
all_dialects = pytest.mark.parametrize("dialect", DIALECTS)


@all_engines
async def test_models_tell_their_window_and_slots(kind: str):
    async with any_engine(kind) as (engine, _):
        models = await engine.models()
    assert models
    assert all(model.window > 0 and model.num_slots > 0 for model in models)


@all_engines
async def test_the_count_grows_with_the_text_and_is_the_same_twice(kind: str):
    async with any_engine(kind) as (engine, model):
        counts = [(await engine.prepare(model, CHAT)).num_tokens for _ in range(2)]
        longer = await engine.prepare(model, Chat((*CHAT.turns, ChatTurn("user", "four five six " * 20))))
        prefilled = await engine.prepare(model, Chat(CHAT.turns, prefill="one two three four five six"))
    assert counts[0] == counts[1] > 0
    assert longer.num_tokens > counts[0]
    assert prefilled.num_tokens > counts[0]


@all_engines
async def test_a_reply_ends_with_its_stop_and_no_later_than_it_may(kind: str):
    async with any_engine(kind) as (engine, model):
        bursts = await generate(engine, model, 40)
    pieces = [piece for burst in bursts for piece in burst]
    assert all(bursts), "an empty burst"
    assert [piece.stop is not None for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1].stop is not None
    assert pieces[-1].stop.cause == "length"
    counts = [piece.num_output for piece in pieces]
    assert counts == sorted(counts)
    assert counts[-1] == len("".join(piece.text for piece in pieces).split()) == 40


@all_engines
async def test_a_reply_that_is_awaited_whole_is_the_same(kind: str):
    async with any_engine(kind) as (engine, model):
        prompt = await engine.prepare(model, CHAT)
        texts, lasts = [], []
        for wish in (Wish(20), Wish(20, is_awaited_whole=True)):
            bursts = [burst async for burst in engine.generate(model, prompt, wish)]
            texts.append("".join(piece.text for burst in bursts for piece in burst))
            lasts.append((bursts[-1][-1].num_output, bursts[-1][-1].stop))
    assert texts[0] == texts[1] != ""
    assert lasts[0][0] == lasts[1][0] == 20
    assert lasts[0][1]
    assert lasts[1][1]
    assert (lasts[0][1].cause, lasts[0][1].num_input) == (lasts[1][1].cause, lasts[1][1].num_input)


@all_engines
@pytest.mark.parametrize("is_awaited_whole", [False, True])
async def test_a_call_for_no_tokens_writes_nothing(kind: str, is_awaited_whole: bool):
    async with any_engine(kind) as (engine, model):
        prompt = await engine.prepare(model, CHAT)
        bursts = engine.generate(model, prompt, Wish(0, is_awaited_whole=is_awaited_whole))
        pieces = [piece async for burst in bursts for piece in burst]
    assert [(piece.text, piece.num_output) for piece in pieces] == [("", 0)] * len(pieces)
    assert pieces[-1].stop
    assert pieces[-1].stop.cause == "length"


@all_engines
async def test_nothing_is_asked_before_the_first_piece_is(kind: str):
    async with any_engine(kind) as (engine, model):
        prompt = await engine.prepare(model, CHAT)
        await engine.generate(model, prompt, Wish(5)).aclose()


@all_dialects
@pytest.mark.parametrize("when", ["prefill", "mid-stream"])
@pytest.mark.parametrize("is_awaited_whole", [False, True])
async def test_dropping_the_output_closes_the_connection_at_once(dialect: str, when: str, is_awaited_whole: bool):
    async with upstream(dialect) as (engine, state, _):
        state.prefill_ms, state.is_held = (60_000, False) if when == "prefill" else (0, True)
        model = (await engine.models())[0].name
        bursts = engine.generate(model, await engine.prepare(model, CHAT), Wish(50, is_awaited_whole=is_awaited_whole))
        reading = asyncio.ensure_future(_read(bursts))
        await asyncio.sleep(0.1)
        assert state.num_open == 1
        dropped_at = time.monotonic()
        reading.cancel()
        await asyncio.wait([reading])
        await _until_aborted(state)
    assert state.aborted_at[0] - dropped_at < 0.1


@all_dialects
async def test_closing_the_output_closes_the_connection_at_once(dialect: str):
    async with upstream(dialect) as (engine, state, _):
        state.is_held = True
        model = (await engine.models())[0].name
        bursts = engine.generate(model, await engine.prepare(model, CHAT), Wish(50))
        assert await anext(bursts)
        assert state.num_open == 1
        dropped_at = time.monotonic()
        await bursts.aclose()
        await _until_aborted(state)
    assert state.aborted_at[0] - dropped_at < 0.1


async def _until_aborted(state: mock.State) -> None:
    async with asyncio.timeout(2):
        while not state.aborted_at:
            await asyncio.sleep(0.001)


async def _read(bursts: AsyncGenerator[list[Piece], None]) -> None:
    async for _ in bursts:
        pass


@all_dialects
async def test_an_engine_that_is_away_is_overloaded_before_anything_is_promised(dialect: str):
    async with upstream(dialect) as (engine, _, server):
        model = (await engine.models())[0].name
        prompt = await engine.prepare(model, CHAT)
        server.close()
        await server.wait_closed()
        await engine.aclose()
        away = DIALECTS[dialect](Upstream("http://127.0.0.1:9"))
        with pytest.raises(ApiError) as refused:
            await anext(away.generate(model, prompt, Wish(5)))
        await away.aclose()
    assert refused.value.kind is Kind.OVERLOADED


async def _break_while_reading(bursts: AsyncGenerator[list[Piece], None], state: mock.State) -> None:
    async for _ in bursts:
        for held in state.held:
            held._transport.abort()


@all_dialects
async def test_a_connection_that_breaks_in_the_middle_is_one_internal_error(dialect: str):
    async with upstream(dialect) as (engine, state, _):
        state.is_held = True
        model = (await engine.models())[0].name
        bursts = engine.generate(model, await engine.prepare(model, CHAT), Wish(50))
        with pytest.raises(ApiError) as failed:
            await _break_while_reading(bursts, state)
    assert failed.value.kind is Kind.INTERNAL
