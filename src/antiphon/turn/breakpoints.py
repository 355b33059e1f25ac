"""The blocks of a request in the order of the prompt, a digest of each prefix of them, and where it asks to be kept."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import orjson

from antiphon.turn.jsontext import json_text
from antiphon.wire.blocks import Block
from antiphon.wire.content import (
    Base64Image,
    Base64Pdf,
    Cacheable,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ToolResultBlock,
)
from antiphon.wire.conversation import Turn, merge_turns
from antiphon.wire.message import InputMessage
from antiphon.wire.request import MessageRequest, PromptRequest

LOOKBACK = 20
"""How many blocks back from a breakpoint, itself included, an earlier prefix is looked for."""

Ttl = Literal["5m", "1h"]
Part = Literal["tools", "system", "messages"]
R = TypeVar("R", bound=PromptRequest)


class Mark(NamedTuple):
    """A breakpoint behind the block at `position`, counted over tools, system and messages."""

    position: int
    ttl: Ttl


class Prefixes(NamedTuple):
    """`digests[i]` is of all blocks up to the i-th, and of every parameter that makes them another prompt.

    A change of the tools changes all of them, one of the system prompt those of the system and the messages, and one of
    `tool_choice`, of `thinking` or of whether there are pictures those of the messages.
    """

    digests: tuple[bytes, ...]
    num_tools: int
    num_system: int
    marks: tuple[Mark, ...]
    parameters: bytes
    """Digest of what changes the messages' prefixes without being in them."""

    @property
    def num_before_messages(self) -> int:
        return self.num_tools + self.num_system


def has_breakpoints(request: PromptRequest) -> bool:
    """Every request is asked, and most have none."""
    if request.cache_control is not None or (request.tools and any(tool.cache_control for tool in request.tools)):
        return True
    if isinstance(request.system, list) and any(block.cache_control for block in request.system):
        return True
    for turn in request.turns:
        for block in turn.blocks:
            if block.cache_control or (block.type == "tool_result" and _in_parts(block)):
                return True
    return False


def _in_parts(block: ToolResultBlock) -> bool:
    return not isinstance(block.content, str) and any(part.cache_control for part in block.content)


def prefixes_of(request: PromptRequest) -> Prefixes:
    digest = hashlib.sha256(request.model.encode()).digest()
    parameters = hashlib.sha256(orjson.dumps(_parameters(request))).digest()
    digests: list[bytes] = []
    marks: list[Mark] = []
    last = -1  # that may carry a breakpoint
    num_tools, num_system = len(request.tools or ()), len(_system(request))
    for position, (block, label) in enumerate(_blocks(request)):
        if position == num_tools + num_system:
            digest = hashlib.sha256(digest + parameters).digest()
        digest = hashlib.sha256(digest + label.encode() + _content(block)).digest()
        digests.append(digest)
        if isinstance(block, Cacheable) or position < num_tools:
            last = position
        if control := _control(block):
            marks.append(Mark(position, control))
    if request.cache_control and last >= 0 and all(mark.position != last for mark in marks):
        marks.append(Mark(last, request.cache_control.ttl))
    return Prefixes(tuple(digests), num_tools, num_system, tuple(sorted(marks)), parameters)


def cut(request: R, position: int) -> R:
    """The request up to the block at `position`; a word stands in for messages that are all cut away."""
    num_tools, system = len(request.tools or ()), _system(request)
    left = position + 1 - num_tools - len(system)
    turns = list(_first(request.turns, left))
    messages = [InputMessage(role=turn.role, content=list(turn.blocks)) for turn in turns]
    if not messages:
        messages = [InputMessage(role="user", content=".")]
    change = {
        "tools": list(request.tools or ())[: position + 1] or None,
        "system": list(system[: max(0, position + 1 - num_tools)]) or None,
        "messages": messages,
        "turns": merge_turns(messages),  # a copy keeps what its original has worked out
    }
    return request.model_copy(update=change)


def _first(turns: Sequence[Turn], num_blocks: int) -> Iterator[Turn]:
    for turn in turns:
        if num_blocks <= 0:
            return
        yield turn._replace(blocks=turn.blocks[:num_blocks])
        num_blocks -= len(turn.blocks)


def _blocks(request: PromptRequest) -> Iterator[tuple[Any, str]]:
    """Each block, and who says it."""
    for tool in request.tools or ():
        yield tool, "tools"
    for block in _system(request):
        yield block, "system"
    for turn in request.turns:
        for block in turn.blocks:
            yield block, turn.role


def _system(request: PromptRequest) -> Sequence[TextBlock]:
    if isinstance(request.system, str):
        return (TextBlock(type="text", text=request.system),) if request.system else ()
    return request.system or ()


def _control(block: Any) -> Ttl | None:
    """Of the block, or of the last part of its content that has one."""
    controls = [part.cache_control for part in _parts(block)] + [block.cache_control]
    return next((control.ttl for control in reversed(controls) if control), None)


def _parts(block: Any) -> Sequence[Any]:
    return () if not isinstance(block, ToolResultBlock) or isinstance(block.content, str) else block.content


def _content(block: Any) -> bytes:
    """The block's JSON without its breakpoints: those of earlier turns come and go."""
    if isinstance(block, TextBlock) and not block.citations:
        return block.text.encode()
    data: dict[str, Any] = block.model_dump(mode="json", exclude_none=True, exclude={"cache_control"})
    _shorten(block, data)
    for part, inner in zip(_parts(block), data["content"] if _parts(block) else (), strict=True):
        inner.pop("cache_control", None)
        _shorten(part, inner)
    return json_text(data).encode()


def _shorten(block: Any, data: dict[str, Any]) -> None:
    """A digest that is known already stands for a picture's or a document's bytes."""
    if isinstance(block, ImageBlock | DocumentBlock) and isinstance(block.source, Base64Image | Base64Pdf):
        data["source"]["data"] = block.source.digest


def _parameters(request: PromptRequest) -> list[Any]:
    thinking, choice = request.thinking, request.tool_choice
    return [
        choice.model_dump(mode="json") if choice else {"type": "auto"},
        thinking.model_dump(mode="json") if thinking else {"type": "disabled"},
        any(_has_picture(block) for turn in request.turns for block in turn.blocks),
    ]


def _has_picture(block: Block) -> bool:
    return isinstance(block, ImageBlock) or any(isinstance(part, ImageBlock) for part in _parts(block))


def previous_message_of(request: MessageRequest) -> str | None:
    """The reply that the client wants this one's cache to be compared with."""
    return request.diagnostics.previous_message_id if request.diagnostics else None
