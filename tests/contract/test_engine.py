"""What every engine keeps to. One suite over the scripted engine and over each dialect on a pre-encoded upstream."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from antiphon.core.clock import SystemClock
from antiphon.core.errors import ApiError, Kind
from antiphon.engines.dialects.llamacpp import LlamaCpp
from antiphon.engines.dialects.plain import Plain
from antiphon.engines.fake import FakeEngine
from antiphon.engines.http import Upstream
from antiphon.engines.protocol import Engine
from antiphon.turn.attachments import Picture
from antiphon.turn.chat import Chat, ChatCall, ChatTurn
from antiphon.turn.pieces import ForcedCall, Grammar, Piece, Wish
from antiphon.turn.tools.offer import OfferedTool
from bench import mock

CHAT = Chat((ChatTurn("system", "be brief"), ChatTurn("user", "one two three")))
PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
WEATHER = OfferedTool("weather", "Tells the weather of a place.", PLACE)
CLOCK = OfferedTool("clock", "Tells the time.", {"type": "object", "properties": {}})
TOOLED = CHAT._replace(tools=(WEATHER, CLOCK), callable=(WEATHER, CLOCK))
CALL = ChatCall("toolu_1", "weather", '{"place":"some town by the sea"}')
CALLED = ChatTurn("assistant", "I look it up.", (CALL,))
ANSWERED = ChatTurn("tool", "it is sunny there, with some wind", answers=CALL)
GRAMMAR = Grammar('root ::= "{}"', {"type": "object"})
DIALECTS = {"plain": lambda upstream: Plain(upstream, num_slots=8), "llamacpp": LlamaCpp}


class Seeing(mock.Upstream):
    """It keeps the bodies of what it is asked to generate."""

    def __init__(self, state: mock.State, seen: list[dict[str, Any]]) -> None:
        super().__init__(state)
        self._seen = seen

    def _answer(self, path: bytes, request: dict[str, Any]) -> None:
        if path in (b"/v1/chat/completions", b"/completion"):
            self._seen.append(request)
        super()._answer(path, request)


@asynccontextmanager
async def upstream(
    dialect: str, seen: list[dict[str, Any]] | None = None
) -> AsyncGenerator[tuple[Engine, mock.State, asyncio.Server]]:
    state = mock.State(dialect)
    bodies = [] if seen is None else seen
    server = await asyncio.get_running_loop().create_server(lambda: Seeing(state, bodies), "127.0.0.1", 0)
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


async def reply_to(engine: Engine, model: str, chat: Chat, wish: Wish) -> list[Piece]:
    prompt = await engine.prepare(model, chat)
    return [piece async for burst in engine.generate(model, prompt, wish) for piece in burst]


async def body_of(dialect: str, chat: Chat, wish: Wish) -> dict[str, Any]:
    """What the upstream is asked to generate."""
    seen: list[dict[str, Any]] = []
    async with upstream(dialect, seen) as (engine, _, _):
        await reply_to(engine, (await engine.models())[0].name, chat, wish)
    return seen[0]


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


@all_engines
async def test_tools_calls_and_results_are_counted_each(kind: str):
    turns = CHAT.turns
    chats = [
        CHAT,
        TOOLED,
        TOOLED._replace(turns=(*turns, CALLED)),
        TOOLED._replace(turns=(*turns, CALLED, ANSWERED)),
        TOOLED._replace(turns=(*turns, CALLED, ANSWERED, ChatTurn("user", "and now?"))),
    ]
    async with any_engine(kind) as (engine, model):
        counts = [(await engine.prepare(model, chat)).num_tokens for chat in chats]
        again = [(await engine.prepare(model, chat)).num_tokens for chat in chats]
        without_call = await engine.prepare(model, TOOLED._replace(turns=(*turns, CALLED._replace(calls=()))))
    assert counts == again == sorted(set(counts))
    assert without_call.num_tokens < counts[2]


@all_engines
async def test_what_may_be_called_does_not_change_the_prompt(kind: str):
    async with any_engine(kind) as (engine, model):
        prompts = [
            await engine.prepare(model, TOOLED._replace(callable=tools)) for tools in ((WEATHER, CLOCK), (CLOCK,), ())
        ]
    assert len({prompt.num_tokens for prompt in prompts}) == 1


@all_engines
@pytest.mark.parametrize(
    "wish",
    [
        Wish(20),
        Wish(20, opening="I look. "),
        Wish(20, grammar=GRAMMAR),
        Wish(20, opening="I look. ", grammar=GRAMMAR),
        Wish(20, forced=ForcedCall(None)),
        Wish(20, forced=ForcedCall("weather")),
        Wish(0, opening="I look. ", forced=ForcedCall("weather")),
    ],
    ids=["nothing", "an opening", "a grammar", "both", "a call", "this call", "no tokens"],
)
async def test_whatever_is_wished_the_reply_ends_and_counts_its_prompt_without_the_opening(kind: str, wish: Wish):
    async with any_engine(kind) as (engine, model):
        prompt = await engine.prepare(model, TOOLED)
        pieces = await reply_to(engine, model, TOOLED, wish)
        (*_, plain) = await reply_to(engine, model, TOOLED, Wish(5))
    last = pieces[-1]
    assert last.stop
    assert plain.stop
    assert last.stop.num_input in (None, plain.stop.num_input)
    assert last.num_output <= wish.max_tokens
    assert not prompt.is_exact or last.stop.num_input == prompt.num_tokens
    assert not wish.opening or not "".join(piece.text for piece in pieces).startswith(wish.opening)


@pytest.mark.parametrize("kind", ["fake", "llamacpp"])
@pytest.mark.parametrize("max_tokens", [20, 3, 2, 1])
async def test_an_opening_that_counts_is_part_of_what_may_be_written(kind: str, max_tokens: int):
    wish = Wish(max_tokens, opening="one two three ", is_opening_counted=True)
    async with any_engine(kind) as (engine, model):
        pieces = await reply_to(engine, model, CHAT, wish)
    counts = [piece.num_output for piece in pieces if piece.num_output]
    assert counts == sorted(counts)
    assert counts[-1] == max_tokens
    assert len("".join(piece.text for piece in pieces).split()) == max(max_tokens - 3, 0)
    assert pieces[-1].stop
    assert pieces[-1].stop.cause == "length"


async def test_llama_cpp_computes_the_opening_behind_the_prompt_and_is_given_the_grammar():
    bare = await body_of("llamacpp", TOOLED, Wish(5))
    body = await body_of("llamacpp", TOOLED, Wish(5, opening="one two three ", grammar=GRAMMAR))
    assert body["prompt"] == [*bare["prompt"], 0, 1, 2]  # the mock numbers the words of each text
    assert body["grammar"] == GRAMMAR.gbnf
    assert "grammar" not in bare


async def test_a_plain_upstream_is_given_the_schema_the_demand_and_the_opening():
    body = await body_of("plain", TOOLED, Wish(5, opening="I look. ", grammar=GRAMMAR, forced=ForcedCall("weather")))
    assert body["response_format"]["json_schema"]["schema"] == GRAMMAR.schema
    assert body["tool_choice"]["function"] == {"name": "weather"}
    assert body["messages"][-1] == {"role": "assistant", "content": "I look. "}


@all_dialects
async def test_pictures_reach_the_upstream_in_their_order(dialect: str):
    pictures = tuple(Picture(name, "image/png", name.encode(), 28, 28) for name in ("a", "b"))
    turn = ChatTurn("user", "one MARK two MARK three", pictures=pictures)
    sent = str(await body_of(dialect, Chat((turn,), mark="MARK"), Wish(5)))
    places = [sent.find(b64encode(picture.data).decode()) for picture in pictures]
    assert -1 not in places
    assert places == sorted(places)
    assert "MARK" not in sent
