"""Tools and structured output on real models: what is demanded is made, whatever the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from pydantic import BaseModel

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


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "add"}])
def test_a_demanded_call_is_valid_on_a_model_that_knows_no_tools(client: Anthropic, choice: Any):
    message = call(client, choice)
    (block,) = message.content
    assert (block.type, message.stop_reason) == ("tool_use", "tool_use")
    if block.name == "add":
        assert {name: type(value) for name, value in block.input.items()} == {"a": int, "b": int}
    else:
        assert block.input["unit"] in ("c", "f")


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
    first = call(client, {"type": "any"})
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
@pytest.mark.parametrize("choice", ["auto", "any"])
def test_a_model_that_knows_tools_calls_the_right_one(tmp_path: Path, qwen05: Path, choice: str):
    with serving(tmp_path, "--model", str(qwen05)) as server, server.sdk() as client:
        message = call(client, {"type": choice})
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
