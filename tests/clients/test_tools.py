"""Tools, structured output and thinking through the official SDK, on the scripted models."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from anthropic import BadRequestError, beta_async_tool
from pydantic import BaseModel

from antiphon.turn.pieces import Piece, Stop
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import World, ask

ADD: Any = {
    "name": "add",
    "description": "Add two numbers",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}
SAY: Any = {"name": "say", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}
HI: Any = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("choice", ["auto", "any", "add"])
async def test_a_call_comes_back_whole_and_typed(choice: str):
    wanted: Any = {"type": "tool", "name": "add"} if choice == "add" else {"type": choice}
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(
            model="tool-caller", max_tokens=100, tools=[ADD, SAY], tool_choice=wanted, messages=HI
        )
    (block,) = message.content
    assert block.type == "tool_use"
    assert (block.name, block.input, message.stop_reason) == ("add", {"a": 1, "b": 1}, "tool_use")
    assert block.id.startswith("toolu_")


async def test_the_prompt_does_not_depend_on_the_choice():
    async with World() as world:
        counts = {
            (await world.post("/v1/messages", ask("hi", tools=[ADD, SAY], tool_choice=choice)))[1]["usage"][
                "input_tokens"
            ]
            for choice in ({"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "say"}, {"type": "none"})
        }
        counted = await world.post("/v1/messages/count_tokens", {"model": "echo", "messages": HI, "tools": [ADD, SAY]})
    assert counts == {counted[1]["input_tokens"]}


async def test_a_demanded_call_is_made_by_any_model():
    async with World() as world:
        _, message = await world.post("/v1/messages", ask("hi", tools=[SAY], tool_choice={"type": "any"}))
    assert [block["type"] for block in message["content"]] == ["tool_use"]


async def test_none_means_text():
    async with World() as world:
        choice = {"type": "none"}
        _, message = await world.post("/v1/messages", ask("hi", model="tool-caller", tools=[ADD], tool_choice=choice))
    assert (message["content"][0]["type"], message["stop_reason"]) == ("text", "end_turn")


async def test_a_streamed_call_begins_empty_and_comes_in_whole_pairs():
    async with World() as world:
        events = await world.stream(ask("hi", model="tool-caller", tools=[ADD]))
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas] == ["input_json_delta"] * len(deltas)
    fragments = [delta["partial_json"] for delta in deltas]
    assert fragments[0] == ""
    assert json.loads("".join(fragments)) == {"a": 1, "b": 1}
    for end in range(1, len(fragments)):
        so_far = "".join(fragments[:end])
        assert not so_far or json.loads(so_far.rstrip().rstrip(",").removesuffix("}") + "}") is not None
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert starts[0]["input"] == {}
    assert starts[0]["caller"] == {"type": "direct"}


async def test_a_conversation_of_twelve_turns_with_parallel_calls():
    """Each turn two calls, each answered; the model reads the results and ends with them."""
    async with World() as world, world.sdk() as client:
        messages: list[Any] = []
        for turn in range(12):
            asked = f'add {{"a": {turn}, "b": 1}} and say {{"text": "turn {turn}"}}'
            messages.append({"role": "user", "content": asked})
            options: Any = {"model": "tool-caller", "max_tokens": 200, "tools": [ADD, SAY]}
            async with client.messages.stream(**options, messages=messages) as stream:
                reply = await stream.get_final_message()
            calls: list[Any] = list(reply.content)
            assert [call.input for call in calls] == [{"a": turn, "b": 1}, {"text": f"turn {turn}"}]
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.name}-{turn}"} for call in calls
            ]
            messages += [{"role": "assistant", "content": calls}, {"role": "user", "content": results}]
            answer: Any = await client.messages.create(**options, messages=messages)
            assert (answer.stop_reason, answer.content[0].text) == ("end_turn", f"add-{turn}\nsay-{turn}")
            messages.append({"role": "assistant", "content": answer.content})


async def test_the_sdks_tool_runner_ends_with_the_answer():
    seen = []

    @beta_async_tool
    async def add(a: int, b: int) -> str:
        """Add two numbers.

        Args:
            a: one
            b: the other
        """
        seen.append((a, b))
        return str(a + b)

    async with World() as world, world.sdk() as client:
        runner = client.beta.messages.tool_runner(model="tool-caller", max_tokens=100, tools=[add], messages=HI)
        last = await runner.until_done()
    assert seen == [(1, 1)]
    assert last.content[0].text == "2"  # type: ignore[union-attr]


class Person(BaseModel):
    name: str
    age: int
    kind: Literal["friend", "stranger"]


@pytest.mark.parametrize("model", ["json", "echo"])
async def test_the_sdks_parse_gets_its_own_type(model: str):
    async with World() as world, world.sdk() as client:
        message = await client.messages.parse(model=model, max_tokens=100, messages=HI, output_format=Person)
    assert message.parsed_output
    assert message.parsed_output.kind == "friend"


async def test_thinking_is_a_signed_block_before_the_text():
    async with World() as world, world.sdk() as client:
        thinking: Any = {"type": "enabled", "budget_tokens": 1024}
        message = await client.messages.create(model="thinker", max_tokens=2000, thinking=thinking, messages=HI)
    thought, text = message.content
    assert thought.type == "thinking"
    assert (thought.thinking, text.text) == ("The user says: hi", "hi")  # type: ignore[union-attr]
    assert thought.signature
    assert message.usage.output_tokens_details
    assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


async def test_thinking_that_nobody_asked_for_is_not_shown():
    async with World() as world:
        _, message = await world.post("/v1/messages", ask("hi", model="thinker"))
    assert [block["type"] for block in message["content"]] == ["text"]


async def test_a_server_tool_that_is_not_there_says_so_and_the_reply_goes_on():
    async with World() as world, world.sdk() as client:
        search: Any = {"type": "web_search_20250305", "name": "web_search"}
        message = await client.messages.create(model="tool-caller", max_tokens=100, tools=[search], messages=HI)
    call, result, text = message.content
    assert call.type == "server_tool_use"
    assert result.type == "web_search_tool_result"
    assert result.tool_use_id == call.id
    assert result.content.error_code == "unavailable"  # type: ignore[union-attr]
    assert (text.type, message.stop_reason) == ("text", "end_turn")


@pytest.mark.parametrize("kind", ["computer_toolset_20260801", "browser_toolset_20260801"])
async def test_toolsets_are_refused_by_name(kind: str):
    async with World() as world, world.sdk() as client:
        tools: Any = [{"type": kind}]
        with pytest.raises(BadRequestError, match=f"tools.0: tools of type '{kind}' are not supported"):
            await client.messages.create(model="echo", max_tokens=10, tools=tools, messages=HI)


def scripted(*texts: str) -> ScriptedEngine:
    engine = ScriptedEngine()
    engine.say(*texts)
    return engine


def order(**fields: Any) -> dict[str, Any]:
    return ask("hi", model="claude-sonnet-5", **fields)


async def test_a_call_that_was_written_as_text_is_lifted():
    async with World(
        scripted("I look. \n", "```json\n", '{"name": "add", "argu', 'ments": {"a": 1, "b": 2}}\n', "```")
    ) as world:
        _, message = await world.post("/v1/messages", order(tools=[ADD]))
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]
    assert (message["content"][0]["text"], message["content"][1]["input"]) == ("I look.", {"a": 1, "b": 2})


async def test_json_that_names_no_offered_tool_stays_text():
    text = '{"name": "subtract", "arguments": {"a": 1}}'
    async with World(scripted(text[:9], text[9:])) as world:
        _, message = await world.post("/v1/messages", order(tools=[ADD]))
    assert (message["content"], message["stop_reason"]) == ([{"type": "text", "text": text}], "end_turn")


async def test_a_call_that_max_tokens_cut_says_so():
    engine = ScriptedEngine()
    engine.feed([Piece('<tool_call>\n{"name": "say", "arguments": {"text": "Once', 9, stop=Stop("length"))])
    async with World(engine) as world:
        _, message = await world.post("/v1/messages", order(tools=[SAY], max_tokens=9))
    assert message["stop_reason"] == "max_tokens"
    assert message["content"][0]["type"] == "tool_use"


async def test_without_parallel_calls_the_first_ends_the_reply():
    call = '<tool_call>\n{"name": "say", "arguments": {"text": "x"}}\n</tool_call>\n'
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    async with World(scripted(call, call)) as world:
        _, one = await world.post("/v1/messages", order(tools=[SAY], tool_choice=choice))
    async with World(scripted(call, call)) as world:
        _, two = await world.post("/v1/messages", order(tools=[SAY]))
    assert [len(one["content"]), len(two["content"])] == [1, 2]
    assert two["content"][0]["id"] != two["content"][1]["id"]


async def test_several_calls_may_come_where_one_is_demanded():
    """The grammar lets others through behind the first, unless there may be one only."""
    asked = 'Do add {"a": 1, "b": 2}, then say {"text": "x"} and add {"a": 3, "b": 4}.'
    found = []
    for choice in (
        {"type": "any"},
        {"type": "any", "disable_parallel_tool_use": True},
        {"type": "tool", "name": "add"},
    ):
        async with World() as world:
            _, message = await world.post("/v1/messages", ask(asked, tools=[ADD, SAY], tool_choice=choice))
        assert message["stop_reason"] == "tool_use"
        found.append([block["name"] for block in message["content"]])
    assert found == [["add", "say", "add"], ["add"], ["add"]]


async def test_what_a_demanded_call_is_made_to_begin_with_counts_as_written():
    """`max_tokens` holds for all of the call."""
    choice = {"type": "tool", "name": "add"}
    async with World() as world:
        _, whole = await world.post("/v1/messages", ask("hi", tools=[ADD], tool_choice=choice))
        _, cut = await world.post("/v1/messages", ask("hi", tools=[ADD], tool_choice=choice, max_tokens=2))
        _, free = await world.post("/v1/messages", ask("hi", model="tool-caller", tools=[ADD]))
    assert abs(whole["usage"]["output_tokens"] - free["usage"]["output_tokens"]) <= 1  # words are cut at the opening
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 2)


async def test_stop_sequences_cut_text_and_never_a_call():
    call = '<tool_call>\n{"name": "say", "arguments": {"text": "END"}}\n</tool_call>'
    async with World(scripted("be", "fore ", call)) as world:
        _, called = await world.post("/v1/messages", order(tools=[SAY], stop_sequences=["END"]))
    async with World(scripted("be", "fore END", call)) as world:
        _, stopped = await world.post("/v1/messages", order(tools=[SAY], stop_sequences=["END"]))
    assert (called["stop_reason"], called["content"][1]["input"]) == ("tool_use", {"text": "END"})
    assert (stopped["stop_reason"], stopped["content"]) == ("stop_sequence", [{"type": "text", "text": "before "}])


async def test_a_document_is_asked_for_once():
    engine = scripted('{"text": "x"}')
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": False}
    async with World(engine) as world:
        _, message = await world.post(
            "/v1/messages", order(output_config={"format": {"type": "json_schema", "schema": schema}})
        )
    assert (message["content"][0]["text"], engine.num_started) == ('{"text": "x"}', 1)
    assert engine.wishes[0].grammar


async def test_with_tools_a_document_may_wait_for_a_call():
    """Only what is text has to have the schema."""
    call = '<tool_call>\n{"name": "say", "arguments": {"text": "x"}}\n</tool_call>'
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": False}
    output = {"format": {"type": "json_schema", "schema": schema}}
    engine = scripted(call)
    async with World(engine) as world:
        _, called = await world.post("/v1/messages", order(tools=[SAY], output_config=output))
    assert (called["stop_reason"], engine.wishes[0].grammar) == ("tool_use", None)
    engine = ScriptedEngine()
    engine.feed([Piece("Well", 1)])
    engine.say('{"text": "x"}')
    async with World(engine) as world:
        _, said = await world.post("/v1/messages", order(tools=[SAY], output_config=output))
    assert (said["content"][0]["text"], engine.num_started) == ('{"text": "x"}', 2)
