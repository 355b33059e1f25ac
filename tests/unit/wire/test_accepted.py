"""What the API takes, this server takes: the edges of the rules, seen from inside."""

import json
from typing import Any

import pytest

from antiphon.wire.parse import parse_complete, parse_count, parse_message
from antiphon.wire.versions import Version
from tests.unit.wire.requests import (
    CODE,
    FIVE_MINUTES,
    ONE_HOUR,
    PDF,
    PNG,
    assistant,
    blocks,
    body,
    call,
    completion,
    document,
    encode,
    result,
    says,
    search_answer,
    search_result,
    server_call,
    system,
    text,
    thought,
    tool,
    user,
)

OLD, NEW = Version.V2023_06_01, Version.V2026_10_21
THINK = {"type": "enabled", "budget_tokens": 1024}
ASKED = [user("Hi"), assistant([call()])]
CITED = {"type": "web_search_result_location", "cited_text": "a", "encrypted_index": "b", "title": "c", "url": "d"}

ACCEPTED: dict[str, dict[str, Any]] = {
    "the least request": body(),
    "nulls where the API has them": body(
        container=None,
        metadata={"user_id": None},
        cache_control=None,
        inference_geo=None,
        speed=None,
        diagnostics={"previous_message_id": None},
    ),
    "an empty system prompt": body(system=""),
    "a run of user items, one of them empty": says(user([]), user("a"), user("")),
    "an empty assistant turn at the end": says(user("a"), assistant([])),
    "an empty assistant turn in between": says(user("a"), assistant(""), user("b")),
    "a prefill": says(user("a"), assistant("Sure,")),
    "white space inside a prefill's earlier block": says(user("a"), assistant([text("Sure, "), text("yes")])),
    "a system item before the reply": says(user("a"), system("b")),
    "a system item before an assistant item": says(user("a"), system("b"), assistant("c"), user("d")),
    "a directive at the start": says(system([], output_config={"effort": "low"}), user("a")),
    "a directive between user items": says(user("a"), system([], output_config={"effort": "low"}), user("b")),
    "a system item that is cleared": says(user("a"), system("b", clear_at="next_user_message")),
    "images and documents": blocks(PNG, PDF, document(), search_result(), text()),
    "a document in an assistant message": says(user("a"), assistant([document()])),
    "citations in a user text": blocks(text(citations=[CITED])),
    "a call and its result": says(*ASKED, user([result(content="21 °C"), text("And now?")])),
    "results in two user items": says(
        user("a"), assistant([call("a"), call("b")]), user([result("b")]), user([result("a")])
    ),
    "an absent and an empty result": says(
        user("a"), assistant([call("a"), call("b")]), user([result("a"), result("b", content="")])
    ),
    "a result that is a newline": says(*ASKED, user([result(content=[text("\n")])])),
    "tool blocks without tools": says(*ASKED, user([result()])),
    "a tool reference": says(
        *ASKED,
        user([result(content=[{"type": "tool_reference", "tool_name": "weather"}])]),
        tools=[tool(defer_loading=True), tool("find")],
    ),
    "a server tool and its result": says(user("a"), assistant([server_call(), search_answer(), text()]), user("b")),
    "a paused turn": says(user("a"), assistant([text("Let me see. "), server_call()])),
    "a mixed turn": says(user("a"), assistant([server_call(), call()]), user([result()])),
    "a server result that comes one turn later": says(
        user("a"), assistant([server_call(), call()]), user([result()]), assistant([search_answer()]), user("b")
    ),
    "four breakpoints, the long-lived first": says(
        user([text(cache_control=FIVE_MINUTES)]),
        tools=[tool(cache_control=ONE_HOUR)],
        system=[text(cache_control=ONE_HOUR)],
        cache_control=FIVE_MINUTES,
    ),
    "as many stop characters as there may be": body(stop_sequences=["a" * 8190, "b"], model="m" * 256),
    "a choice among tools": body(tools=[tool()], tool_choice={"type": "tool", "name": "weather"}),
    "no choice without tools": body(tool_choice={"type": "none"}),
    "a member of a toolset chosen": body(
        tools=[{"type": "computer_toolset_20260801"}], tool_choice={"type": "tool", "name": "zoom"}
    ),
    "manual thinking": body(thinking=THINK, max_tokens=2048, temperature=1, top_p=0.95),
    "manual thinking in a tool loop": says(
        user("Hi"),
        assistant([thought(), call()]),
        user([result()]),
        assistant([call("toolu_2")]),
        user([result("toolu_2")]),
        thinking=THINK,
        max_tokens=2048,
    ),
    "manual thinking after a turn without": says(
        user("Hi"), assistant("Hello."), user("And?"), thinking=THINK, max_tokens=2048
    ),
    "a cache warm-up": body(max_tokens=0, stream=False),
    "a container where code runs": blocks(
        {"type": "container_upload", "file_id": "file_1"}, tools=[CODE], container={"id": "c_1", "skills": []}
    ),
    "a tool with a null type": body(tools=[tool(type=None)]),
    "a tool with a type": body(tools=[tool(type="custom")]),
    "a strict tool": body(tools=[tool(strict=True, input_schema={"type": "object", "additionalProperties": False})]),
    "odd numbers in free JSON": body(tools=[tool(input_schema={"type": "object", "x": [1e308, -0.0, 10**30]})]),
    "everything that is unknown": body(
        bogus=1, metadata={"x": 1}, system=[text(x=1)], tools=[tool(x=1)], messages=[user([text(x=1)]) | {"x": 1}]
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_api_takes(name: str) -> None:
    request = parse_message(encode(ACCEPTED[name]), OLD)
    assert request.model == ACCEPTED[name]["model"]


@pytest.mark.parametrize("name", ["the least request", "a call and its result", "a paused turn", "a cache warm-up"])
def test_strict_and_newer_take_the_same(name: str) -> None:
    assert parse_message(encode(ACCEPTED[name]), NEW, strict=True) == parse_message(encode(ACCEPTED[name]), OLD)


def test_attributes_are_what_was_sent() -> None:
    request = parse_message(encode(body(stop_sequences=["END"], temperature=0, stream=True, system="Be kind")), OLD)
    assert (request.stop_sequences, request.temperature, request.stream) == (["END"], 0, True)
    assert (request.system, request.tools, request.top_p) == ("Be kind", None, None)
    assert request.messages[0].content == "Hi"


def test_a_tool_without_a_type_is_a_custom_one() -> None:
    tools = parse_message(encode(body(tools=[tool()])), OLD).tools
    assert tools is not None
    assert tools[0].type == "custom"


def test_the_interleaved_beta_lifts_the_bound_of_the_budget() -> None:
    request = encode(body(thinking=THINK, max_tokens=512, tools=[tool()]))
    assert parse_message(request, OLD, betas=["interleaved-thinking-2025-05-14"]).max_tokens == 512


def test_a_count_needs_no_max_tokens() -> None:
    request = parse_count(b'{"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}', NEW, strict=True)
    assert len(request.messages) == 1


def test_a_completion_keeps_its_sampling_under_both_versions() -> None:
    assert parse_complete(encode(completion(temperature=0.5, top_k=3)), NEW).temperature == 0.5


def test_a_body_of_claude_code() -> None:
    """As seen on the wire: an attribution line, cached system blocks, many tools, metadata in JSON."""
    tools = [tool(f"Tool{number}", description="Does it.", eager_input_streaming=True) for number in range(24)]
    request = {
        "model": "claude-opus-4-8",
        "max_tokens": 32000,
        "stream": True,
        "temperature": 1,
        "system": [
            text("x-anthropic-billing-header: cc_version=2.1.197"),
            text("You are an agent.", cache_control={"type": "ephemeral", "ttl": "1h", "scope": "global"}),
            text("Work well.", cache_control={"type": "ephemeral", "ttl": "1h"}),
        ],
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 400})},
        "tools": tools,
        "messages": [
            user([text("<system-reminder>Today is Sunday.</system-reminder>"), text("Read a.png")]),
            assistant([thought(""), text("I will."), call(name="Tool1", caller={"type": "direct"})]),
            user([result(content=[PNG, text("a.png")]), text("Go on", cache_control=FIVE_MINUTES)]),
            system("The file has changed."),
        ],
    }
    assert parse_message(encode(request), OLD).thinking is not None
    assert parse_count(encode(request), OLD).output_config is not None
