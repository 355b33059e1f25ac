"""Strings of a schema as trees of their JSON text: patterns, formats, lengths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from antiphon.turn.schema import gbnf, patterns
from antiphon.turn.schema.gbnf import Alt, Chars, Json, Node, Repeat, Rule, Seq, Text
from antiphon.turn.schema.kinds import as_count

_HEX = Chars(((48, 57), (65, 70), (97, 102)))
_RAW = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, 0xD7FF), (0xE000, gbnf.LAST))
"""What stands in a JSON string as it is."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}

CHAR: Node = Alt(
    (
        Chars(_RAW),
        Seq((Text("\\"), Chars(gbnf.union((ord(char), ord(char)) for char in '"\\/bfnrt')))),
        Seq((Text("\\u"), Chars(((48, 57), (65, 67), (69, 70), (97, 99), (101, 102))), Repeat(_HEX, 3, 3))),
        Seq((Text("\\u"), Chars(((68, 68), (100, 100))), Chars(((48, 55),)), Repeat(_HEX, 2, 2))),
    )
)
"""One character of a JSON string, as it is or escaped; half a surrogate pair is none."""
SHARED: Mapping[str, Node] = {
    "char": CHAR,
    "string": Seq((Text('"'), Repeat(Rule("char"), 0, None), Text('"'))),
}

_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_LABEL = r"[A-Za-z0-9-]{1,24}"
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_WORD = r"[0-9a-fA-F]{1,4}"
_DAYS = r"\d{1,4}D"
_HOURS = r"T(\d{1,4}H(\d{1,4}M(\d{1,4}S)?)?|\d{1,4}M(\d{1,4}S)?|\d{1,4}S)"
_PERIOD = rf"P(\d{{1,4}}W|\d{{1,4}}Y(\d{{1,4}}M({_DAYS})?)?|\d{{1,4}}M({_DAYS})?|{_DAYS}({_HOURS})?|{_HOURS})"
_UUID = "-".join(f"[0-9a-fA-F]{{{count}}}" for count in (8, 4, 4, 4, 12))
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _PERIOD,
    "email": rf"[A-Za-z0-9_%+-]{{1,24}}(\.[A-Za-z0-9_%+-]{{1,24}})?@{_LABEL}(\.{_LABEL}){{1,3}}",
    "hostname": rf"{_LABEL}(\.{_LABEL}){{0,4}}",
    "ipv4": rf"({_BYTE}\.){{3}}{_BYTE}",
    "ipv6": f"({_WORD}:){{7}}{_WORD}|::|::({_WORD}:){{0,5}}{_WORD}|({_WORD}:){{1,6}}(:{_WORD})?:{_WORD}",
    "uri": r"[a-z][a-z0-9+.-]{0,15}:[!#-;=?-\[\]_a-z~]+",
    "uuid": _UUID,
}
FORMATS = frozenset(_FORMATS)


class StringTree(NamedTuple):
    """The JSON text of a string; `is_exact` is false if strings are let through that the schema forbids."""

    node: Node
    is_exact: bool


def string_of(schema: Mapping[str, object], max_length: int, max_pattern: int) -> StringTree | None:
    """The strings of a schema; None if there are none. Patterns above `max_pattern` in size are left out."""
    low, high = as_count(schema.get("minLength")) or 0, as_count(schema.get("maxLength"))
    if high is not None and low > high:
        return None
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and (found := _by_pattern(pattern, low, high, max_pattern)):
        return found
    is_exact = not isinstance(pattern, str)
    form = _FORMATS.get(str(schema.get("format")))
    if form and is_exact and (found := _by_pattern(f"^({form})$", low, high, max_pattern)) and found.is_exact:
        return found
    by_length = _by_length(low, high, max_length)
    return StringTree(by_length.node, is_exact and by_length.is_exact)


def _by_pattern(pattern: str, low: int, high: int | None, max_size: int) -> StringTree | None:
    tree = patterns.tree_of(pattern)
    if tree is None:
        return None
    node = encoded(tree)
    if node is None or gbnf.size(node) > max_size:
        return None
    shortest, longest = span(tree)
    is_exact = low <= shortest and (high is None or (longest is not None and longest <= high))
    return StringTree(Seq((Text('"'), node, Text('"'))), is_exact)


def _by_length(low: int, high: int | None, max_length: int) -> StringTree:
    is_exact = low <= max_length and (high is None or high <= max_length)
    low = min(low, max_length)
    high = high if high is not None and high <= max_length else None
    if (low, high) == (0, None):
        return StringTree(Rule("string"), is_exact)
    return StringTree(Seq((Text('"'), Repeat(Rule("char"), low, high), Text('"'))), is_exact)


def literal(text: str) -> str:
    """A string's JSON text, in the one spelling that a grammar asks for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(text)
    return json.dumps(text, ensure_ascii=False)


def encoded(node: Node) -> Node | None:
    """A tree of characters as the tree of their JSON spelling; None if some part of it has none."""
    match node:
        case Text(value):
            return Text(literal(value)[1:-1])
        case Chars(ranges):
            return _encoded_chars(ranges)
        case Seq(parts):
            inner = [encoded(part) for part in parts]
            return None if None in inner else Seq(tuple(part for part in inner if part))
        case Alt(options):
            kept = [spelt for option in options if (spelt := encoded(option))]
            return gbnf.alt(*kept) if kept else None
        case Repeat(inner, low, high):
            spelt = encoded(inner)
            return spelt and Repeat(spelt, low, high)
        case Rule() | Json():
            return node


def _encoded_chars(ranges: gbnf.Ranges) -> Node | None:
    if ranges == gbnf.EVERY:
        return Rule("char")
    raw = gbnf.overlap(ranges, _RAW)
    escapes = [spelt for char, spelt in _ESCAPES.items() if any(low <= ord(char) <= high for low, high in ranges)]
    options: list[Node] = [Chars(raw)] if raw else []
    options += [gbnf.words(escapes)] if escapes else []
    return gbnf.alt(*options) if options else None


def span(node: Node) -> tuple[int, int | None]:
    """The number of characters of the shortest and the longest text of a pattern's tree."""
    match node:
        case Text(value):
            return len(value), len(value)
        case Seq(parts):
            spans = [span(part) for part in parts]
            longest = [high for _, high in spans if high is not None]
            return sum(low for low, _ in spans), sum(longest) if len(longest) == len(spans) else None
        case Alt(options):
            spans = [span(option) for option in options]
            longest = [high for _, high in spans if high is not None]
            return min(low for low, _ in spans), max(longest) if len(longest) == len(spans) else None
        case Repeat(inner, low, high):
            shortest, longest = span(inner)
            return low * shortest, None if high is None or longest is None else high * longest
        case Chars() | Rule() | Json():
            return 1, 1
