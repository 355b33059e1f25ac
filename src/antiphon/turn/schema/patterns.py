"""Regular expressions of schemas as trees of characters: the part of ECMAScript's that a grammar can say.

Not read, so None: look-arounds, back-references, word borders, `\\p{...}`, flags, and anchors in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from antiphon.turn.schema import gbnf
from antiphon.turn.schema.gbnf import EVERY, Chars, Node, Ranges, Repeat, Text

MAX_PATTERN = 2000
_MAX_NESTING = 20
_QUANTIFIER = re.compile(r"(?:([*+?])|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})\??")
_GROUP = re.compile(r"\((?:\?:|\?P?<(?![=!])\w+>|(?!\?))")
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_THIN_SPACES = "".join(map(chr, range(0x2000, 0x200B)))
_SPACE: Ranges = gbnf.union(
    (ord(char), ord(char)) for char in "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + _THIN_SPACES
)
_NO_DOT: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))
_CLASSES: dict[str, Ranges] = {
    "d": _DIGIT,
    "w": _WORD,
    "s": _SPACE,
    "D": gbnf.complement(_DIGIT),
    "W": gbnf.complement(_WORD),
    "S": gbnf.complement(_SPACE),
}
_ANYTHING = Repeat(Chars(EVERY), 0, None)


class _UnreadError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Edge:
    sign: str


@dataclass(frozen=True, slots=True)
class _Group:
    options: list[list[_Part]]


_Part = Node | _Edge | _Group


@lru_cache(maxsize=1000)
def tree_of(pattern: str) -> Node | None:
    """The texts in which the pattern finds something, or None if it says what cannot be read here."""
    if len(pattern) > MAX_PATTERN:
        return None
    try:
        return _Reader(pattern).read()
    except _UnreadError:
        return None


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._nesting = 0

    def read(self) -> Node:
        options = self._options()
        if self._at < len(self._pattern):
            raise _UnreadError
        return gbnf.alt(*_wholes(options))

    def _options(self) -> list[list[_Part]]:
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        return options

    def _sequence(self) -> list[_Part]:
        parts: list[_Part] = []
        while (char := self._peek()) and char not in "|)":
            parts.append(self._quantified(self._atom()))
        return parts

    def _quantified(self, atom: _Part) -> _Part:
        match = _QUANTIFIER.match(self._pattern, self._at)
        if not match:
            return atom
        self._at = match.end()
        low, high = _bounds(*match.groups())
        if self._peek() in ("*", "+", "?") or (high is not None and low > high):
            raise _UnreadError
        return _repeated(_node([atom]), low, high)

    def _atom(self) -> _Part:
        char = self._peek()
        if char == "(":
            return self._group()
        self._at += 1
        match char:
            case "^" | "$":
                return _Edge(char)
            case "[":
                return Chars(self._class())
            case ".":
                return Chars(gbnf.complement(_NO_DOT))
            case "\\":
                return Chars(self._escape())
            case "*" | "+" | "?":
                raise _UnreadError
            case _:
                return Text(char)

    def _group(self) -> _Group:
        match = _GROUP.match(self._pattern, self._at)
        self._nesting += 1
        if not match or self._nesting > _MAX_NESTING:
            raise _UnreadError
        self._at = match.end()
        options = self._options()
        if self._peek() != ")":
            raise _UnreadError
        self._at += 1
        self._nesting -= 1
        return _Group(options)

    def _class(self) -> Ranges:
        is_negated = self._peek() == "^"
        self._at += is_negated
        ranges: list[tuple[int, int]] = []
        while (char := self._peek()) != "]":
            if not char:
                raise _UnreadError
            ranges += self._class_part()
        self._at += 1
        found = gbnf.overlap(gbnf.union(ranges), EVERY)
        found = gbnf.complement(found) if is_negated else found
        if not found:
            raise _UnreadError
        return found

    def _class_part(self) -> Ranges:
        first = self._class_char()
        pattern, at = self._pattern, self._at
        if pattern[at : at + 1] != "-" or pattern[at + 1 : at + 2] in ("]", ""):
            return first
        self._at += 1
        low, high = _only(first), _only(self._class_char())
        if low > high:
            raise _UnreadError
        return ((low, high),)

    def _class_char(self) -> Ranges:
        char = self._peek()
        self._at += 1
        if char != "\\":
            return ((ord(char), ord(char)),)
        if self._peek() == "b":
            self._at += 1
            return ((8, 8),)
        return self._escape()

    def _escape(self) -> Ranges:
        char = self._peek()
        if match := _CODE.match(self._pattern, self._at):
            self._at = match.end()
            code = int(next(filter(None, match.groups())), 16)
            if code > gbnf.LAST:
                raise _UnreadError
            return ((code, code),)
        self._at += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS and not (char == "0" and self._peek().isdigit()):
            return ((_CONTROLS[char], _CONTROLS[char]),)
        if not char or char.isalnum():
            raise _UnreadError
        return ((ord(char), ord(char)),)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]


def _only(ranges: Ranges) -> int:
    match ranges:
        case ((low, high),) if low == high:
            return low
        case _:
            raise _UnreadError


def _bounds(sign: str | None, low: str | None, comma: str | None, high: str | None) -> tuple[int, int | None]:
    if sign or low is None:
        return (1 if sign == "+" else 0), (1 if sign == "?" else None)
    return int(low), int(high) if high else None if comma else int(low)


def _repeated(node: Node, low: int, high: int | None) -> Node:
    """The repetition. What may be empty is not repeated as it is: an engine would take that for left recursion."""
    if high == 0:
        return Text("")
    if not gbnf.is_nullable(node):
        return Repeat(node, low, high)
    if (low, high) in ((0, 1), (1, 1)):
        return node
    if isinstance(node, Repeat) and not gbnf.is_nullable(node.node):
        return Repeat(node.node, 0, None if high is None or node.high is None else high * node.high)
    raise _UnreadError


def _wholes(options: list[list[_Part]], is_open_before: bool = True, is_open_after: bool = True) -> Iterator[Node]:
    """Each option as a tree of whole texts: where no anchor stands, anything may."""
    for option in options:
        is_open = [is_open_before, is_open_after]
        for end, sign in ((0, "^"), (-1, "$")):
            while option and option[end] == _Edge(sign):
                is_open[end] = False
                option = option[1:] if end == 0 else option[:-1]
        match option:
            case [_Group(inner)]:
                yield from _wholes(inner, *is_open)
            case _:
                before, after = ([_ANYTHING] if is_free else [] for is_free in is_open)
                yield gbnf.seq(*before, _node(option), *after)


def _node(parts: list[_Part]) -> Node:
    return gbnf.seq(*map(_plain, parts))


def _plain(part: _Part) -> Node:
    match part:
        case _Edge():
            raise _UnreadError
        case _Group(options):
            return gbnf.alt(*map(_node, options))
        case _:
            return part
