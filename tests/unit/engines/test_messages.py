"""Chats as the messages that templates take."""

import json

import orjson
import pytest

from antiphon.engines.dialects.messages import messages_of, tools_of, written
from antiphon.turn.chat import Chat, ChatCall, ChatTurn
from antiphon.turn.formats.table import FORMATS, GENERAL, UNTAUGHT
from antiphon.turn.tools.offer import OfferedTool

PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
WEATHER = OfferedTool("weather", "Tells the weather.", PLACE)
CLOCK = OfferedTool("clock", "Tells the time.", {"type": "object", "properties": {}})
CALL = ChatCall("toolu_1", "weather", '{"place":"Rome"}')
OTHER = ChatCall("toolu_2", "clock", "{}")
SYSTEM = ChatTurn("system", "be brief")
HI = ChatTurn("user", "hi")
CALLED = ChatTurn("assistant", "I look.", (CALL, OTHER))
RESULTS = (ChatTurn("tool", "sunny", answers=CALL), ChatTurn("tool", "noon", answers=OTHER))
CHAT = Chat((SYSTEM, HI, CALLED, *RESULTS), tools=(WEATHER, CLOCK), callable=(WEATHER, CLOCK))


def shouted(text: str) -> str:
    """A guard that leaves a trace, and JSON as it is."""
    return text.replace("<s>", "<S>")


def test_calls_and_results_stand_in_the_fields_that_templates_read():
    assert messages_of(CHAT.turns, str)[2:4] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "toolu_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"place":"Rome"}'},
                },
                {"id": "toolu_2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "toolu_1", "name": "weather"},
    ]


def test_a_turn_without_calls_or_thinking_has_a_role_and_a_text_and_nothing_else():
    assert messages_of([HI], str) == [{"role": "user", "content": "hi"}]


def test_thinking_is_handed_to_the_template():
    (message,) = messages_of([ChatTurn("assistant", "so", thinking="hm")], str)
    assert message == {"role": "assistant", "content": "so", "reasoning_content": "hm"}


def test_the_same_chat_is_the_same_bytes_each_time():
    twin = Chat(
        tuple(ChatTurn(*turn) for turn in CHAT.turns),
        tools=tuple(tool._replace(schema=json.loads(json.dumps(tool.schema))) for tool in CHAT.tools),
    )
    for make in (
        lambda chat: orjson.dumps(messages_of(chat.turns, str)),
        lambda chat: orjson.dumps(tools_of(chat, str)),
        lambda chat: orjson.dumps(messages_of(written(chat, UNTAUGHT), str)),
    ):
        assert make(CHAT) == make(twin)


def test_a_chat_that_grows_keeps_the_bytes_that_it_had():
    for length in range(1, len(CHAT.turns) + 1):
        assert messages_of(CHAT.turns[:length], str) == messages_of(CHAT.turns, str)[:length]


def test_tools_keep_the_order_of_their_keys_and_of_each_other():
    schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}
    (tool, other) = tools_of(Chat((HI,), tools=(OfferedTool("t", "", schema), CLOCK)), str)
    assert list(tool["function"]["parameters"]["properties"]) == ["z", "a"]
    assert list(tool["function"]) == ["name", "description", "parameters"]
    assert other["function"]["name"] == "clock"


def test_every_text_of_a_client_is_guarded():
    call = ChatCall("toolu_1", "a<s>", '{"b":"<s>"}')
    turns = [
        ChatTurn("system", "<s>"),
        ChatTurn("user", "<s>"),
        ChatTurn("assistant", "<s>", (call,), thinking="<s>"),
        ChatTurn("tool", "<s>", answers=call),
    ]
    tool = OfferedTool("weather", "<s>", {"type": "object", "properties": {"<s>": {"enum": ["<s>"]}}})
    both = orjson.dumps([messages_of(turns, shouted), tools_of(Chat((HI,), tools=(tool,)), shouted)]).decode()
    assert "<s>" not in both
    assert both.count("<S>") == 11


def test_a_guarded_definition_is_still_a_definition():
    tool = OfferedTool("weather", 'says "<s>"\nand é', PLACE)
    (made,) = tools_of(Chat((HI,), tools=(tool,)), shouted)
    assert made["function"] == {"name": "weather", "description": 'says "<S>"\nand é', "parameters": PLACE}


def test_tools_join_the_system_text_of_a_template_that_knows_none():
    system, *rest = written(CHAT._replace(turns=(SYSTEM, HI)), UNTAUGHT)
    assert system.role == "system"
    assert system.text.startswith("be brief\n\n# Tools\n")
    assert '{"name": "weather", "description": "Tells the weather.", "parameters": ' in system.text
    assert system.text.index('"weather"') < system.text.index('"clock"')
    assert rest == [HI]


def test_tools_are_the_system_text_where_there_was_none():
    system, *rest = written(CHAT._replace(turns=(HI,)), UNTAUGHT)
    assert (system.role, rest) == ("system", [HI])
    assert system.text.startswith("# Tools\n")


def test_a_chat_without_tools_stays_as_it_is():
    assert written(Chat((SYSTEM, HI, ChatTurn("assistant", "a"), HI)), UNTAUGHT) == (
        SYSTEM,
        HI,
        ChatTurn("assistant", "a"),
        HI,
    )


@pytest.mark.parametrize("form", [UNTAUGHT, GENERAL, *FORMATS], ids=lambda form: form.name)
def test_calls_are_written_as_the_model_itself_writes_them(form):
    turn = written(CHAT, form)[2]
    calls = [form.shape.call("weather", '{"place":"Rome"}'), form.shape.call("clock", "{}")]
    assert turn == ChatTurn("assistant", "\n".join(["I look.", *calls]))


def test_a_turn_of_calls_alone_begins_with_the_first():
    turn = written(Chat((HI, CALLED._replace(text=""))), UNTAUGHT)[1]
    assert turn.text.startswith("<tool_call>\n")


def test_results_and_what_the_user_says_to_them_are_one_user_turn():
    turns = written(CHAT._replace(turns=(*CHAT.turns, ChatTurn("user", "well?"))), UNTAUGHT)
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[3].text == (
        '<tool_response name="weather">\nsunny\n</tool_response>\n'
        '<tool_response name="clock">\nnoon\n</tool_response>\n'
        "well?"
    )


def test_no_turn_is_left_that_such_a_template_does_not_know():
    turns = written(CHAT, UNTAUGHT)
    assert {turn.role for turn in turns} <= {"system", "user", "assistant"}
    assert not any(turn.calls or turn.answers for turn in turns)
