"""What the wire understands and this server does not serve yet: refused by name, never dropped in silence."""

from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.wire.options import Compact
from antiphon.wire.request import CountRequest, MessageRequest
from antiphon.wire.tools import AdvisorTool, BrowserToolset, ComputerToolset, McpToolset

_UNSERVED_BLOCKS = ("container_upload", "compaction")
_UNSERVED_TOOLS = (ComputerToolset, BrowserToolset, McpToolset, AdvisorTool)
_UNSERVED_FIELDS = ("mcp_servers", "container", "compaction", "fallbacks")


def check(request: MessageRequest | CountRequest) -> None:
    """Raises 400 that names the first thing which is not served."""
    if request.is_plain:
        _check_blocks(request)
        return
    for i, tool in enumerate(request.tools or ()):
        if isinstance(tool, _UNSERVED_TOOLS):
            raise _unserved(f"tools.{i}", f"tools of type '{tool.type}'")
    _check_blocks(request)
    _check_edits(request)
    if request.speed == "fast":
        raise _unserved("speed", "fast replies")
    if getattr(request, "thread", None):  # the SDK's tool runner then sends whole conversations
        message = "thread: threads are not supported by this server yet."
        raise ApiError(Kind.INVALID_REQUEST, message, details={"error_code": "thread_unsupported_request"})
    for name in _UNSERVED_FIELDS:
        if getattr(request, name, None):
            raise _unserved(name, "requests with this field")


def _check_blocks(request: MessageRequest | CountRequest) -> None:
    for turn in request.turns:
        for index, block in enumerate(turn.blocks):
            if block.type in _UNSERVED_BLOCKS:
                raise _unserved(turn.path(index), f"blocks of type '{block.type}'")


def _check_edits(request: MessageRequest | CountRequest) -> None:
    """Whoever asks for compaction counts on it, long before it is due."""
    for i, edit in enumerate((request.context_management and request.context_management.edits) or ()):
        if isinstance(edit, Compact):
            raise _unserved(f"context_management.edits.{i}", f"edits of type '{edit.type}'")


def _unserved(path: str, what: str) -> ApiError:
    return invalid(f"{path}: {what} are not supported by this server yet.")
