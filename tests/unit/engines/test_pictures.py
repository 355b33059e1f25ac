"""Pictures on their way into the prompts of each dialect."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from antiphon.engines.dialects.llamacpp_pictures import Seen, marker_of, numbered, seen_in
from antiphon.engines.dialects.plain_pictures import estimate_of, messages_with_pictures
from antiphon.engines.pictures import parts_of
from antiphon.turn.attachments import Picture
from antiphon.turn.chat import Chat, ChatCall, ChatTurn

MARK = "mark-of-the-tests"
A, B, C = (Picture(name, "image/png", name.encode(), 28, 56) for name in "abc")
CALL = ChatCall("toolu_1", "look", "{}")


def user(text: str, *pictures: Picture) -> ChatTurn:
    return ChatTurn("user", text, pictures=pictures)


def result(text: str, *pictures: Picture) -> ChatTurn:
    return ChatTurn("tool", text, answers=CALL, pictures=pictures)


CALLED = ChatTurn("assistant", "", (CALL, CALL))


@pytest.mark.parametrize(
    ("turn", "parts"),
    [
        (user("text"), ["text"]),
        (user(""), []),
        (user(MARK, A), [A]),
        (user(f"{MARK}{MARK}", A, B), [A, B]),
        (user(f"x {MARK} y\n\n{MARK}z", A, B), ["x ", A, " y\n\n", B, "z"]),
        (user(f"x {MARK} y {MARK}", A), ["x ", A, " y "]),
    ],
)
def test_pictures_stand_where_their_marks_do(turn: ChatTurn, parts: list[str | Picture]):
    assert list(parts_of(turn, MARK)) == parts


def test_a_template_may_leave_turns_out_or_move_them():
    chat, pictures = numbered(Chat((user(f"1 {MARK}", A), user(f"2 {MARK} {MARK}", B, C)), mark=MARK), "place")
    first, second = [turn.text for turn in chat.turns]
    assert pictures == [A, B, C]
    assert seen_in(f"{first}|{second}", "place", pictures) == Seen(("1 ", "|2 ", " ", ""), (A, B, C))
    assert seen_in(second, "place", pictures) == Seen(("2 ", " ", ""), (B, C))
    assert seen_in(f"{second}|{first}", "place", pictures).pictures == (B, C, A)
    assert seen_in("neither", "place", pictures) == Seen(("neither",), ())


def test_a_prompt_is_sent_with_the_marker_of_the_server_that_runs_then():
    seen = Seen(("one ", " two ", ""), (A, B))
    data = [base64.b64encode(picture.data).decode() for picture in (A, B)]
    assert seen.prompt("<M>", " three") == {"prompt_string": "one <M> two <M> three", "multimodal_data": data}


@pytest.mark.parametrize(
    ("props", "marker"),
    [
        ({"modalities": {"vision": True}, "media_marker": "<M>"}, "<M>"),
        ({"modalities": {"vision": True}}, ""),
        ({"modalities": {"vision": False}, "media_marker": "<M>"}, ""),
        ({"modalities": None}, ""),
        ({}, ""),
    ],
)
def test_a_server_sees_if_it_has_eyes_and_tells_its_marker(props: dict[str, Any], marker: str):
    assert marker_of(props) == marker


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(picture: Picture) -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{base64.b64encode(picture.data).decode()}"},
    }


def contents(*turns: ChatTurn) -> list[tuple[str, Any]]:
    messages = messages_with_pictures(Chat(turns, mark=MARK))
    return [(message["role"], message["content"]) for message in messages]


def test_parts_of_a_message_are_in_the_order_of_its_text():
    assert contents(user("plain"), user(f"x{MARK}y{MARK}", A, B)) == [
        ("user", "plain"),
        ("user", [text("x"), image(A), text("y"), image(B)]),
    ]


def test_a_mark_without_a_picture_is_left_out():
    assert contents(ChatTurn("assistant", f"see {MARK}here")) == [("assistant", "see here")]


def test_pictures_of_results_are_named_and_follow_after_all_results():
    assert contents(user("look"), CALLED, result(f"one {MARK}", A), result("two"), result(f"{MARK}{MARK}", B, C)) == [
        ("user", "look"),
        ("assistant", ""),
        ("tool", "one [picture 1]"),
        ("tool", "two"),
        ("tool", "[picture 2][picture 3]"),
        (
            "user",
            [text("[picture 1]: "), image(A), text("\n[picture 2]: "), image(B), text("\n[picture 3]: "), image(C)],
        ),
    ]


def test_pictures_of_results_join_the_user_s_own_next_turn():
    shown = [text("[picture 1]: "), image(A), text("\n\nand "), image(B)]
    assert contents(CALLED, result(MARK, A), user(f"and {MARK}", B))[-1] == ("user", shown)
    assert [role for role, _ in contents(CALLED, result(MARK, A), CALLED)] == ["assistant", "tool", "user", "assistant"]


def test_a_picture_is_estimated_as_the_api_counts_it():
    assert estimate_of(user(f"{MARK}{MARK}", A, B)) == 2 * 2
