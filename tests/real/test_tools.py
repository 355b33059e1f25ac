"""Tools and structured output on real models: what is demanded is made, whatever the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, beta_tool
from pydantic import BaseModel

from antiphon.turn.script import MAX_CALLS
from tests.fixtures.serving import Served, serving

pytestmark = pytest.mark.real

WEATHER: Any = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"],
    },
}
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
GREEDY: Any = {"extra_body": {"temperature": 0}, "extra_headers": {"anthropic-version": "2023-06-01"}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("tools"), "--model", str(smollm2)) as server:
        yield server


@pytest.fixture
def client(served: Served) -> Iterator[Anthropic]:
    with served.sdk() as client:
        yield client


def call(client: Anthropic, choice: Any, **fields: Any) -> Any:
    messages: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    return client.messages.create(
        model="claude-sonnet-5",
        **({"max_tokens": 120, "messages": messages, "tools": [WEATHER, ADD], "tool_choice": choice} | GREEDY | fields),
    )


ONE: Any = {"type": "any", "disable_parallel_tool_use": True}


def check_call(block: Any) -> None:
    assert block.type == "tool_use"
    if block.name == "add":
        assert {name: type(value) for name, value in block.input.items()} == {"a": int, "b": int}
    else:
        assert (block.name, block.input["unit"] in ("c", "f")) == ("get_weather", True)


@pytest.mark.parametrize("choice", [ONE, {"type": "tool", "name": "add"}])
def test_a_demanded_call_is_valid_on_a_model_that_knows_no_tools(client: Anthropic, choice: Any):
    message = call(client, choice)
    (block,) = message.content
    check_call(block)
    assert message.stop_reason == "tool_use"
    assert len(block.model_dump_json()) / 8 < message.usage.output_tokens <= 120


@pytest.mark.full
def test_several_demanded_calls_are_valid_each(client: Anthropic):
    """Of a model that never stops calling, there are eight."""
    message = call(client, {"type": "any"}, max_tokens=600)
    assert message.stop_reason == "tool_use"
    assert 1 < len(message.content) <= MAX_CALLS
    for block in message.content:
        check_call(block)


@pytest.mark.parametrize("num_turns", [2, pytest.param(12, marks=pytest.mark.full)])
def test_an_agent_goes_on_through_streamed_calls_and_their_results(client: Anthropic, num_turns: int):
    """Each turn as many calls as the model makes, each answered; at the end it says something."""
    messages: Any = [{"role": "user", "content": "Add 1 and 2, and tell me the weather in Paris."}]
    for _ in range(num_turns):
        with client.messages.stream(
            model="claude-x",
            max_tokens=70,
            messages=messages,
            tools=[WEATHER, ADD],
            tool_choice={"type": "any"},
            **GREEDY,
        ) as stream:
            fragments: dict[int, str] = {}
            for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                    fragments[event.index] = fragments.get(event.index, "") + event.delta.partial_json
            reply = stream.get_final_message()
        done = reply.content if reply.stop_reason == "tool_use" else reply.content[:-1]
        assert done
        for index, block in enumerate(done):
            check_call(block)
            assert json.loads(fragments[index]) == block.input  # type: ignore[union-attr]
        messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in done]})
        results = [{"type": "tool_result", "tool_use_id": block.id, "content": "3"} for block in done]  # type: ignore[union-attr]
        messages.append({"role": "user", "content": results})
    answer = call(client, {"type": "none"}, messages=messages, max_tokens=20)
    assert answer.content[0].type == "text"


def test_the_sdks_tool_runner_runs_what_the_model_calls(client: Anthropic):
    seen: list[tuple[int, int]] = []

    @beta_tool
    def add(a: int, b: int) -> str:
        """Add two numbers.

        Args:
            a: one
            b: the other
        """
        seen.append((a, b))
        return str(a + b)

    messages: Any = [{"role": "user", "content": "Add 17 and 25."}]
    runner = client.beta.messages.tool_runner(
        model="claude-x",
        max_tokens=100,
        tools=[add],
        tool_choice=ONE,
        messages=messages,
        max_iterations=3,
    )
    replies = list(runner)
    assert len(replies) == len(seen) == 3
    assert all(isinstance(number, int) for pair in seen for number in pair)


def test_the_prompt_is_the_same_for_every_choice_and_as_counted(client: Anthropic):
    choices: list[Any] = [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "add"}, {"type": "none"}]
    counts = {call(client, choice, max_tokens=1).usage.input_tokens for choice in choices}
    messages: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    counted = client.messages.count_tokens(model="claude-sonnet-5", messages=messages, tools=[WEATHER, ADD])
    assert counts == {counted.input_tokens}


class Person(BaseModel):
    name: str
    age: int
    is_tall: bool


def test_a_document_has_its_schema(client: Anthropic):
    messages: Any = [{"role": "user", "content": "Describe a person."}]
    parsed = client.messages.parse(
        model="claude-sonnet-5", max_tokens=300, messages=messages, output_format=Person, **GREEDY
    )
    assert isinstance(parsed.parsed_output, Person)


def test_a_strict_call_in_history_and_its_result_are_read(client: Anthropic):
    """The template of this model knows no tools: they are written out, and the conversation goes on."""
    first = call(client, ONE)
    (block,) = first.content
    messages: Any = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "content": [block.model_dump(exclude_none=True)]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "Sunny, 20 degrees."}],
        },
    ]
    answer = call(client, {"type": "none"}, messages=messages)
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.content[0].type == "text"


@pytest.mark.full
@pytest.mark.parametrize("choice", [{"type": "auto"}, ONE], ids=["auto", "any"])
def test_a_model_that_knows_tools_calls_the_right_one(tmp_path: Path, qwen05: Path, choice: Any):
    with serving(tmp_path, "--model", str(qwen05)) as server, server.sdk() as client:
        message = call(client, choice)
        (block,) = message.content
        assert (block.type, block.name, block.input["city"]) == ("tool_use", "get_weather", "Paris")
        with client.messages.stream(
            model="claude-sonnet-5",
            max_tokens=100,
            messages=[{"role": "user", "content": "Add 17 and 25 with the tool."}],
            tools=[WEATHER, ADD],
            tool_choice={"type": "auto"},
            **GREEDY,
        ) as stream:
            fragments = [event.partial_json for event in stream if event.type == "input_json"]
            (block,) = stream.get_final_message().content
    assert block.type == "tool_use"
    assert block.input == json.loads("".join(fragments)) == {"a": 17, "b": 25}
