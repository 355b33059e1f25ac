"""What `context_management` clears from a request before the model reads it (Messages API, "Context editing").

Only an engine can count, so an edit is taken in two steps: `clear` says what it would clear, and `is_worth_it` whether
what that spares is enough. The client keeps its whole history, so the same edits are taken anew at each request.
"""

from collections.abc import Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

from antiphon.wire.blocks import Block
from antiphon.wire.content import ToolReferenceBlock, ToolResultBlock, ToolUseBlock
from antiphon.wire.conversation import blocks_of, merge_turns
from antiphon.wire.fields import JsonObject
from antiphon.wire.message import InputMessage
from antiphon.wire.options import ClearThinking, ClearToolUses, Compact, Edit, ThinkingTurns, ToolUsesTrigger
from antiphon.wire.request import PromptRequest

R = TypeVar("R", bound=PromptRequest)

CLEARED = "[This result was cleared to save room. Call the tool again if it is needed.]"
_TRIGGER_TOKENS = 100_000
_NUM_KEPT_USES = 3
_NUM_KEPT_TURNS = 1


class Cleared(NamedTuple, Generic[R]):
    """`request` is what is left; `what` counts the cleared things, by the names that the API gives them."""

    request: R
    what: Mapping[str, int]


def edits_of(request: PromptRequest) -> list[Edit]:
    return list(request.context_management.edits or ()) if request.context_management else []


def clear(request: R, edit: Edit, num_tokens: int) -> Cleared[R] | None:
    """What the edit makes of a request of `num_tokens`; None if it is not due or finds nothing to clear."""
    match edit:
        case ClearThinking():
            return _clear_thinking(request, edit)
        case ClearToolUses():
            return _clear_tool_uses(request, edit, num_tokens)
        case Compact():
            return None


def is_worth_it(edit: Edit, num_spared: int) -> bool:
    least = edit.clear_at_least if isinstance(edit, ClearToolUses) else None
    return least is None or num_spared >= least.value


def applied(edit: Edit, what: Mapping[str, int], num_spared: int) -> JsonObject:
    """The edit as it is told to the client."""
    return {"type": edit.type, **what, "cleared_input_tokens": num_spared}


def _clear_thinking(request: R, edit: ClearThinking) -> Cleared[R] | None:
    if isinstance(edit.keep, ThinkingTurns):
        num_kept = edit.keep.value
    elif edit.keep is None:
        num_kept = _NUM_KEPT_TURNS
    else:
        return None
    old = _thinking_turns(request)[:-num_kept]
    if not old:
        return None
    indexes = {index for turn in old for index in turn}
    messages = [
        _with(message, [block for block in blocks_of(message) if not _is_thought(block)]) if i in indexes else message
        for i, message in enumerate(request.messages)
    ]
    return Cleared(_changed(request, messages), {"cleared_thinking_turns": len(old)})


def _thinking_turns(request: PromptRequest) -> list[list[int]]:
    """The messages that hold thinking, by turn: one turn is all that is said between two words of the user."""
    turns: list[list[int]] = [[]]
    for index, message in enumerate(request.messages):
        if message.role == "user" and not any(isinstance(block, ToolResultBlock) for block in blocks_of(message)):
            turns.append([])
        elif message.role == "assistant" and any(map(_is_thought, blocks_of(message))):
            turns[-1].append(index)
    return [turn for turn in turns if turn]


def _is_thought(block: Block) -> bool:
    return block.type in ("thinking", "redacted_thinking")


def _clear_tool_uses(request: R, edit: ClearToolUses, num_tokens: int) -> Cleared[R] | None:
    uses = [block for block in _blocks(request) if isinstance(block, ToolUseBlock)]
    if not _is_due(edit, len(uses), num_tokens):
        return None
    num_kept = edit.keep.value if edit.keep else _NUM_KEPT_USES
    oldest = uses[: max(len(uses) - num_kept, 0)]
    excluded = {*(edit.exclude_tools or ())}
    finders = {block.tool_use_id for block in _blocks(request) if isinstance(block, ToolResultBlock) and _finds(block)}
    old = {use.id: use for use in oldest if use.name not in excluded and use.id not in finders}
    if not old:
        return None
    inputs = {use.id for use in old.values() if _clears_input(edit, use.name)}
    messages = [
        _with(message, [_emptied(block, old, inputs) for block in message.content])
        if not isinstance(message.content, str)
        else message
        for message in request.messages
    ]
    return Cleared(_changed(request, messages), {"cleared_tool_uses": len(old)})


def _is_due(edit: ClearToolUses, num_uses: int, num_tokens: int) -> bool:
    if isinstance(edit.trigger, ToolUsesTrigger):
        return num_uses > edit.trigger.value
    return num_tokens > (edit.trigger.value if edit.trigger else _TRIGGER_TOKENS)


def _finds(result: ToolResultBlock) -> bool:
    """Whether it refers to tools. Such a result is kept: without it they could no longer be called."""
    parts = () if isinstance(result.content, str) else result.content
    return any(isinstance(part, ToolReferenceBlock) for part in parts)


def _clears_input(edit: ClearToolUses, name: str) -> bool:
    wanted = edit.clear_tool_inputs
    return name in wanted if isinstance(wanted, list) else bool(wanted)


def _emptied(block: Block, old: Mapping[str, ToolUseBlock], inputs: set[str]) -> Block:
    if isinstance(block, ToolResultBlock) and block.tool_use_id in old:
        return block.model_copy(update={"content": CLEARED})
    if isinstance(block, ToolUseBlock) and block.id in inputs:
        return block.model_copy(update={"input": {}})
    return block


def _blocks(request: PromptRequest) -> Iterable[Block]:
    return (block for turn in request.turns for block in turn.blocks)


def _with(message: InputMessage, content: list[Block]) -> InputMessage:
    return message.model_copy(update={"content": content})


def _changed(request: R, messages: list[InputMessage]) -> R:
    """A copy keeps what its original has worked out, so the new turns are set with the messages they come from."""
    return request.model_copy(update={"messages": messages, "turns": merge_turns(messages)})
