"""Strict tools: their arguments are true, whatever the model and however much of the schema its grammar can hold."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import InternalServerError

from antiphon.turn.pieces import Piece, Stop
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import World, ask


def tool(name: str, pattern: str) -> dict[str, Any]:
    properties = {"text": {"type": "string", "pattern": pattern}}
    schema = {"type": "object", "properties": properties, "required": ["text"], "additionalProperties": False}
    return {"name": name, "strict": True, "input_schema": schema}


RELAXED = tool("spell", "^.{3,900}$")
"""A grammar holds no such long repetition: it lets any string through."""
EXACT = tool("say", "^[ab]+$")
SAY: Any = {"name": "tell", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
BEGUN = '<tool_call>\n{"name": "%s", "arguments": '
OLD = {"anthropic-version": "2023-06-01"}
HI: Any = [{"role": "user", "content": "hi"}]


def arguments(text: str) -> str:
    return f'{{"text": "{text}"}}}}\n</tool_call>'


def scripted(*outputs: str) -> ScriptedEngine:
    """Each output is one of the engine's; the last of them ends by itself, and the others if they are let."""
    engine = ScriptedEngine()
    for output in outputs:
        engine.feed([Piece(output, 5, stop=Stop("end"))])
    return engine


def order(*tools: dict[str, Any], choice: str = "auto", **fields: Any) -> dict[str, Any]:
    return ask("hi", model="claude-x", tools=list(tools), tool_choice={"type": choice}, **fields)


@pytest.mark.parametrize("choice", ["auto", "any"])
async def test_what_its_grammar_could_not_hold_is_tried_once_more_and_never_shown(choice: str):
    begun = [BEGUN % "spell" + "{"] if choice == "auto" else []
    rest = ["bye"] if choice == "auto" else []
    engine = scripted(*begun, arguments("ab"), arguments("aaa"), *rest)
    async with World(engine) as world:
        events = await world.stream(order(RELAXED, choice=choice, max_tokens=100, temperature=0), **OLD)
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    fragments = [delta["partial_json"] for delta in deltas if delta["type"] == "input_json_delta"]
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert "".join(fragments) == '{"text": "aaa"}'
    assert [start["type"] for start in starts] == ["tool_use", *(["text"] if rest else [])]
    tries = [wish for wish in engine.wishes if wish.grammar]
    assert [wish.opening for wish in tries] == [BEGUN % "spell"] * 2
    assert [wish.sampling.temperature for wish in tries] == [0, 0.7]
    assert all(wish.sampling.temperature == 0 for wish in engine.wishes if not wish.grammar)


async def test_a_strict_call_that_is_untrue_twice_is_an_error_that_says_so():
    outputs = (BEGUN % "spell" + "{", arguments("b"), arguments("c"))
    sentence = "The model did not write a call of the strict tool 'spell' that its input_schema allows"
    async with World(scripted(*outputs)) as world, world.sdk() as client:
        with pytest.raises(InternalServerError, match=sentence):
            await client.messages.create(model="claude-x", max_tokens=100, tools=[RELAXED], messages=HI)  # type: ignore[list-item]
    async with World(scripted(*outputs)) as world:
        events = await world.stream(order(RELAXED, max_tokens=100))
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["message"].startswith(sentence)
    assert not any(event["delta"].get("partial_json") for event in events if event["type"] == "content_block_delta")


async def test_a_strict_call_that_its_grammar_holds_is_shown_as_it_comes():
    engine = ScriptedEngine()
    engine.feed([Piece(BEGUN % "say" + '{"text": "x', 5)], [Piece('{"text": "ab"', 8)])
    engine.feed([Piece("}}\n</tool_call>", 9, stop=Stop("end"))], [Piece("", 1, stop=Stop("end"))])
    async with World(engine) as world:
        events = await world.stream(order(EXACT, max_tokens=100))
    deltas = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(deltas) == '{"text": "ab"}'
    assert [bool(wish.grammar) for wish in engine.wishes] == [False, True, False]


async def test_other_calls_may_follow_a_strict_one():
    other = BEGUN % "tell" + arguments("b")
    engine = scripted(BEGUN % "say" + "{", arguments("a"), f"\n{other}\n" + BEGUN % "spell" + "{", arguments("aaa"), "")
    async with World(engine) as world:
        _, message = await world.post("/v1/messages", order(EXACT, SAY, RELAXED, max_tokens=100))
    calls = [(block["name"], block["input"]["text"]) for block in message["content"]]
    assert (calls, message["stop_reason"]) == ([("say", "a"), ("tell", "b"), ("spell", "aaa")], "tool_use")
    before = BEGUN % "say" + arguments("a") + f"\n{other}\n"
    assert engine.wishes[3].opening == before + BEGUN % "spell"


async def test_without_parallel_calls_a_strict_one_is_the_last():
    engine = scripted(BEGUN % "say" + "{", arguments("a"))
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    async with World(engine) as world:
        _, message = await world.post("/v1/messages", order(EXACT) | {"tool_choice": choice})
    assert ([block["input"] for block in message["content"]], message["stop_reason"]) == ([{"text": "a"}], "tool_use")


async def test_no_try_goes_on_beyond_max_tokens():
    engine = ScriptedEngine()
    engine.feed([Piece(BEGUN % "spell" + '{"text": "x', 5)], [Piece(arguments("b"), 5, stop=Stop("end"))])
    async with World(engine) as world:
        _, message = await world.post("/v1/messages", order(RELAXED, max_tokens=10))
    assert (message["stop_reason"], message["usage"]["output_tokens"]) == ("max_tokens", 10)
    assert engine.num_started == 2
