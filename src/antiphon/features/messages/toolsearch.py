"""The tools that find deferred tools: by a regular expression, or by words (Messages API, "Tool search")."""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

from antiphon.features.messages.servertools import Result, Run
from antiphon.turn.chat import result_text
from antiphon.turn.reading import ServerCall
from antiphon.turn.schema.matching import matches
from antiphon.turn.tools.offer import OfferedTool

LIMIT = 5
MAX_PATTERN = 200
MAX_QUERY = 500
_MAX_TOOLS = 10_000
_MAX_TOOL_CHARS = 5_000
_MAX_CHARS = 1_000_000
"""Of all tools together: what a search may look at, in about a second of one thread."""
_MAX_ARGUMENTS = 100
_SATURATION, _LENGTH_SHARE = 1.5, 0.75
_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Search = Callable[[str, Sequence[OfferedTool]], list[OfferedTool]]


class _QueryError(ValueError):
    """Its text is for the model."""


def searches(deferred: Sequence[OfferedTool]) -> dict[str, Run]:
    """The search tools of a request, over its deferred tools."""
    return {
        "tool_search_tool_regex": _run(by_pattern, MAX_PATTERN, deferred),
        "tool_search_tool_bm25": _run(by_words, MAX_QUERY, deferred),
    }


def _run(search: Search, max_query: int, deferred: Sequence[OfferedTool]) -> Run:
    async def run(call: ServerCall) -> Result:
        try:
            query = _query(call, max_query)
            found = await asyncio.to_thread(search, query, deferred[:_MAX_TOOLS])
        except _QueryError as problem:
            return _result(call, _error(str(problem)), [])
        references = [{"type": "tool_reference", "tool_name": tool.name} for tool in found]
        return _result(call, {"type": "tool_search_tool_search_result", "tool_references": references}, found)

    return run


def _query(call: ServerCall, max_query: int) -> str:
    query = call.arguments.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _QueryError("`query` must be a text that is not empty.")
    if len(query) > max_query:
        raise _QueryError(f"`query` may have at most {max_query} characters.")
    return query


def _error(words: str) -> dict[str, Any]:
    return {"type": "tool_search_tool_result_error", "error_code": "invalid_tool_input", "error_message": words}


def _result(call: ServerCall, content: dict[str, Any], found: Sequence[OfferedTool]) -> Result:
    block = {"type": "tool_search_tool_result", "tool_use_id": call.id, "content": content}
    return Result(block, result_text(content, {tool.name: tool for tool in found}), tuple(found))


def by_pattern(pattern: str, tools: Sequence[OfferedTool]) -> list[OfferedTool]:
    """Those in which the pattern finds something, first of all in their names.

    It is matched in time that grows with the text alone, so look-arounds and back-references are refused; word borders
    are passed over.
    """
    pattern, folds = _read_pattern(pattern)
    if matches(pattern, "") is None:
        raise _QueryError("`query` is no regular expression that can be searched for.")

    def hits(text: str) -> bool:
        return bool(matches(pattern, text.lower() if folds else text))

    by_name = [tool for tool in tools if hits(tool.name)][:LIMIT]
    names = {tool.name for tool in by_name}
    rest = ((tool, text) for tool, text in _texts(tools) if tool.name not in names)
    others = (tool for tool, text in rest if any(map(hits, text)))
    return [*by_name, *islice(others, LIMIT - len(by_name))]


def _read_pattern(pattern: str) -> tuple[str, bool]:
    """(the pattern without its flag and its word borders, whether case is to be ignored)."""
    folds = pattern.startswith("(?i)")
    parts = re.findall(r"\\.|[^\\]+|\\", pattern.removeprefix("(?i)"), re.DOTALL)
    kept = [part for part in parts if part not in (r"\b", r"\B")]
    return "".join(part if part[0] == "\\" or not folds else part.lower() for part in kept), folds


def by_words(query: str, tools: Sequence[OfferedTool]) -> list[OfferedTool]:
    """The best by BM25 over names, descriptions and arguments; none that shares no word with the query."""
    papers = [_Paper(tool, Counter(_words(" ".join([tool.name, *text])))) for tool, text in _texts(tools)]
    mean = sum(paper.num_words for paper in papers) / max(len(papers), 1) or 1
    weights = {word: _weight(word, papers) for word in {*_words(query)}}
    scored = [(_score(paper, weights, mean), paper.tool) for paper in papers]
    best = sorted((one for one in scored if one[0] > 0), key=lambda one: -one[0])
    return [tool for _, tool in best[:LIMIT]]


class _Paper(NamedTuple):
    tool: OfferedTool
    words: Counter[str]

    @property
    def num_words(self) -> int:
        return self.words.total()


def _weight(word: str, papers: Sequence[_Paper]) -> float:
    """The rarer a word, the more it says."""
    num_with = sum(1 for paper in papers if word in paper.words)
    return math.log(1 + (len(papers) - num_with + 0.5) / (num_with + 0.5))


def _score(paper: _Paper, weights: Mapping[str, float], mean: float) -> float:
    length = 1 - _LENGTH_SHARE + _LENGTH_SHARE * paper.num_words / mean
    counts = ((paper.words[word], weight) for word, weight in weights.items())
    return sum(weight * num * (_SATURATION + 1) / (num + _SATURATION * length) for num, weight in counts)


def _words(text: str) -> list[str]:
    """In lower case; a name such as `listOpenIssues` or `list_open_issues` is three."""
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text))]


def _texts(tools: Sequence[OfferedTool]) -> Iterable[tuple[OfferedTool, list[str]]]:
    """Each tool with what it says of itself beside its name, as long as there is time to look at it."""
    num_chars = 0
    for tool in tools:
        text = [part[:_MAX_TOOL_CHARS] for part in (tool.description, *_arguments(tool))]
        num_chars += sum(map(len, text))
        if num_chars > _MAX_CHARS:
            return
        yield tool, text


def _arguments(tool: OfferedTool) -> Iterable[str]:
    """The names of its arguments, and what is said of them."""
    properties = tool.schema.get("properties")
    if not isinstance(properties, dict):
        return
    for name, schema in islice(cast(dict[str, object], properties).items(), _MAX_ARGUMENTS):
        yield name
        if isinstance(schema, dict) and isinstance(said := cast(dict[str, object], schema).get("description"), str):
            yield said
