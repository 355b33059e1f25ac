"""What the wire understands and this server does not serve yet: refused by name, never dropped in silence."""

from antiphon.core.errors import ApiError, invalid
from antiphon.wire.content import RedactedThinkingBlock, TextBlock, ThinkingBlock
from antiphon.wire.request import CountRequest, MessageRequest

_SERVED_BLOCKS = (TextBlock, ThinkingBlock, RedactedThinkingBlock)
_UNSERVED_FIELDS = ("mcp_servers", "container", "compaction", "fallbacks", "thread")


def check(request: MessageRequest | CountRequest, *, accepts_thinking: bool) -> None:
    """Raises 400 that names the first thing which is not served."""
    if request.tools:
        raise _unserved("tools.0", f"tools of type '{request.tools[0].type or 'custom'}'")
    _check_blocks(request)
    _check_thinking(request, accepts_thinking)
    if request.speed == "fast":
        raise _unserved("speed", "fast replies")
    if request.output_format:
        raise _unserved("output_format", "structured outputs")
    if request.output_config and request.output_config.format:
        raise _unserved("output_config.format", "structured outputs")
    for name in _UNSERVED_FIELDS:
        if getattr(request, name, None):
            raise _unserved(name, "requests with this field")


def _check_blocks(request: MessageRequest | CountRequest) -> None:
    for i, message in enumerate(request.messages):
        if isinstance(message.content, str):
            continue
        for j, block in enumerate(message.content):
            if not isinstance(block, _SERVED_BLOCKS):
                raise _unserved(f"messages.{i}.content.{j}", f"blocks of type '{block.type}'")


def _check_thinking(request: MessageRequest | CountRequest, accepts_thinking: bool) -> None:
    """`adaptive` leaves it to the model, and a model that cannot think then does not; `enabled` is a demand."""
    if request.thinking and request.thinking.type == "enabled" and not accepts_thinking:
        raise invalid(f"'{request.model}' does not support thinking.")


def _unserved(path: str, what: str) -> ApiError:
    return invalid(f"{path}: {what} are not supported by this server yet.")
