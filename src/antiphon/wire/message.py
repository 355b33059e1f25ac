"""The items of `messages` (Messages API, "Messages")."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from antiphon.wire.blocks import Block, Content
from antiphon.wire.fields import Items, WireModel, problem
from antiphon.wire.options import MessageOutputConfig

MAX_MESSAGES = 100_000

Role = Literal["user", "assistant", "system"]


class InputMessage(WireModel):
    """One item of `messages`. `clear_at` and `output_config` belong to system items only."""

    role: Role
    content: Content = Field(default_factory=list[Block])
    clear_at: Literal["never", "next_user_message"] | None = None
    output_config: MessageOutputConfig | None = None


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
]
