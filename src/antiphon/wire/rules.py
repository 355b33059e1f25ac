"""What the fields of one request may not say together (Messages API, "Body", "Thinking", "Tool choice")."""

from collections.abc import Collection, Iterator, Sequence
from typing import cast

from antiphon.core.errors import ApiError, invalid
from antiphon.wire.conversation import Turn, is_paused
from antiphon.wire.errors import clip
from antiphon.wire.fields import JsonObject
from antiphon.wire.options import ContainerSpec, ThinkingEnabled
from antiphon.wire.request import MessageRequest, PromptRequest
from antiphon.wire.survey import Survey
from antiphon.wire.tools import (
    BrowserToolset,
    CodeExecutionTool,
    ComputerToolset,
    McpToolset,
    Tool,
    ToolChoiceNone,
    ToolChoiceTool,
    WebTool,
    name_of,
)

INTERLEAVED = "interleaved-thinking-2025-05-14"
_DOCS = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
_IMPORTANT = f"{_DOCS}#important-considerations-when-using-extended-thinking"
_EXPLICIT = "For 'object' type, 'additionalProperties' must be explicitly set to false"


def check_tools(request: PromptRequest) -> None:
    """The choice names a tool that is there, one tool at least is not deferred, strict schemas are closed."""
    tools = request.tools or []
    _check_choice(request, tools)
    _check_deferral(tools)
    for index, tool in enumerate(tools):
        if tool.type == "custom":
            if tool.strict and not _is_closed(tool.input_schema):
                raise invalid(f"tools.{index}.custom: {_EXPLICIT}")
        elif isinstance(tool, WebTool):
            if tool.allowed_domains and tool.blocked_domains:
                raise invalid(f"tools.{index}.{tool.type}: Only one of allowed_domains and blocked_domains may be set")
        elif tool.type == "mcp_toolset":
            _check_server(request, index, tool)


def _check_choice(request: PromptRequest, tools: Sequence[Tool]) -> None:
    choice = request.tool_choice
    if choice is None or isinstance(choice, ToolChoiceNone):
        return
    if not tools:
        raise invalid(f"tool_choice.{choice.type} may only be specified while providing tools")
    # A toolset brings tools whose names only its maker knows.
    if isinstance(choice, ToolChoiceTool) and choice.name not in map(name_of, tools) and all(map(name_of, tools)):
        raise invalid(f"Tool '{clip(choice.name)}' not found in provided tools")


def _check_deferral(tools: Sequence[Tool]) -> None:
    if tools and all(getattr(tool, "defer_loading", None) for tool in tools):
        raise invalid("At least one tool must have defer_loading=false. All tools cannot be deferred.")


def _check_server(request: PromptRequest, index: int, toolset: McpToolset) -> None:
    if toolset.mcp_server_name not in {server.name for server in request.mcp_servers or ()}:
        raise invalid(
            f"tools.{index}.mcp_toolset.mcp_server_name: '{clip(toolset.mcp_server_name)}' not found in mcp_servers"
        )


def _is_closed(schema: object) -> bool:
    """Whether every object of the schema forbids other properties than its own."""
    return all(part.get("additionalProperties") is False for part in _objects_of(schema))


def _objects_of(schema: object) -> Iterator[JsonObject]:
    if isinstance(schema, list):
        for part in cast(list[object], schema):
            yield from _objects_of(part)
    if not isinstance(schema, dict):
        return
    part = cast(JsonObject, schema)
    if part.get("type") == "object":
        yield part
    for keyword in ("items", "anyOf", "allOf"):
        yield from _objects_of(part.get(keyword))
    for keyword in ("properties", "$defs", "definitions"):
        named = part.get(keyword)
        if isinstance(named, dict):
            yield from _objects_of(list(cast(JsonObject, named).values()))


def check_output(request: PromptRequest, turns: Sequence[Turn], found: Survey) -> None:
    """A reply that must be JSON can neither cite nor continue a prefill."""
    wanted = request.output_config.format if request.output_config else None
    wanted = wanted or request.output_format
    if wanted is None:
        return
    if not _is_closed(wanted.schema_):
        raise invalid(f"output_config.format.schema: {_EXPLICIT}")
    if any(True in answers for answers in found.citing.values()):
        raise invalid("output_config.format: citations may not be enabled with a format")
    if turns[-1].role == "assistant" and turns[-1].blocks and not is_paused(turns[-1]):
        raise invalid("output_config.format: the conversation may not end with an assistant message with a format")


def check_citations(found: Survey) -> None:
    """Citations are on for all documents or for none, and likewise for search results."""
    if len(found.citing["document"]) > 1:
        raise invalid("messages: citations must be enabled on all or none of the documents within a request")
    if len(found.citing["search_result"]) > 1:
        raise invalid("messages: citations must be enabled on all or none of the search results within a request")


