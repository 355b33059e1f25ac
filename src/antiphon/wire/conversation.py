"""`messages` as turns, and the rules that a conversation keeps (Messages API, "Messages").

The functions that check return nothing and raise the first finding as ApiError.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

from antiphon.core.errors import invalid
from antiphon.wire.blocks import Block
from antiphon.wire.content import TextBlock
from antiphon.wire.message import InputMessage, Role


class Turn(NamedTuple):
    """A run of items of one role, merged. `start` is the index of its first item, `sizes` the blocks of each item.

    A string content is one text block, and an empty string is none.
    """

    role: Role
    blocks: tuple[Block, ...]
    start: int
    sizes: tuple[int, ...]

    def origin(self, block: int) -> tuple[int, int]:
        """(index of the message, index of the block in it) where a block of this turn stands in the request."""
        index = self.start
        for size in self.sizes:
            if block < size:
                return index, block
            block -= size
            index += 1
        raise IndexError(block)

    def path(self, block: int) -> str:
        """The block's place in the API's own notation: `messages.N.content.M`."""
        message, position = self.origin(block)
        return f"messages.{message}.content.{position}"

    @property
    def last(self) -> int:
        """The index of the run's last item."""
        return self.start + len(self.sizes) - 1


def merge_turns(messages: Iterable[InputMessage]) -> list[Turn]:
    """Consecutive items of one role become one turn, in order; nothing is dropped."""
    turns: list[Turn] = []
    start = 0
    for role, run in groupby(messages, attrgetter("role")):
        parts = [blocks_of(message) for message in run]
        blocks = parts[0] if len(parts) == 1 else tuple(chain.from_iterable(parts))
        turns.append(Turn(role, blocks, start, tuple(map(len, parts))))
        start += len(parts)
    return turns


def blocks_of(message: InputMessage) -> tuple[Block, ...]:
    """The message's content as blocks; the empty string has none."""
    if isinstance(message.content, str):
        return (TextBlock(type="text", text=message.content),) if message.content else ()
    return tuple(message.content)


def check_shape(messages: Sequence[InputMessage], turns: Sequence[Turn]) -> None:
    """No empty user turn, the user speaks first, system items stand where they may."""
    for position, turn in enumerate(turns):
        if turn.role == "system":
            _check_system_turn(messages, turns, position)
        elif not turn.blocks and turn.role == "user":
            raise invalid(f"messages.{turn.start}: user messages must have non-empty content")
    first = next((turn for turn in turns if turn.role != "system"), None)
    if first is not None and first.role != "user":
        raise invalid('messages: first message must use the "user" role')


def _check_system_turn(messages: Sequence[InputMessage], turns: Sequence[Turn], position: int) -> None:
    turn = turns[position]
    spoken = [index for index in range(turn.start, turn.last + 1) if not _is_directive(messages[index])]
    for index in spoken:
        if not messages[index].content:
            raise invalid(f"messages.{index}: system content must contain at least one block")
    if spoken and position == 0:
        raise invalid(
            f"messages.{spoken[0]}: use the top-level 'system' parameter for the initial system prompt; the "
            "directive-only form (content: [] with output_config) is accepted at any position"
        )
    if spoken and position + 1 < len(turns) and turns[position + 1].role != "assistant":
        raise invalid(f"messages.{turn.last}: role 'system' must precede an 'assistant' message or end the array")


def _is_directive(message: InputMessage) -> bool:
    return not message.content and message.output_config is not None and message.output_config.effort is not None


def check_ending(turns: Sequence[Turn]) -> None:
    """A prefill does not end in whitespace; an assistant turn that waits on a server tool is no prefill."""
    last = turns[-1]
    if last.role != "assistant" or not last.blocks or is_paused(last):
        return
    block = last.blocks[-1]
    if block.type == "text" and block.text[-1:].isspace():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def is_paused(turn: Turn) -> bool:
    """Whether the turn is a `pause_turn` reply sent back to be continued."""
    return any(block.type == "server_tool_use" for block in turn.blocks)
