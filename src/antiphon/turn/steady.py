"""What clients put at the head of a prompt and change with each turn, made the same for all turns."""

import re
from typing import TypeVar

from antiphon.wire.content import TextBlock
from antiphon.wire.request import PromptRequest

R = TypeVar("R", bound=PromptRequest)

_ATTRIBUTION = re.compile(r"\s*x-anthropic-billing-header:[^\n]*\s*", re.IGNORECASE)


def steady(request: R) -> R:
    """The request without a first system block that is nothing but an attribution line: it is not for the model.

    A line within other text, a block behind the first, and a block with a breakpoint stay as they are.
    """
    if isinstance(request.system, str) or not request.system or not is_attribution(request.system[0]):
        return request
    return request.model_copy(update={"system": list(request.system[1:]) or None})


def is_attribution(block: TextBlock) -> bool:
    """Whether the block is an attribution line, alone, and no breakpoint."""
    return block.cache_control is None and _ATTRIBUTION.fullmatch(block.text) is not None
