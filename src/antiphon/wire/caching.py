"""Cache breakpoints: at most four, and the long-lived ones first (Prompt caching)."""

from collections.abc import Iterator, Sequence

from antiphon.core.errors import invalid
from antiphon.wire.content import Ephemeral
from antiphon.wire.request import PromptRequest

Breakpoint = tuple[str, Ephemeral]
"""(path of the block, its cache_control); the path of the automatic one is empty."""

MAX_BREAKPOINTS = 4


def check_breakpoints(request: PromptRequest, in_messages: Sequence[Breakpoint]) -> None:
    """The number of breakpoints, the automatic one included, and the order of their lifetimes."""
    found = list(breakpoints(request, in_messages))
    if len(found) > MAX_BREAKPOINTS:
        raise invalid(f"A maximum of 4 blocks with cache_control may be provided. Found {len(found)}.")
    short_lived = False
    for path, control in found:
        if control.ttl == "1h" and short_lived:
            where = f"{path}.cache_control" if path else "cache_control"
            raise invalid(
                f"{where}.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. "
                "Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            )
        short_lived = short_lived or control.ttl == "5m"


def breakpoints(request: PromptRequest, in_messages: Sequence[Breakpoint]) -> Iterator[Breakpoint]:
    """In the order of the prompt: tools, system, messages."""
    for index, tool in enumerate(request.tools or ()):
        if tool.cache_control is not None:
            yield f"tools.{index}", tool.cache_control
    if not isinstance(request.system, str):
        for index, block in enumerate(request.system or ()):
            if block.cache_control is not None:
                yield f"system.{index}", block.cache_control
    yield from in_messages
    if request.cache_control is not None:
        yield "", request.cache_control
