"""Cache breakpoints: at most four, and the long-lived ones first (Prompt caching)."""

from collections.abc import Sequence

from antiphon.core.errors import invalid
from antiphon.wire.content import Ephemeral
from antiphon.wire.request import PromptRequest
from antiphon.wire.survey import Breakpoint

MAX_BREAKPOINTS = 4


def check_breakpoints(request: PromptRequest, in_messages: Sequence[Breakpoint]) -> None:
    """The number of breakpoints, the automatic one included, and the order of their lifetimes."""
    automatic = request.cache_control
    if not in_messages and automatic is None and not request.tools and isinstance(request.system, str | None):
        return
    before = _in_tools(request) + _in_system(request)
    count = len(before) + len(in_messages) + (automatic is not None)
    if count > MAX_BREAKPOINTS:
        raise invalid(f"A maximum of 4 blocks with cache_control may be provided. Found {count}.")
    found = before + [(f"{one.path}.cache_control", one.control) for one in in_messages]
    _check_lifetimes(found + ([("cache_control", automatic)] if automatic else []))


def _check_lifetimes(found: list[tuple[str, Ephemeral]]) -> None:
    """Takes (path of the breakpoint, breakpoint) in the order of the prompt."""
    is_short = False
    for path, control in found:
        if control.ttl == "1h" and is_short:
            raise invalid(
                f"{path}.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
                "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        is_short = is_short or control.ttl == "5m"


def _in_tools(request: PromptRequest) -> list[tuple[str, Ephemeral]]:
    tools = enumerate(request.tools or ())
    return [(f"tools.{index}.cache_control", tool.cache_control) for index, tool in tools if tool.cache_control]


def _in_system(request: PromptRequest) -> list[tuple[str, Ephemeral]]:
    blocks = enumerate(() if isinstance(request.system, str) else request.system or ())
    return [(f"system.{index}.cache_control", block.cache_control) for index, block in blocks if block.cache_control]
