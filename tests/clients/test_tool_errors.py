"""What a wrong request with tools or thinking is told, through the door: the API's sentence, whatever the route."""

from typing import Any

import pytest

from tests.fixtures.world import World
from tests.unit.wire.requests import (
    SCHEMA,
    assistant,
    body,
    call,
    result,
    says,
    server_call,
    text,
    thought,
    tool,
    user,
)

ENABLED = {"type": "enabled", "budget_tokens": 1024}
DOCS = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
NO_RESULT = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
NO_CALL = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
CLOSED = "For 'object' type, 'additionalProperties' must be explicitly set to false"
SEARCH = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
ASKED = [user("Hi"), assistant([call()])]


def reference(name: str) -> dict[str, Any]:
    return {"type": "tool_reference", "tool_name": name}


def found(name: str) -> list[Any]:
    """A turn in which a search has found the tool."""
    content = {"type": "tool_search_tool_search_result", "tool_references": [reference(name)]}
    answer = {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_1", "content": content}
    return [user("Hi"), assistant([server_call(name="tool_search_tool_regex"), answer]), user("Go on")]


def vast(num: int) -> dict[str, Any]:
    """A schema with so many properties."""
    names = [f"property_{number}" for number in range(num)]
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def thinking(**fields: Any) -> dict[str, Any]:
    return body(**{"model": "thinker", "thinking": ENABLED, "max_tokens": 2000} | fields)


TOOLS = [
    (body(tools=[tool(), tool()]), "tools: Tool names must be unique."),
    (body(tools=[tool("no spaces")]), "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
    (body(tools=[{"name": "a"}]), "tools.0.custom.input_schema: Field required"),
    (
        body(tools=[tool(input_schema=SCHEMA | {"required": "city"})]),
        "tools.0.custom.input_schema: JSON schema is invalid. `required` must be an array of strings.",
    ),
    (
        body(tools=[tool(input_schema={"type": "object", "properties": {"a b": {}}})]),
        "tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'",
    ),
    (body(tools=[tool(strict=True)]), f"tools.0.custom: {CLOSED}"),
    (body(tools=[tool(strict=True, input_schema=vast(3000))]), "Schema is too complex for compilation."),
    (
        body(output_config={"format": {"type": "json_schema", "schema": vast(3000)}}),
        "Schema is too complex for compilation.",
    ),
    (
        body(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        f"output_config.format.schema: {CLOSED}",
    ),
    (
        body(tools=[{"type": "computer_toolset_20260801"}]),
        "tools.0: tools of type 'computer_toolset_20260801' are not supported by this server yet.",
    ),
    (
        body(tools=[{"type": "browser_toolset_20260801"}]),
        "tools.0: tools of type 'browser_toolset_20260801' are not supported by this server yet.",
    ),
]

CHOICE = [
    (body(tools=[tool()], tool_choice={"type": "tool", "name": "x"}), "Tool 'x' not found in provided tools"),
    (body(tool_choice={"type": "any"}), "tool_choice.any may only be specified while providing tools"),
    (body(tool_choice={"type": "auto"}), "tool_choice.auto may only be specified while providing tools"),
    (
        body(tool_choice={"type": "tool", "name": "x"}),
        "tool_choice.tool may only be specified while providing tools",
    ),
]

DEFERRAL = [
    (
        body(tools=[tool(defer_loading=True), SEARCH | {"defer_loading": True}]),
        "At least one tool must have defer_loading=false. All tools cannot be deferred.",
    ),
    (
        says(*ASKED, user([result(content=[reference("x")])]), tools=[tool()]),
        "Tool reference 'x' not found in available tools",
    ),
    (says(*found("x"), tools=[SEARCH, tool()]), "Tool reference 'x' not found in available tools"),
]

PAIRS = [
    (
        says(*ASKED, user("No")),
        f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. {NO_RESULT}",
    ),
    (
        says(*ASKED, user([result("toolu_9")])),
        f"messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_9. {NO_CALL}",
    ),
    (
        says(*ASKED, user([result(), result()])),
        "messages.2.content.1: each tool_use must have a single result. "
        "Found multiple `tool_result` blocks with id: toolu_1",
    ),
    (
        says(user("Hi"), assistant([server_call()]), user("And?")),
        "`web_search` tool use with id `srvtoolu_1` was found without a corresponding `web_search_tool_result` block",
    ),
    (
        says(user("Hi"), assistant([call("a b")])),
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    (
        says(user("Hi"), assistant([call(name="n" * 201)])),
        "messages.1.content.0.tool_use.name: String should have at most 200 characters",
    ),
]

THINKING = [
    (
        thinking(messages=[*ASKED, user([result()])], tools=[tool()]),
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` "
        "is enabled, a final `assistant` message must start with a thinking block (preceding the lastmost set of "
        "`tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid "
        f"this requirement, disable `thinking`. {DOCS}",
    ),
    (
        thinking(messages=[user("Hi"), assistant([thought(), text("Yes,")])]),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    (
        body(messages=[user("Hi"), assistant([{"type": "thinking", "thinking": "Hm."}]), user("And?")]),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    (
        thinking(thinking=ENABLED | {"budget_tokens": 500}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
]

ONLY_MESSAGES = [
    (
        thinking(max_tokens=1024),
        f"`max_tokens` must be greater than `thinking.budget_tokens`. {DOCS}#max-tokens-and-context-window-size",
    ),
    (
        thinking(temperature=0.5),
        "`temperature` may only be set to 1 when thinking is enabled. "
        f"{DOCS}#important-considerations-when-using-extended-thinking",
    ),
    (
        thinking(tools=[tool()], tool_choice={"type": "any"}),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    (
        thinking(tools=[tool()], tool_choice={"type": "tool", "name": "weather"}),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
]

REPLACED = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
KINDS = [
    ("adaptive", {"thinking": ENABLED}, f'"thinking.type.enabled" is not supported for this model. {REPLACED}'),
    (
        "adaptive",
        {"thinking": {"type": "disabled"}},
        f'"thinking.type.disabled" is not supported for this model. {REPLACED}',
    ),
    ("adaptive", {"thinking": {"type": "adaptive"}}, None),
    ("lorem", {"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
    ("lorem", {"thinking": ENABLED}, "'lorem' does not support thinking."),
    ("lorem", {"thinking": {"type": "disabled"}}, None),
    ("lorem", {"output_config": {"effort": "low"}}, "This model does not support the effort parameter."),
    (
        "lorem",
        {"messages": [{"role": "system", "content": [], "output_config": {"effort": "low"}}, user("Hi")]},
        "This model does not support the effort parameter.",
    ),
    ("thinker", {"thinking": ENABLED, "output_config": {"effort": "low"}}, None),
    ("thinker", {"thinking": {"type": "between_tools"}}, None),
]
"""Model, what is asked of it, and what strict servers say to that; None where the model does it."""

EVERYWHERE = [*TOOLS, *CHOICE, *DEFERRAL, *PAIRS, *THINKING]


async def refusals(path: str, rows: list[tuple[dict[str, Any], str]]) -> list[tuple[int, str]]:
    """One world for all: a start costs more than a refusal."""
    async with World() as world:
        answers = [await world.post(path, request) for request, _ in rows]
    assert {answer["error"]["type"] for _, answer in answers} == {"invalid_request_error"}
    return [(status, answer["error"]["message"]) for status, answer in answers]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_tools_and_thinking_are_refused_in_the_apis_words(path: str):
    assert await refusals(path, EVERYWHERE) == [(400, words) for _, words in EVERYWHERE]


async def test_what_concerns_the_reply_is_refused_where_there_is_one():
    assert await refusals("/v1/messages", ONLY_MESSAGES) == [(400, words) for _, words in ONLY_MESSAGES]


async def test_a_reference_that_leads_nowhere_has_its_code():
    async with World() as world:
        _, answer = await world.post("/v1/messages", says(*found("x"), tools=[SEARCH, tool()]))
    assert answer["error"]["details"] == {"error_code": "tool_reference_unresolved"}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_kinds_of_thinking_that_a_model_does_not_do_are_refused_only_when_strict(path: str):
    requests = [body(**{"model": model, "max_tokens": 1100} | fields) for model, fields, _ in KINDS]
    if path.endswith("count_tokens"):
        requests = [{key: value for key, value in request.items() if key != "max_tokens"} for request in requests]
    async with World() as lenient, World(strict=True) as strict:
        served = [await lenient.post(path, request) for request in requests]
        answers = [await strict.post(path, request) for request in requests]
    assert {status for status, _ in served} == {200}
    told = [None if status == 200 else answer["error"]["message"] for status, answer in answers]
    assert told == [words for _, _, words in KINDS]
    assert {status for status, _ in answers} == {200, 400}


async def test_the_models_say_which_kinds_they_do():
    async with World() as world, world.sdk() as client:
        told: Any = {model: (await client.models.retrieve(model)).capabilities for model in ("adaptive", "lorem")}
    kinds = {model: told[model].thinking.to_dict()["types"] for model in told}
    assert {kind for kind, does in kinds["adaptive"].items() if does["supported"]} == {"adaptive"}
    assert {kind for kind, does in kinds["lorem"].items() if does["supported"]} == {"disabled"}
    assert [told[model].effort.supported for model in ("adaptive", "lorem")] == [True, False]
