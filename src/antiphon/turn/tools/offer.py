"""Which tools of a request the model is shown, which it may call, and whether it has to.

A deferred tool is called, but not shown, once something in the conversation has referred to it: the prompt stays as it
is, and what found the tool has shown its definition in place.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import orjson

from antiphon.turn.tools import typed
from antiphon.wire.blocks import ToolAdditionBlock, ToolDefinition, ToolReference, ToolRemovalBlock
from antiphon.wire.content import ToolReferenceBlock, ToolResultBlock
from antiphon.wire.fields import JsonObject
from antiphon.wire.request import CountRequest, MessageRequest
from antiphon.wire.results import ToolSearchResult, ToolSearchToolResultBlock
from antiphon.wire.tools import (
    CustomTool,
    Tool,
    ToolChoiceAny,
    ToolChoiceAuto,
    ToolChoiceNone,
    ToolChoiceTool,
    name_of,
)

Request = MessageRequest | CountRequest


class OfferedTool(NamedTuple):
    """A tool as a model sees it. `is_server` tools are run here, and their calls are no `tool_use` for the client."""

    name: str
    description: str
    schema: JsonObject
    is_strict: bool = False
    is_eager: bool = False
    is_server: bool = False

    @property
    def definition(self) -> JsonObject:
        """The tool as chat templates take it. The order of keys never changes: prompts stay the same bytes."""
        about = {"name": self.name, "description": self.description, "parameters": self.schema}
        return {"type": "function", "function": about}


class Offer(NamedTuple):
    """`shown` stand in the prompt; `callable` are those that may be called now. `forced`: it has to be one of them.

    `known` are all that the request and its conversation define, whatever the choice; `deferred` are those of them
    that a search may find.
    """

    shown: tuple[OfferedTool, ...] = ()
    callable: Mapping[str, OfferedTool] = {}
    forced: Literal["", "any", "tool"] = ""
    is_parallel: bool = True
    known: Mapping[str, OfferedTool] = {}
    deferred: tuple[OfferedTool, ...] = ()

    def with_found(self, found: Iterable[OfferedTool]) -> "Offer":
        """The offer after a search: what it has found may be called too."""
        return self._replace(callable={**self.callable, **{tool.name: tool for tool in found}})


NOTHING = Offer()


def offer_of(request: Request) -> Offer:
    """The offer of a request whose tools are all served."""
    tools = request.tools or ()
    if not tools and not any(turn.role == "system" for turn in request.turns):  # only those bring tools, too
        return NOTHING
    every = {tool.name: tool for tool in map(_offered, tools)}
    hidden = {name_of(tool) for tool in tools if getattr(tool, "defer_loading", None)}
    shown = tuple(tool for name, tool in every.items() if name not in hidden)
    changes = _changes(request, every)
    callable_now = {tool.name: tool for tool in (*shown, *changes.added) if tool.name not in changes.removed}
    known = every | {tool.name: tool for tool in changes.added}
    deferred = tuple(tool for name, tool in every.items() if name in hidden and name not in changes.removed)
    return _chosen(request, Offer(shown, callable_now, known=known, deferred=deferred))


class _Changes(NamedTuple):
    added: Sequence[OfferedTool]
    removed: frozenset[str]


def _changes(request: Request, every: Mapping[str, OfferedTool]) -> _Changes:
    """What the conversation has added to the tools, and taken away: the last word on a tool counts."""
    added: dict[str, OfferedTool] = {}
    removed: set[str] = set()
    for block in (block for turn in request.turns for block in turn.blocks):
        if isinstance(block, ToolRemovalBlock):
            removed.add(getattr(block.tool, "name", ""))
            continue
        for tool in _added_by(block, every):
            added[tool.name] = tool
            removed.discard(tool.name)
    return _Changes(list(added.values()), frozenset(removed))


def _added_by(block: object, every: Mapping[str, OfferedTool]) -> Iterable[OfferedTool]:
    if isinstance(block, ToolAdditionBlock):
        if isinstance(block.tool, ToolDefinition):
            return [_offered(block.tool.definition)]
        return [every[block.tool.name]] if isinstance(block.tool, ToolReference) and block.tool.name in every else []
    return [every[name] for name in referred_by(block) if name in every]


def referred_by(block: object) -> list[str]:
    """The names of the tools that a result refers to."""
    if isinstance(block, ToolSearchToolResultBlock) and isinstance(block.content, ToolSearchResult):
        return [reference.tool_name for reference in block.content.tool_references]
    if isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
        return [part.tool_name for part in block.content if isinstance(part, ToolReferenceBlock)]
    return []


def _chosen(request: Request, offer: Offer) -> Offer:
    choice = request.tool_choice
    if isinstance(choice, ToolChoiceNone):
        return offer._replace(callable={})
    if isinstance(choice, ToolChoiceTool):
        return offer._replace(callable={choice.name: offer.known[choice.name]}, forced="tool", is_parallel=False)
    if isinstance(choice, ToolChoiceAuto | ToolChoiceAny):
        forced = "any" if isinstance(choice, ToolChoiceAny) else ""
        return offer._replace(forced=forced, is_parallel=not choice.disable_parallel_tool_use)
    return offer


def _offered(tool: Tool) -> OfferedTool:
    if isinstance(tool, CustomTool):
        description = _described(tool.description or "", tool.input_examples or ())
        return OfferedTool(
            tool.name, description, tool.input_schema, bool(tool.strict), bool(tool.eager_input_streaming)
        )
    name = name_of(tool) or ""
    if name in _SERVER_TOOLS:
        description, schema = _SERVER_TOOLS[name]
        return OfferedTool(name, description, schema, is_server=True)
    description, schema = typed.describe(tool)
    return OfferedTool(name, _described(description, getattr(tool, "input_examples", None) or ()), schema)


def _one_string(name: str) -> JsonObject:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


_SERVER_TOOLS: Mapping[str, tuple[str, JsonObject]] = {
    "tool_search_tool_regex": (
        "Find further tools: `query` is a regular expression over their names and descriptions.",
        _one_string("query"),
    ),
    "tool_search_tool_bm25": (
        "Find further tools: `query` says in words what they should do.",
        _one_string("query"),
    ),
    "web_search": ("Search the web.", _one_string("query")),
    "web_fetch": ("Read a page of the web.", _one_string("url")),
    "code_execution": ("Run Python code.", _one_string("code")),
}


def _described(description: str, examples: Sequence[JsonObject]) -> str:
    lines = [f"Example: {orjson.dumps(example).decode()}" for example in examples]
    return "\n".join([description, *lines] if description else lines)
