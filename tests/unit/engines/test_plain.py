"""The plain dialect against a small server that says what it is told to say."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp.test_utils
import orjson
import pytest
from aiohttp import web

from antiphon.core.clock import rfc3339
from antiphon.core.errors import ApiError, Kind
from antiphon.engines.dialects.plain import Plain
from antiphon.engines.http import Upstream
from antiphon.turn.chat import Chat, ChatCall, ChatTurn
from antiphon.turn.formats.outputs import CallArgs, CallEnd, CallStart, Out, Text, Thinking
from antiphon.turn.formats.recogniser import Recogniser
from antiphon.turn.formats.table import GENERAL
from antiphon.turn.formats.written import HERMES
from antiphon.turn.pieces import ForcedCall, Grammar, Piece, Stop, Wish
from antiphon.turn.tools.offer import OfferedTool

ROW = {"id": "m", "created": 7}
HI = ChatTurn("user", "hi")
PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
WEATHER = OfferedTool("weather", "Tells the weather.", PLACE)
CLOCK = OfferedTool("clock", "Tells the time.", {"type": "object", "properties": {}})
CHAT = Chat((HI,))
TOOLED = Chat((HI,), tools=(WEATHER, CLOCK), callable=(WEATHER, CLOCK), thinks=True)
ANY, THIS = HERMES.prefix(None), HERMES.prefix("weather")


def event(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else orjson.dumps(data)) + b"\n\n"


def token(text: Any, reason: str | None = None) -> bytes:
    return event({"choices": [{"delta": {"content": text}, "finish_reason": reason}]})


def delta(reason: str | None = None, **said: Any) -> bytes:
    return event({"choices": [{"delta": said, "finish_reason": reason}]})


def call(index: int | None, name: str | None = None, arguments: Any = None, id: str | None = None) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    fields = {
        "index": index,
        "id": id,
        "function": {key: value for key, value in function.items() if value is not None},
    }
    return {key: value for key, value in fields.items() if value is not None}


DONE = event(b"[DONE]")


@asynccontextmanager
async def serving(
    *, reply: bytes = b"", listing: Any = None, seen: list[dict[str, Any]] | None = None
) -> AsyncGenerator[Plain]:
    async def answer(request: web.Request) -> web.Response:
        if seen is not None and request.method == "POST":
            seen.append(await request.json())
        return web.Response(body=reply if request.method == "POST" else orjson.dumps(listing))

    app = web.Application()
    app.router.add_route("*", "/v1/{path:.*}", answer)
    server = aiohttp.test_utils.TestServer(app)
    await server.start_server()
    engine = Plain(Upstream(str(server.make_url("/"))), num_slots=8)
    try:
        yield engine
    finally:
        await engine.aclose()
        await server.close()


async def answer(reply: bytes, wish: Wish = Wish(9), chat: Chat = CHAT) -> list[Piece]:  # noqa: B008 it is frozen
    async with serving(reply=reply) as engine:
        prompt = await engine.prepare("m", chat)
        return [piece async for burst in engine.generate("m", prompt, wish) for piece in burst]


async def asked(chat: Chat, wish: Wish = Wish(9)) -> dict[str, Any]:  # noqa: B008
    """The body that the upstream sees."""
    seen: list[dict[str, Any]] = []
    async with serving(reply=token("", "length") + DONE, seen=seen) as engine:
        prompt = await engine.prepare("m", chat)
        async for _ in engine.generate("m", prompt, wish):
            pass
    return seen[0]


async def written(reply: bytes, wish: Wish = Wish(9), chat: Chat = TOOLED) -> str:  # noqa: B008
    return "".join(piece.text for piece in await answer(reply, wish, chat))


def read(text: str, *, is_cut: bool = False) -> list[Out]:
    """What the recogniser finds, neighbours of one kind joined."""
    recogniser = Recogniser({tool.name: tool.schema for tool in (WEATHER, CLOCK)}, GENERAL)
    outs: list[Out] = []
    for out in [*recogniser.feed(text), *recogniser.finish(is_cut=is_cut)]:
        if isinstance(out, CallArgs) and outs and isinstance(outs[-1], CallArgs):
            outs[-1] = CallArgs(outs[-1].fragment + out.fragment)
        else:
            outs.append(out)
    return outs


@pytest.mark.parametrize("end", [event(b"[DONE]"), b"", b"data: [DONE]"])
async def test_a_reply_ends_with_done_or_with_the_stream(end: bytes):
    usage = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 4}})
    pieces = await answer(token("a") + token("b", "length") + usage + end)
    assert "".join(piece.text for piece in pieces) == "ab"
    assert (pieces[-1].num_output, pieces[-1].stop) == (4, Stop("length", 5))


async def test_a_last_line_without_its_end_still_counts():
    pieces = await answer(token("a", "stop").rstrip())
    assert ("".join(piece.text for piece in pieces), pieces[-1].stop) == ("a", Stop("end"))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        token("a"),
        event([]),
        event(7),
        event(b"null"),
        event(b"half a li"),
        event({"choices": [None]}),
        event({"choices": ["x"]}),
        event({"choices": {"a": 1}}),
        event({"choices": [{"delta": "x"}]}),
        event({"usage": [1]}),
        event({"error": {"message": "out of memory"}}),
        token(["a"]),
        token(7),
    ],
)
async def test_a_stream_that_makes_no_sense_is_an_internal_error(reply: bytes):
    with pytest.raises(ApiError) as failed:
        await answer(reply)
    assert failed.value.kind is Kind.INTERNAL


@pytest.mark.parametrize("reply", [[], 7, None, {}, {"choices": []}, {"choices": [None]}, {"choices": [{}]}])
async def test_a_whole_reply_that_makes_no_sense_is_an_internal_error(reply: Any):
    with pytest.raises(ApiError) as failed:
        await answer(orjson.dumps(reply), Wish(9, is_awaited_whole=True))
    assert failed.value.kind is Kind.INTERNAL


@pytest.mark.parametrize("listing", [None, [], {}, {"data": []}, {"data": [None]}, {"data": [{}]}, {"data": 7}])
async def test_a_listing_without_a_model_is_an_internal_error(listing: Any):
    async with serving(listing=listing) as engine:
        with pytest.raises(ApiError) as failed:
            await engine.models()
    assert failed.value.kind is Kind.INTERNAL


@pytest.mark.parametrize(
    ("created", "told"),
    [
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
        (None, "1970-01-01T00:00:00Z"),
        ("2023-11-14", "1970-01-01T00:00:00Z"),
        (-1e15, "1970-01-01T00:00:00Z"),
    ],
)
async def test_a_model_s_age_may_be_told_in_any_unit(created: object, told: str):
    async with serving(listing={"data": [ROW | {"created": created}]}) as engine:
        assert rfc3339((await engine.models())[0].created_at) == told


async def test_a_usage_that_comes_with_each_chunk_is_not_counted_twice():
    with_usage = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
    assert (await answer(event(with_usage) + DONE))[-1].num_output == 1


async def test_tools_and_the_history_of_their_calls_go_upstream_as_they_are():
    made = ChatCall("toolu_1", "weather", '{"place":"Rome"}')
    history = (HI, ChatTurn("assistant", "", (made,)), ChatTurn("tool", "sunny", answers=made))
    body = await asked(TOOLED._replace(turns=history))
    assert body["tools"] == [WEATHER.definition, CLOCK.definition]
    assert "tool_choice" not in body
    function = {"name": "weather", "arguments": '{"place":"Rome"}'}
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "toolu_1", "name": "weather"},
    ]


@pytest.mark.parametrize(
    ("wish", "callable_now", "choice"),
    [
        (Wish(9), (WEATHER, CLOCK), None),
        (Wish(9), (), "none"),
        (Wish(9, opening=ANY, forced=ForcedCall(None)), (WEATHER, CLOCK), "required"),
        (Wish(9, forced=ForcedCall(None)), (WEATHER, CLOCK), "required"),
        (
            Wish(9, opening=THIS, forced=ForcedCall("weather")),
            (WEATHER,),
            {"type": "function", "function": {"name": "weather"}},
        ),
    ],
)
async def test_the_choice_is_told_and_changes_neither_messages_nor_tools(wish: Wish, callable_now: Any, choice: Any):
    body = await asked(TOOLED._replace(callable=callable_now), wish)
    assert body.get("tool_choice") == choice
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert body["tools"] == [WEATHER.definition, CLOCK.definition]


async def test_a_tool_that_was_found_is_told_of_where_it_has_to_be_called():
    body = await asked(TOOLED._replace(tools=(CLOCK,), callable=(WEATHER,)), Wish(9, forced=ForcedCall("weather")))
    assert body["tools"] == [CLOCK.definition, WEATHER.definition]


async def test_a_document_s_schema_is_passed_on_and_a_bare_grammar_is_not():
    body = await asked(CHAT, Wish(9, grammar=Grammar("root ::= x", PLACE)))
    form = {"name": "reply", "schema": PLACE, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": form}
    assert "response_format" not in await asked(TOOLED, Wish(9, grammar=Grammar("root ::= x")))


ROME = [CallStart("weather"), CallArgs('{"place":"Rome"}'), CallEnd(True)]
NOW = [CallStart("clock"), CallArgs("{}"), CallEnd(True)]


@pytest.mark.parametrize(
    "deltas",
    [
        [
            call(0, "weather", "", "a"),
            call(0, None, '{"pla'),
            call(0, None, 'ce":"Rome"}'),
            call(1, "clock", "{}", "b"),
        ],
        [call(0, "weather", '{"place":"Rome"}', "a"), call(1, "clock", "", "b")],
        [call(0, "weather", '{"place":"Rome"}', "a"), call(0, "clock", "{}", "b")],
        [call(None, "weather", '{"place":"Rome"}', "a"), call(None, "clock", "null", "b")],
        [call(0, "weather", {"place": "Rome"}), call(1, "clock", {})],
        [call(0, "", "", "a"), call(0, "weather", '{"place":', "b"), call(0, None, '"Rome"}', "c"), call(1, "clock")],
        [call(0, "weather", '{"place":', "a"), call(0, "weather", '"Rome"}', "a"), call(1, "clock", " ", "b")],
        [call(0, "weather", '{"place":', "a"), call(0, "weather", '"Rome"}'), call(1, "clock", "{}", "b")],
    ],
    ids=[
        "fragments",
        "whole",
        "one index",
        "no index",
        "objects",
        "an id for each fragment",
        "the name each time",
        "the name each time, the id once",
    ],
)
async def test_calls_are_written_so_that_they_are_read_as_calls(deltas: list[dict[str, Any]]):
    reply = b"".join(delta(tool_calls=[one]) for one in deltas) + delta("tool_calls") + DONE
    pieces = await answer(reply, chat=TOOLED)
    assert read("".join(piece.text for piece in pieces)) == [*ROME, *NOW]
    assert pieces[-1].stop == Stop("end")


async def test_the_arguments_of_a_call_are_passed_on_as_they_come():
    pieces = await answer(delta(tool_calls=[call(0, "weather", '{"pla')]) + delta("tool_calls") + DONE, Wish(9), TOOLED)
    assert pieces[0].text.startswith(THIS + '{"pla')


@pytest.mark.parametrize("is_awaited_whole", [False, True])
async def test_thinking_text_and_calls_come_in_their_order(is_awaited_whole: bool):
    said = {"reasoning_content": "Rome?", "content": "I look."}
    calls = [call(None, "weather", '{"place":"Rome"}', "a"), call(None, "clock", "{}", "b")]
    if is_awaited_whole:
        choice = {"message": said | {"tool_calls": calls}, "finish_reason": "tool_calls"}
        reply = orjson.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 30}})
    else:
        reply = delta(**said) + delta("tool_calls", tool_calls=calls) + DONE
    text = await written(reply, Wish(9, is_awaited_whole=is_awaited_whole))
    assert read(text) == [Thinking("Rome?"), Text("I look."), *ROME, *NOW]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thinking_is_read_as_thinking(name: str):
    reply = delta(**{name: "a"}) + delta(**{name: " b"}) + token("c", "stop") + DONE
    assert read(await written(reply)) == [Thinking("a b"), Text("c")]


async def test_thinking_that_both_fields_tell_is_read_once():
    assert read(await written(delta(reasoning="a", reasoning_content="a") + token("b", "stop") + DONE)) == [
        Thinking("a"),
        Text("b"),
    ]


@pytest.mark.parametrize(
    "chat",
    [CHAT._replace(thinks=True), CHAT, TOOLED._replace(thinks=False), TOOLED._replace(thinks=None)],
    ids=["nothing is read", "a completion", "not wanted", "not said"],
)
async def test_thinking_that_nobody_would_read_as_such_is_left_out_and_counted(chat: Chat):
    pieces = await answer(delta(reasoning="a") + delta(reasoning="b") + token("c", "stop") + DONE, chat=chat)
    assert "".join(piece.text for piece in pieces) == "c"
    assert pieces[-1].num_output == 3


async def test_thinking_in_the_middle_of_a_text_never_becomes_part_of_it():
    reply = token("a") + delta(reasoning="hm") + token("b", "stop") + DONE
    assert await written(reply) == "ab"


async def test_thinking_between_calls_is_read():
    reply = (
        delta(tool_calls=[call(0, "clock", "{}", "a")])
        + delta(reasoning="and now")
        + delta("tool_calls", tool_calls=[call(1, "weather", '{"place":"Rome"}', "b")])
        + DONE
    )
    text = await written(token("First") + reply)
    assert read(text) == [Text("First"), *NOW, Thinking("and now"), *ROME]
    assert text.count("</tool_call>") == 2


@pytest.mark.parametrize("arguments", ["", '{"pla'])
async def test_a_call_that_is_cut_is_left_open(arguments: str):
    text = await written(delta("length", tool_calls=[call(0, "weather", arguments)]) + DONE)
    assert text == THIS + arguments
    assert read(text, is_cut=True)[-1] == CallEnd(False)


@pytest.mark.parametrize(("opening", "forced"), [(ANY, ForcedCall(None)), (THIS, ForcedCall("weather")), (THIS, None)])
@pytest.mark.parametrize("before", [b"", token("Let me see."), delta(reasoning="Rome?")])
async def test_a_call_that_was_begun_goes_on_after_its_opening(opening: str, forced: ForcedCall | None, before: bytes):
    reply = before + delta("stop", tool_calls=[call(0, "weather", '{"place":"Rome"}', "a")]) + DONE
    text = await written(reply, Wish(9, opening=opening, forced=forced))
    assert opening + text == HERMES.call("weather", '{"place":"Rome"}')


@pytest.mark.parametrize(
    "said",
    [
        HERMES.call("weather", '{"place":"Rome"}'),
        'Here:\n```json\n{"name":"weather","arguments":{"place":"Rome"}}\n```',
        '[TOOL_CALLS][{"name":"weather","arguments":{"place":"Rome"}}, {"name":"clock","arguments":{}}]',
    ],
)
@pytest.mark.parametrize("opening", [ANY, THIS])
async def test_a_call_that_was_begun_may_come_as_text(said: str, opening: str):
    text = await written(token(said, "stop") + DONE, Wish(9, opening=opening))
    assert opening + text == HERMES.call("weather", '{"place":"Rome"}')


async def test_a_call_that_came_as_text_may_be_cut():
    text = await written(token('{"name":"weather","arguments":{"place":"Ro', "length") + DONE, Wish(9, opening=ANY))
    assert read(ANY + text, is_cut=True)[-1] == CallEnd(False)


@pytest.mark.parametrize(
    "reply",
    [
        token("It is sunny.", "stop"),
        token("", "stop"),
        delta("tool_calls", tool_calls=[call(0, "clock", "{}")]),
        token(HERMES.call("clock", "{}"), "stop"),
    ],
    ids=["text", "nothing", "another tool", "another tool as text"],
)
async def test_an_upstream_that_does_not_make_the_call_it_has_to_has_failed(reply: bytes):
    with pytest.raises(ApiError) as failed:
        await answer(reply + DONE, Wish(9, opening=THIS, forced=ForcedCall("weather")), TOOLED)
    assert failed.value.kind is Kind.INTERNAL


async def test_a_call_that_has_to_be_made_may_be_cut_before_it_begins():
    wish = Wish(9, opening=ANY, forced=ForcedCall(None))
    pieces = await answer(token("Let me", "length") + DONE, wish, TOOLED)
    assert (pieces[-1].text, pieces[-1].stop) == ("", Stop("length"))


@pytest.mark.parametrize("is_awaited_whole", [False, True])
async def test_a_demand_for_a_call_without_any_tokens_fails_for_nothing(is_awaited_whole: bool):
    if is_awaited_whole:
        reply = orjson.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]})
    else:
        reply = token("a", "stop") + DONE
    wish = Wish(0, opening=THIS, forced=ForcedCall("weather"), is_awaited_whole=is_awaited_whole)
    assert await answer(reply, wish, TOOLED) == [Piece("", 0, stop=Stop("length"))]


async def test_a_text_that_a_reply_was_made_to_begin_with_is_for_the_upstream_to_continue():
    body = await asked(TOOLED._replace(prefill="Well, "), Wish(9, opening="I look."))
    assert body["messages"][-1] == {"role": "assistant", "content": "Well, I look."}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert "tool_choice" not in body


async def test_a_call_in_the_middle_of_a_reply_is_demanded_after_what_was_said():
    earlier = f"I look.{HERMES.call('clock', '{}')}"
    body = await asked(TOOLED, Wish(9, opening=earlier + THIS, grammar=Grammar("root ::= x")))
    assert body["messages"][-1] == {"role": "assistant", "content": earlier}
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


async def test_blanks_before_a_call_are_nothing_to_continue():
    body = await asked(TOOLED, Wish(9, opening=f"\n{THIS}"))
    assert body["messages"] == [{"role": "user", "content": "hi"}]


async def test_the_count_of_a_prompt_with_an_opening_is_not_the_prompt_s():
    usage = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    reply = token("a", "stop") + usage + DONE
    resumed = await answer(reply, Wish(9, opening="I look."), TOOLED)
    assert (await answer(reply, chat=TOOLED))[-1].stop == Stop("end", 5)
    assert resumed[-1].stop == Stop("end", None)


async def test_what_an_upstream_still_thinks_after_its_thinking_was_closed_is_left_out():
    reply = delta(reasoning="more") + token("a", "stop") + DONE
    assert await written(reply, Wish(9, opening="<think>\nhm\n</think>\n\n")) == "a"


@pytest.mark.parametrize(
    "calls",
    [
        [call(0, None, "{}")],
        [call(0, "clock", "{"), call(1, "weather", "{"), call(0, None, "}")],
        [{"function": "clock"}],
        ["clock"],
        7,
    ],
)
async def test_calls_that_make_no_sense_are_an_internal_error(calls: Any):
    with pytest.raises(ApiError) as failed:
        await answer(delta("tool_calls", tool_calls=calls) + DONE, chat=TOOLED)
    assert failed.value.kind is Kind.INTERNAL


async def test_the_name_of_a_call_cannot_break_out_of_it():
    text = await written(delta("tool_calls", tool_calls=[call(0, 'a", "x": "', "{}")]) + DONE)
    assert orjson.loads(text.split("\n")[1]) == {"name": 'a", "x": "', "arguments": {}}


@pytest.mark.parametrize("details", [{"cached_tokens": 3}, None, {}])
async def test_what_the_upstream_had_of_the_prompt_is_passed_on(details: dict[str, int] | None):
    counts = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": details}
    pieces = await answer(token("a", "stop") + event({"choices": [], "usage": counts}) + DONE)
    assert pieces[-1].stop == Stop("end", 5, (details or {}).get("cached_tokens"))


@pytest.mark.parametrize(("owner", "is_told"), [("vllm", True), ("sglang", False)])
async def test_vllm_is_told_whose_cache_a_call_may_use_and_not_who_that_is(owner: str, is_told: bool):
    seen: list[dict[str, Any]] = []
    listing = {"data": [{"id": "m", "owned_by": owner}]}
    async with serving(reply=token("", "length") + DONE, listing=listing, seen=seen) as engine:
        await engine.models()
        prompt = await engine.prepare("m", CHAT)
        for salt in ("wrkspc_a", "wrkspc_a", "wrkspc_b", ""):
            async for _ in engine.generate("m", prompt, Wish(9, salt=salt)):
                pass
    salts: list[Any] = [body.get("cache_salt") for body in seen]
    assert (salts[0] is not None) == is_told
    assert salts[0] == salts[1]
    assert salts[3] is None
    assert not is_told or salts[0] != salts[2]
    assert "wrkspc" not in str(salts)
