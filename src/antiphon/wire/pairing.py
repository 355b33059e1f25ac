"""Every call has its result (Messages API, "Tool use and results")."""

from collections.abc import Container, Iterable, Sequence

from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.wire.content import ToolResultBlock, ToolUseBlock
from antiphon.wire.conversation import Turn
from antiphon.wire.errors import clip

MAX_QUOTED = 100

_RESULT_OF = {
    "web_search": "web_search_tool_result",
    "web_fetch": "web_fetch_tool_result",
    "code_execution": "code_execution_tool_result",
    "bash_code_execution": "bash_code_execution_tool_result",
    "text_editor_code_execution": "text_editor_code_execution_tool_result",
    "tool_search_tool_regex": "tool_search_tool_result",
    "tool_search_tool_bm25": "tool_search_tool_result",
    "advisor": "advisor_tool_result",
}
_SERVER_RESULTS = frozenset((*_RESULT_OF.values(), "mcp_tool_result"))
_PAIRED = _SERVER_RESULTS | {"tool_use", "server_tool_use", "mcp_tool_use"}


def check_pairs(turns: Sequence[Turn]) -> None:
    """Client calls are answered at the start of the next user turn, once each; server calls in their own turn."""
    spoken = [turn for turn in turns if turn.role != "system"]
    seen = _Seen()
    calls: dict[str, int] = {}
    caller: Turn | None = None
    for position, turn in enumerate(spoken):
        if turn.role == "user":
            _check_results(turn, caller, calls)
            caller, calls = None, {}
        else:
            caller, calls = turn, seen.calls_of(turn, is_last=position == len(spoken) - 1)
    if spoken and spoken[-1].role == "assistant" and caller is not None:
        _refuse_unanswered(caller, calls, ())


def _check_results(turn: Turn, caller: Turn | None, calls: dict[str, int]) -> None:
    answered: set[str] = set()
    leading = True
    for index, block in enumerate(turn.blocks):
        if block.type != "tool_result":
            leading = False
            continue
        _check_result(turn, index, block, calls, answered)
        if leading:
            answered.add(block.tool_use_id)
    if caller is not None:
        _refuse_unanswered(caller, calls, answered)


def _check_result(turn: Turn, index: int, block: ToolResultBlock, calls: dict[str, int], answered: set[str]) -> None:
    if block.tool_use_id not in calls:
        raise invalid(
            f"{turn.path(index)}: unexpected `tool_use_id` found in `tool_result` blocks: {clip(block.tool_use_id)}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )
    if block.tool_use_id in answered:
        raise invalid(
            f"{turn.path(index)}: each tool_use must have a single result. "
            f"Found multiple `tool_result` blocks with id: {clip(block.tool_use_id)}"
        )


def _refuse_unanswered(caller: Turn, calls: dict[str, int], answered: Container[str]) -> None:
    missing = [call for call in calls if call not in answered]
    if missing:
        message, _ = caller.origin(calls[missing[0]])
        ids = ", ".join(map(clip, missing[:MAX_QUOTED]))
        raise invalid(
            f"messages.{message}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. "
            "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        )


class _Seen:
    """The ids of all calls so far: they are unique, and a server tool's result comes behind its call."""

    def __init__(self) -> None:
        self.clients: set[str] = set()
        self.servers: dict[str, str] = {}

    def calls_of(self, turn: Turn, *, is_last: bool) -> dict[str, int]:
        """The turn's client calls: id to the block's position in the turn."""
        calls: dict[str, int] = {}
        waiting: dict[str, str] = {}
        for index, block in enumerate(turn.blocks):
            if block.type not in _PAIRED:
                continue
            if block.type == "tool_use":
                self._add_client(turn, index, block)
                calls[block.id] = index
            elif block.type == "server_tool_use":
                waiting[block.id] = block.name
                self.servers[block.id] = "server_tool_use"
            elif block.type == "mcp_tool_use":
                self.servers[block.id] = "mcp_tool_use"
            else:
                call: str = getattr(block, "tool_use_id", "")
                self._match(turn, index, block.type, call)
                waiting.pop(call, None)
        # A mixed turn may stop for its client calls, and a last turn may be a paused one, before the server's answer.
        if waiting and not calls and not is_last:
            _refuse_unresolved(waiting)
        return calls

    def _add_client(self, turn: Turn, index: int, block: ToolUseBlock) -> None:
        if block.id in self.clients:
            raise invalid(f"{turn.path(index)}: `tool_use` ids must be unique")
        self.clients.add(block.id)

    def _match(self, turn: Turn, index: int, kind: str, call: str) -> None:
        wanted = "mcp_tool_use" if kind == "mcp_tool_result" else "server_tool_use"
        if self.servers.get(call) != wanted:
            raise invalid(
                f"{turn.path(index)}: unexpected `tool_use_id` found in `{kind}` blocks: {clip(call)}. "
                f"Each `{kind}` block must have a corresponding `{wanted}` block before it."
            )


def _refuse_unresolved(waiting: dict[str, str]) -> None:
    call, name = next(iter(waiting.items()))
    raise invalid(
        f"`{name}` tool use with id `{clip(call)}` was found without a corresponding `{_RESULT_OF[name]}` block"
    )


def check_references(references: Iterable[str], names: Container[str | None]) -> None:
    """A tool that the history refers to is among the tools of this request."""
    for reference in references:
        if reference not in names:
            raise ApiError(
                Kind.INVALID_REQUEST,
                f"Tool reference '{clip(reference)}' not found in available tools",
                details={"error_code": "tool_reference_unresolved"},
            )
