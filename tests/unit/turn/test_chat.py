"""A request as the chat that a model reads."""

from typing import Any

import orjson
import pytest

from antiphon.turn.chat import Chat, chat_of, result_text
from antiphon.turn.signature import Signer
from antiphon.turn.tools.offer import offer_of
from antiphon.wire.parse import parse_message
from antiphon.wire.versions import Version
from tests.unit.wire.requests import (
    assistant,
    call,
    encode,
    result,
    says,
    search_answer,
    server_call,
    system,
    text,
    thought,
    tool,
    user,
)

SIGNER = Signer(b"key", "wrkspc_a")
SEARCH = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
TOOLS = [SEARCH, tool("weather"), tool("mail", defer_loading=True)]


def chat(*messages: Any, **fields: Any) -> Chat:
    return chat_of(parse_message(encode(says(*messages, **fields)), Version.V2023_06_01), SIGNER)


def roles(one: Chat) -> list[str]:
    return [turn.role for turn in one.turns]


def searched(content: Any) -> list[Any]:
    """A turn in which the model has searched and was answered with `content`."""
    blocks = [
        text("Let me look."),
        server_call(name="tool_search_tool_bm25"),
        {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_1", "content": content},
        text("There."),
    ]
    return [user("Hi"), assistant(blocks), user("Go on")]


FOUND = {
    "type": "tool_search_tool_search_result",
    "tool_references": [{"type": "tool_reference", "tool_name": "mail"}],
}
FAILED = {"type": "tool_search_tool_result_error", "error_code": "invalid_tool_input", "error_message": "Too long."}


def test_a_system_prompt_of_blocks_is_one_text():
    found = chat(user("Hi"), system=[text("a"), text("b")])
    assert [(turn.role, turn.text) for turn in found.turns] == [("system", "a\n\nb"), ("user", "Hi")]


def test_results_stand_before_the_text_of_their_turn_and_name_their_calls():
    found = chat(
        user("Hi"),
        assistant([text("Well,"), call("a", input={"city": "Rome"}), call("b")]),
        user([result("b", content="two"), result("a", content=[text("one"), text("1")]), text("And?")]),
        tools=TOOLS,
    )
    assert roles(found) == ["user", "assistant", "tool", "tool", "user"]
    assert [(one.id, one.arguments) for one in found.turns[1].calls] == [("a", '{"city":"Rome"}'), ("b", "{}")]
    assert [(turn.text, turn.answers and turn.answers.id) for turn in found.turns[2:4]] == [
        ("two", "b"),
        ("one\n\n1", "a"),
    ]


def test_an_error_is_told_as_one():
    found = chat(user("Hi"), assistant([call()]), user([result(content="No.", is_error=True)]), tools=TOOLS)
    assert found.turns[-1].text == "Error: No."


def test_a_last_assistant_text_is_continued():
    found = chat(user("Hi"), assistant("Yes,"))
    assert (roles(found), found.prefill) == (["user"], "Yes,")


def test_a_server_tools_result_is_a_turn_of_its_own():
    found = chat(*searched(FOUND), tools=TOOLS)
    assert roles(found) == ["user", "assistant", "tool", "assistant", "user"]
    assert [turn.text for turn in found.turns[1:4:2]] == ["Let me look.", "There."]


def test_a_found_tools_definition_stands_where_it_was_found_and_the_tools_stay_as_they_were():
    found = chat(*searched(FOUND), tools=TOOLS)
    assert orjson.loads(found.turns[2].text)["function"]["name"] == "mail"
    assert [each.name for each in found.tools] == ["tool_search_tool_bm25", "weather"]
    assert [each.name for each in found.callable] == ["tool_search_tool_bm25", "weather", "mail"]


@pytest.mark.parametrize("choice", [{"type": "none"}, {"type": "any"}, {"type": "tool", "name": "weather"}])
def test_the_turns_do_not_depend_on_the_choice(choice: Any):
    plain = chat(*searched(FOUND), tools=TOOLS)
    chosen = chat(*searched(FOUND), tools=TOOLS, tool_choice=choice)
    assert (chosen.turns, chosen.tools) == (plain.turns, plain.tools)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (FAILED, "Error: invalid_tool_input: Too long."),
        ({"type": "tool_search_tool_result_error", "error_code": "unavailable"}, "Error: unavailable"),
        ({"type": "tool_search_tool_search_result", "tool_references": []}, "Nothing found."),
    ],
)
def test_a_result_is_read_in_the_history_as_it_was_read_when_it_was_made(content: Any, read: str):
    found = chat(*searched(content), tools=TOOLS)
    assert found.turns[2].text == read == result_text(content, {})


def test_a_found_tool_is_read_in_the_history_as_it_was_read_when_it_was_made():
    request = parse_message(encode(says(*searched(FOUND), tools=TOOLS)), Version.V2023_06_01)
    assert chat_of(request, SIGNER).turns[2].text == result_text(FOUND, offer_of(request).known)


def test_the_keys_of_other_results_are_in_order():
    answer = search_answer() | {
        "content": [{"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e", "page_age": None}]
    }
    found = chat(user("Hi"), assistant([server_call(), answer]), user("Go on"))
    assert found.turns[2].text == '[{"encrypted_content":"e","title":"t","type":"web_search_result","url":"u"}]'


def test_tools_that_come_and_go_are_told_where_that_happens():
    added = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool("late")}}
    removed = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "weather"}}
    found = chat(user("Hi"), system([text("Note:"), added, removed]), tools=TOOLS)
    note, addition, removal = found.turns[-1].text.split("\n\n")
    assert (found.turns[-1].role, note) == ("system", "Note:")
    assert '"name":"late"' in addition
    assert removal == "From now on the tool weather can no longer be called."


def signed(words: str) -> dict[str, Any]:
    return thought(words) | {"signature": SIGNER.sign(words)}


def sealed(words: str) -> dict[str, Any]:
    return thought("") | {"signature": SIGNER.seal(words)}


@pytest.mark.parametrize("block", [signed("Hm."), sealed("Hm.")], ids=["shown", "omitted"])
def test_our_thinking_comes_back_to_the_model(block: Any):
    found = chat(user("Hi"), assistant([block, call()]), user([result()]), tools=TOOLS)
    assert found.turns[1].thinking == "Hm."


@pytest.mark.parametrize(
    "block",
    [thought("Hm."), signed("Hm.") | {"thinking": "Ha."}, {"type": "redacted_thinking", "data": "x"}],
    ids=["foreign", "changed", "redacted"],
)
def test_other_thinking_is_left_out(block: Any):
    found = chat(user("Hi"), assistant([block, signed("So."), block, text("Yes")]), user("And?"))
    assert (found.turns[1].thinking, found.turns[1].text) == ("So.", "Yes")


@pytest.mark.parametrize(
    ("thinking", "messages", "thinks"),
    [
        (None, [user("Hi")], False),
        ({"type": "disabled"}, [user("Hi")], False),
        ({"type": "adaptive"}, [user("Hi")], True),
        ({"type": "enabled", "budget_tokens": 1024}, [user("Hi")], True),
        ({"type": "between_tools"}, [user("Hi")], False),
        ({"type": "between_tools"}, [user("Hi"), assistant([call()]), user([result()])], True),
        ({"type": "between_tools"}, [user("Hi"), assistant([call()]), user([result(), text("And?")])], False),
    ],
)
def test_whether_a_model_should_think(thinking: Any, messages: list[Any], thinks: bool):
    fields = {"thinking": thinking} if thinking else {}
    assert chat(*messages, tools=TOOLS, **fields | {"max_tokens": 4096}).thinks is thinks