def check_thinking(request: MessageRequest, betas: Collection[str]) -> None:
    """What thinking leaves of the sampling fields, of `max_tokens` and of `tool_choice`."""
    if request.thinking is None or request.thinking.type == "disabled":
        return
    if isinstance(request.thinking, ThinkingEnabled):
        _check_manual_thinking(request, request.thinking, betas)
    if request.temperature is not None and request.temperature != 1:
        raise invalid(f"`temperature` may only be set to 1 when thinking is enabled. {_IMPORTANT}")
    if request.top_p is not None and request.top_p < 0.95:
        raise invalid(f"`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. {_IMPORTANT}")
    if request.top_k is not None:
        raise invalid(f"`top_k` must be unset when thinking is enabled. {_IMPORTANT}")


def _check_manual_thinking(request: MessageRequest, thinking: ThinkingEnabled, betas: Collection[str]) -> None:
    # Between tool calls the budget is for the whole turn, so it may pass the bound of one reply.
    interleaved = INTERLEAVED in betas and bool(request.tools)
    if thinking.budget_tokens >= request.max_tokens and request.max_tokens > 0 and not interleaved:
        raise invalid(
            f"`max_tokens` must be greater than `thinking.budget_tokens`. {_DOCS}#max-tokens-and-context-window-size"
        )
    if request.tool_choice is not None and request.tool_choice.type in ("any", "tool"):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def check_thinking_replay(request: PromptRequest, turns: Sequence[Turn]) -> None:
    """With manual thinking, a prefill or the tool loop in progress starts with a thinking block."""
    loop = _open_loop(turns) if isinstance(request.thinking, ThinkingEnabled) else []
    if not loop or any(turn.blocks[0].type in ("thinking", "redacted_thinking") for turn in loop):
        if loop and loop[0] is turns[-1] and not is_paused(loop[0]):
            raise invalid(
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
        return
    raise _expected_thinking(loop[0])


def _expected_thinking(turn: Turn) -> ApiError:
    return invalid(
        f"{turn.path(0)}.type: Expected `thinking` or `redacted_thinking`, but found `{turn.blocks[0].type}`. "
        "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceding the "
        "lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous "
        f"turns. To avoid this requirement, disable `thinking`. {_DOCS}"
    )


def _open_loop(turns: Sequence[Turn]) -> list[Turn]:
    """The assistant turns of the tool loop, or the prefill, that the reply will continue; the last one first."""
    loop: list[Turn] = []
    for turn in reversed(turns):
        if turn.role == "assistant":
            if turn.blocks:
                loop.append(turn)
        elif turn.role == "user" and not any(block.type == "tool_result" for block in turn.blocks):
            break
    return loop


def check_edits(request: PromptRequest) -> None:
    """What is thought is cleared before anything else is."""
    edits = (request.context_management and request.context_management.edits) or ()
    for index, edit in enumerate(edits):
        if index and edit.type == "clear_thinking_20251015":
            raise invalid(f"context_management.edits.{index}: `clear_thinking_20251015` must be the first edit")


def check_warm_up(request: MessageRequest) -> None:
    """`max_tokens: 0` only warms the cache: nothing that shapes a reply goes with it."""
    if request.max_tokens != 0:
        return
    for field, is_set in _shapes_reply(request):
        if is_set:
            raise invalid(f"max_tokens: 0 may not be combined with {field}")


def _shapes_reply(request: MessageRequest) -> Iterator[tuple[str, bool]]:
    yield "stream: true", bool(request.stream)
    yield 'thinking.type "enabled"', isinstance(request.thinking, ThinkingEnabled)
    yield "output_config.format", bool(request.output_config and request.output_config.format)
    yield "tool_choice that forces tool use", bool(request.tool_choice and request.tool_choice.type in ("any", "tool"))


def check_container(request: MessageRequest) -> None:
    """A container is named only where code runs."""
    container = request.container
    named = container.id if isinstance(container, ContainerSpec) else container
    if named is not None and not runs_code(request):
        raise invalid("container: Container identifier can only be provided when using the code execution tool")


def check_uploads(request: PromptRequest, found: Survey) -> None:
    """Files go into a container only where code runs."""
    if found.upload and not runs_code(request):
        raise invalid(
            f"{found.upload}: `container_upload` blocks can only be provided when using the code execution tool"
        )


def runs_code(request: PromptRequest) -> bool:
    return any(isinstance(tool, CodeExecutionTool) for tool in request.tools or ())


def has_toolset(request: PromptRequest) -> bool:
    """Whether there are tools whose names the request does not list."""
    return any(isinstance(tool, BrowserToolset | ComputerToolset | McpToolset) for tool in request.tools or ())
