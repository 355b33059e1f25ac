"""Turns out of messages, and turns out of a legacy prompt."""

import time

import pytest

from antiphon.core.errors import ApiError
from antiphon.wire.conversation import merge_turns
from antiphon.wire.parse import parse_message
from antiphon.wire.prompt import turns_of
from antiphon.wire.versions import Version
from tests.unit.wire.requests import assistant, encode, says, text, user

OLD = Version.V2023_06_01


def test_consecutive_items_of_a_role_are_one_turn() -> None:
    request = says(user("a"), user([]), user([text("b"), text("c")]), assistant("d"), user(""), user("e"))
    turns = merge_turns(parse_message(encode(request), OLD).messages)
    assert [(turn.role, turn.start, turn.last) for turn in turns] == [
        ("user", 0, 2),
        ("assistant", 3, 3),
        ("user", 4, 5),
    ]
    assert [block.text for block in turns[0].blocks if block.type == "text"] == ["a", "b", "c"]
    assert [turns[0].origin(block) for block in range(3)] == [(0, 0), (2, 0), (2, 1)]
    assert turns[2].path(0) == "messages.5.content.0"
    with pytest.raises(IndexError):
        turns[0].origin(3)


def test_no_messages_are_no_turns() -> None:
    assert merge_turns([]) == []


def test_a_long_run_of_items_is_read_in_linear_time() -> None:
    request = encode(says(*[user([text("a")])] * 30_000))
    started = time.monotonic()
    parse_message(request, OLD)
    assert time.monotonic() - started < 3


def test_a_hundred_thousand_wrong_items_cost_no_more() -> None:
    started = time.monotonic()
    with pytest.raises(ApiError, match=r"messages\.0: Input should be an object"):
        parse_message(encode(says(*[5] * 100_000)), OLD)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("\n\nHuman: Hi\n\nAssistant:", [("user", "Hi")]),
        ("\n\nHuman: Hi\n\nAssistant: ", [("user", "Hi")]),
        ("Be kind.\n\nHuman: Hi\n\nAssistant: Sure", [("system", "Be kind."), ("user", "Hi"), ("assistant", "Sure")]),
        (
            "\n\nHuman: a \n\nAssistant: b\n\nHuman:c\n\nAssistant:",
            [("user", "a"), ("assistant", "b"), ("user", "c")],
        ),
        ("\n\nHuman: a\nHuman: b\n\nAssistant:", [("user", "a\nHuman: b")]),
        ("\n\nHuman: a\n\nHuman: b\n\nAssistant:", [("user", "a"), ("user", "b")]),
    ],
)
def test_a_prompt_is_cut_into_turns(prompt: str, turns: list[tuple[str, str]]) -> None:
    assert turns_of(prompt) == turns


@pytest.mark.parametrize("prompt", ["", "Hi", "\n\nAssistant:", "\n\nAssistant: a\n\nHuman: b\n\nAssistant:"])
def test_a_prompt_starts_with_a_human(prompt: str) -> None:
    with pytest.raises(ApiError) as caught:
        turns_of(prompt)
    assert caught.value.message == 'prompt must start with "\n\nHuman:" turn after an optional system prompt'


@pytest.mark.parametrize("prompt", ["\n\nHuman: a", "\n\nHuman: a\n\nAssistant: b\n\nHuman: c"])
def test_a_prompt_ends_with_an_assistant(prompt: str) -> None:
    with pytest.raises(ApiError) as caught:
        turns_of(prompt)
    assert caught.value.message == 'prompt must end with "\n\nAssistant:" turn'


def test_a_request_merges_its_turns_once() -> None:
    request = parse_message(encode(says(user("a"), user("b"))), OLD)
    assert request.turns is request.turns
    assert request.turns == merge_turns(request.messages)
    assert request == parse_message(encode(says(user("a"), user("b"))), OLD)
