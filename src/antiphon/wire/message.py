"""The items of `messages` (Messages API, "Messages")."""

from typing import Annotated, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field

from antiphon.wire.blocks import Block, Content
from antiphon.wire.fields import Items, WireModel, problem
from antiphon.wire.options import MessageOutputConfig

MAX_MESSAGES = 100_000
MAX_BLOCKS = 100_000

_Object = dict[str, object]
_Values = list[object]

Role = Literal["user", "assistant", "system"]


class InputMessage(WireModel):
    """One item of `messages`. `clear_at` and `output_config` belong to system items only."""

    role: Role
    content: Content = Field(default_factory=list[Block])
    clear_at: Literal["never", "next_user_message"] | None = None
    output_config: MessageOutputConfig | None = None


def _check_size(messages: object) -> object:
    """Before a block is looked at: each costs microseconds, and all together they may not hold up the server."""
    if isinstance(messages, list) and sum(map(_num_blocks, cast(_Values, messages))) > MAX_BLOCKS:
        raise problem(f"at most {MAX_BLOCKS} content blocks are supported in all messages together")
    return cast(object, messages)


def _num_blocks(value: object) -> int:
    """The blocks in a message or in a block: in its content, and in its source's content."""
    if not isinstance(value, dict):
        return 0
    content, source = cast(_Object, value).get("content"), cast(_Object, value).get("source")
    if isinstance(content, str) and source is None:
        return 0
    below = _num_blocks(source) if source else 0
    if isinstance(content, list):
        blocks = cast(_Values, content)
        return below + len(blocks) + (sum(map(_num_blocks, blocks)) if len(blocks) <= MAX_BLOCKS else 0)
    return below + _num_blocks(content) if content else below


def _check_items(messages: list[InputMessage]) -> list[InputMessage]:
    for index, message in enumerate(messages):
        if message.role != "system":
            _check_item(index, message)
    return messages


def _check_item(index: int, message: InputMessage) -> None:
    if not message.content and "content" not in message.model_fields_set:
        raise problem("Field required", f"{index}.content")
    if message.clear_at is not None:
        raise problem("Extra inputs are not permitted", f"{index}.clear_at")
    if message.output_config is not None:
        raise problem("Extra inputs are not permitted", f"{index}.output_config")


Messages = Annotated[
    Items[InputMessage],
    Field(min_length=1, max_length=MAX_MESSAGES),
    AfterValidator(_check_items),
    BeforeValidator(_check_size),
]
