"""A chat as the messages that a template takes, tools and calls among them. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.formats.table import Format
from antiphon.turn.formats.written import write_result, write_tools

Guard = Callable[[str], str]
"""What is done to every text that comes from a client."""


def messages_of(turns: Sequence[ChatTurn], guard: Guard) -> list[dict[str, Any]]:
    """For a template that knows tools."""
    return [_message(turn, guard) for turn in turns]


def _message(turn: ChatTurn, guard: Guard) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": guard(turn.text)}
    if turn.thinking:
        message["reasoning_content"] = guard(turn.thinking)
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": guard(call.name), "arguments": guard(call.arguments)},
            }
            for call in turn.calls
        ]
    if turn.answers:
        message |= {"tool_call_id": turn.answers.id, "name": guard(turn.answers.name)}
    return message


def tools_of(chat: Chat, guard: Guard) -> list[dict[str, Any]]:
    return orjson.loads(guard(orjson.dumps([tool.definition for tool in chat.tools]).decode()))


def written(chat: Chat, form: Format) -> tuple[ChatTurn, ...]:
    """The turns for a template that knows no tools: tools, calls and results are written out in them."""
    turns: list[ChatTurn] = []
    for turn in chat.turns:
        plain = _plain(turn, form)
        if turns and turns[-1].role == plain.role == "user":
            turns[-1] = ChatTurn("user", f"{turns[-1].text}\n{plain.text}")
        else:
            turns.append(plain)
    return _with_tools(turns, chat)


def _plain(turn: ChatTurn, form: Format) -> ChatTurn:
    if turn.answers:
        return ChatTurn("user", write_result(turn.answers.name, turn.text, is_error=False))
    if turn.calls:
        calls = [form.shape.call(call.name, call.arguments) for call in turn.calls]
        return turn._replace(text="\n".join([turn.text, *calls] if turn.text else calls), calls=())
    return turn


def _with_tools(turns: list[ChatTurn], chat: Chat) -> tuple[ChatTurn, ...]:
    if not chat.tools:
        return tuple(turns)
    text = write_tools((tool.name, tool.description, tool.schema) for tool in chat.tools)
    if turns and turns[0].role == "system":
        return (ChatTurn("system", f"{turns[0].text}\n\n{text}"), *turns[1:])
    return (ChatTurn("system", text), *turns)
