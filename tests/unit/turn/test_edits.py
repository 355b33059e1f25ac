"""What context edits clear from a request."""

from typing import Any

import pytest

from antiphon.turn import edits
from antiphon.wire.parse import parse_message
from antiphon.wire.request import MessageRequest
from antiphon.wire.versions import Version
from tests.unit.wire.requests import assistant, call, encode, result, says, text, thought, tool, user

TOOLS = [tool("weather"), tool("news")]


def parse(*messages: Any, **fields: Any) -> MessageRequest:
    return parse_message(encode(says(*messages, **fields)), Version.V2023_06_01)


def loop(num_uses: int, name: str = "weather") -> list[Any]:
    """A question, and `num_uses` calls one after the other, each with its result."""
    messages = [user("Hi")]
    for number in range(num_uses):
        messages.append(assistant([call(f"t{number}", name=name, input={"city": str(number)})]))
        messages.append(user([result(f"t{number}", content=f"result {number}")]))
    return messages


def cleared(
    messages: list[Any], edit: dict[str, Any], num_tokens: int = 200_000
) -> edits.Cleared[MessageRequest] | None:
    request = parse(*messages, tools=TOOLS, context_management={"edits": [edit]})
    (one,) = edits.edits_of(request)
    return edits.clear(request, one, num_tokens)


def uses(**fields: Any) -> dict[str, Any]:
    return {"type": "clear_tool_uses_20250919"} | fields


def results_of(request: MessageRequest) -> list[str]:
    blocks = [block for turn in request.turns for block in turn.blocks]
    return [str(block.content) for block in blocks if block.type == "tool_result"]


def inputs_of(request: MessageRequest) -> list[dict[str, Any]]:
    blocks = [block for turn in request.turns for block in turn.blocks]
    return [block.input for block in blocks if block.type == "tool_use"]


def test_the_oldest_results_go_and_the_last_three_stay():
    found = cleared(loop(5), uses())
    assert found
    assert found.what == {"cleared_tool_uses": 2}
    assert results_of(found.request) == [edits.CLEARED] * 2 + ["result 2", "result 3", "result 4"]
    assert inputs_of(found.request) == [{"city": str(number)} for number in range(5)]


def test_the_request_itself_is_left_as_it_was():
    request = parse(*loop(5), tools=TOOLS, context_management={"edits": [uses()]})
    assert len(request.turns) == 11
    assert edits.clear(request, edits.edits_of(request)[0], 200_000)
    assert results_of(request) == [f"result {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("trigger", "num_tokens", "is_due"),
    [
        (None, 100_000, False),
        (None, 100_001, True),
        ({"type": "input_tokens", "value": 500}, 500, False),
        ({"type": "input_tokens", "value": 500}, 501, True),
        ({"type": "tool_uses", "value": 5}, 900_000, False),
        ({"type": "tool_uses", "value": 4}, 10, True),
    ],
)
def test_an_edit_waits_for_its_trigger(trigger: Any, num_tokens: int, is_due: bool):
    edit = uses(trigger=trigger) if trigger else uses()
    assert (cleared(loop(5), edit, num_tokens) is not None) == is_due


@pytest.mark.parametrize(("num_kept", "num_cleared"), [(0, 5), (1, 4), (4, 1), (5, None), (9, None)])
def test_as_many_uses_are_kept_as_were_asked_for(num_kept: int, num_cleared: int | None):
    found = cleared(loop(5), uses(keep={"type": "tool_uses", "value": num_kept}))
    assert (found and found.what["cleared_tool_uses"]) == num_cleared


def test_excluded_tools_are_kept():
    messages = loop(2) + loop(2, "news")[1:]
    for number, message in enumerate(messages[5:]):
        block = message["content"][0]
        block["id" if "id" in block else "tool_use_id"] = f"n{number // 2}"
    found = cleared(messages, uses(keep={"type": "tool_uses", "value": 0}, exclude_tools=["news"]))
    assert found
    assert results_of(found.request) == [edits.CLEARED] * 2 + ["result 0", "result 1"]


@pytest.mark.parametrize(
    ("wanted", "is_cleared"), [(True, True), (["weather"], True), (["news"], False), (False, False)]
)
def test_inputs_are_cleared_where_that_is_asked_for(wanted: Any, is_cleared: bool):
    found = cleared(loop(5), uses(clear_tool_inputs=wanted))
    assert found
    assert inputs_of(found.request)[0] == ({} if is_cleared else {"city": "0"})
    assert inputs_of(found.request)[4] == {"city": "4"}


def test_a_result_that_found_tools_is_kept_so_that_they_can_still_be_called():
    messages = loop(5)
    messages[2]["content"][0]["content"] = [{"type": "tool_reference", "tool_name": "news"}]
    found = cleared(messages, uses())
    assert found
    assert found.what == {"cleared_tool_uses": 1}
    assert "news" in results_of(found.request)[0]


@pytest.mark.parametrize(("num_spared", "is_worth_it"), [(999, False), (1000, True)])
def test_an_edit_is_dropped_that_does_not_clear_enough(num_spared: int, is_worth_it: bool):
    edit = uses(clear_at_least={"type": "input_tokens", "value": 1000})
    request = parse(user("Hi"), context_management={"edits": [edit]})
    assert edits.is_worth_it(edits.edits_of(request)[0], num_spared) == is_worth_it


THREE_TURNS = [
    user("a"),
    assistant([thought(), text("b")]),
    user("c"),
    assistant([thought(), call("t0")]),
    user([result("t0")]),
    assistant([{"type": "redacted_thinking", "data": "x"}, text("d")]),
    user("e"),
    assistant([thought(), call("t1")]),
    user([result("t1")]),
]


def thoughts_in(request: MessageRequest) -> list[int]:
    """The messages that hold thinking."""
    kinds = [[getattr(block, "type", "") for block in message.content] for message in request.messages]
    return [index for index, names in enumerate(kinds) if {"thinking", "redacted_thinking"} & {*names}]


@pytest.mark.parametrize(
    ("keep", "num_cleared", "left"),
    [
        (None, 2, [7]),
        ({"type": "thinking_turns", "value": 1}, 2, [7]),
        ({"type": "thinking_turns", "value": 2}, 1, [3, 5, 7]),
        ({"type": "thinking_turns", "value": 3}, None, []),
        ({"type": "all"}, None, []),
        ("all", None, []),
    ],
)
def test_a_thinking_turn_is_all_that_is_said_between_two_words_of_the_user(keep: Any, num_cleared: Any, left: Any):
    edit = {"type": "clear_thinking_20251015"} | ({"keep": keep} if keep else {})
    found = cleared(THREE_TURNS, edit)
    assert (found and found.what["cleared_thinking_turns"]) == num_cleared
    if found:
        assert thoughts_in(found.request) == left
        assert [len(turn.blocks) for turn in found.request.turns][-2:] == [2, 1]


def test_an_edit_is_told_with_what_it_spared():
    request = parse(user("Hi"), context_management={"edits": [uses()]})
    told = edits.applied(edits.edits_of(request)[0], {"cleared_tool_uses": 2}, 70)
    assert told == {"type": "clear_tool_uses_20250919", "cleared_tool_uses": 2, "cleared_input_tokens": 70}
