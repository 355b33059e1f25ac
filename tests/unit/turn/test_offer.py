"""Which tools a model is shown, and which it may call."""

from typing import Any

import pytest

from antiphon.turn.tools.offer import Offer, offer_of
from antiphon.wire.parse import parse_message
from antiphon.wire.versions import Version
from tests.unit.wire.requests import assistant, call, encode, result, says, server_call, system, text, tool, user

SEARCH = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
LATER = [SEARCH, tool("weather"), tool("news", defer_loading=True), tool("mail", defer_loading=True)]


def offer(*messages: Any, **fields: Any) -> Offer:
    return offer_of(parse_message(encode(says(*(messages or [user("Hi")]), **fields)), Version.V2023_06_01))


def shown(one: Offer) -> list[str]:
    return [each.name for each in one.shown]


def deferred(one: Offer) -> list[str]:
    return [each.name for each in one.deferred]


def reference(name: str) -> dict[str, Any]:
    return {"type": "tool_reference", "tool_name": name}


def addition(tool: dict[str, Any]) -> dict[str, Any]:
    return system([text("Note:"), {"type": "tool_addition", "tool": tool}])


def removal(name: str) -> dict[str, Any]:
    return system([{"type": "tool_removal", "tool": {"type": "tool_reference", "name": name}}])


def test_without_tools_nothing_is_offered():
    assert offer() == Offer()


def test_a_deferred_tool_is_neither_shown_nor_called():
    found = offer(tools=LATER)
    assert (shown(found), list(found.callable)) == (["tool_search_tool_regex", "weather"],) * 2
    assert deferred(found) == ["news", "mail"]


SEARCHED = [
    user("Hi"),
    assistant(
        [
            server_call(name="tool_search_tool_regex"),
            {
                "type": "tool_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": {"type": "tool_search_tool_search_result", "tool_references": [reference("mail")]},
            },
            text("Found it."),
        ]
    ),
    user("Go on"),
]
REFERRED = [user("Hi"), assistant([call()]), user([result(content=[reference("mail")])])]
ADDED = [user("Hi"), addition({"type": "tool_reference", "name": "mail"})]


@pytest.mark.parametrize("messages", [SEARCHED, REFERRED, ADDED], ids=["search", "result", "addition"])
def test_what_the_conversation_has_found_may_be_called_and_the_prompt_keeps_its_tools(messages: list[Any]):
    found = offer(*messages, tools=LATER)
    assert shown(found) == ["tool_search_tool_regex", "weather"]
    assert list(found.callable) == ["tool_search_tool_regex", "weather", "mail"]


def test_a_tool_defined_in_the_conversation_may_be_called():
    definition = {"type": "tool_definition", "definition": tool("late")}
    found = offer(user("Hi"), addition(definition), tools=LATER)
    assert "late" in found.callable
    assert "late" not in shown(found)


def test_a_removed_tool_is_shown_as_before_and_may_not_be_called():
    found = offer(user("Hi"), removal("weather"), assistant("ok"), user("And?"), tools=LATER)
    assert "weather" in shown(found)
    assert "weather" not in found.callable


def test_a_removed_tool_is_not_found_again():
    assert deferred(offer(user("Hi"), removal("news"), assistant("ok"), user("And?"), tools=LATER)) == ["mail"]


def test_the_last_word_on_a_tool_counts():
    again = addition({"type": "tool_reference", "name": "weather"})
    found = offer(user("Hi"), removal("weather"), assistant("ok"), user("b"), again, tools=LATER)
    assert "weather" in found.callable


def test_a_search_adds_what_it_finds():
    before = offer(tools=LATER)
    after = before.with_found([before.known["news"]])
    assert list(after.callable) == [*before.callable, "news"]
    assert after.shown == before.shown


@pytest.mark.parametrize(
    ("choice", "names", "forced", "is_parallel"),
    [
        (None, ["weather", "news"], "", True),
        ({"type": "auto"}, ["weather", "news"], "", True),
        ({"type": "auto", "disable_parallel_tool_use": True}, ["weather", "news"], "", False),
        ({"type": "any"}, ["weather", "news"], "any", True),
        ({"type": "any", "disable_parallel_tool_use": True}, ["weather", "news"], "any", False),
        ({"type": "tool", "name": "news"}, ["news"], "tool", False),
        ({"type": "none"}, [], "", True),
    ],
)
def test_the_choice_says_what_may_be_called_and_never_what_is_shown(choice, names, forced, is_parallel):
    fields = {"tool_choice": choice} if choice else {}
    found = offer(tools=[tool("weather"), tool("news")], **fields)
    assert (list(found.callable), found.forced, found.is_parallel) == (names, forced, is_parallel)
    assert shown(found) == list(found.known) == ["weather", "news"]


def test_examples_stand_in_the_description():
    (one,) = offer(tools=[tool(description="Of a city.", input_examples=[{"city": "Rome"}])]).shown
    assert one.description == 'Of a city.\nExample: {"city":"Rome"}'


def test_a_definition_is_always_the_same_bytes():
    (one,) = offer(tools=[tool()]).shown
    assert list(one.definition["function"]) == ["name", "description", "parameters"]
