"""A request as a model's template takes it: text in turns, and the text that the reply is to continue."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from antiphon.wire.content import TextBlock
from antiphon.wire.prompt import turns_of
from antiphon.wire.request import CountRequest, MessageRequest

ChatRole = Literal["system", "user", "assistant"]


class ChatTurn(NamedTuple):
    role: ChatRole
    text: str


class Chat(NamedTuple):
    """Turns in order (a system turn may stand anywhere), and the text that the reply is to continue ("" for none)."""

    turns: tuple[ChatTurn, ...]
    prefill: str = ""


def chat_of(request: MessageRequest | CountRequest) -> Chat:
    """The chat of a request that `unserved.check` has let through: text blocks, and thinking, which is left out."""
    turns = [ChatTurn("system", text)] if (text := _system_text(request.system)) else []
    turns += [ChatTurn(turn.role, _text(turn.blocks)) for turn in request.turns]
    return _split_prefill([turn for turn in turns if turn.text or turn.role != "system"])


def chat_of_completion(prompt: str) -> Chat:
    """The chat of a Text Completions prompt."""
    return _split_prefill([ChatTurn(role, text) for role, text in turns_of(prompt)])


def _split_prefill(turns: Sequence[ChatTurn]) -> Chat:
    if turns and turns[-1].role == "assistant":
        return Chat(tuple(turns[:-1]), turns[-1].text)
    return Chat(tuple(turns))


def _system_text(system: str | Sequence[TextBlock] | None) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    return "\n\n".join(block.text for block in system)


def _text(blocks: Iterable[object]) -> str:
    return "\n\n".join(block.text for block in blocks if isinstance(block, TextBlock))
