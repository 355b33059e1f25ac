"""The tools that the server runs itself: one seam, `run(call) -> result`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from antiphon.turn.chat import result_text
from antiphon.turn.reading import ServerCall
from antiphon.turn.tools.offer import OfferedTool


class Result(NamedTuple):
    """`block` is what the client is given, `text` what the model reads: what `turn.chat` will read in it later on.

    The tools that it has `found` may be called from now on.
    """

    block: dict[str, Any]
    text: str
    found: tuple[OfferedTool, ...] = ()


Run = Callable[[ServerCall], Awaitable[Result]]


class ServerTools:
    """What is not there answers that it is unavailable, in its own error block: agents live with that."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = runs

    async def run(self, call: ServerCall) -> Result:
        run = self._runs.get(call.name)
        return await run(call) if run else _unavailable(call)


def _unavailable(call: ServerCall) -> Result:
    kind = f"{call.name}_tool_result"
    error = {"type": f"{kind}_error", "error_code": "unavailable"}
    return Result({"type": kind, "tool_use_id": call.id, "content": error}, result_text(error, {}))
