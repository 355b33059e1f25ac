"""Grammars as trees, and their text in GBNF, the language of llama.cpp's grammars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """These characters, as they are."""

    value: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of sorted, disjoint ranges of code points, both ends included."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Seq:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`node`, `low` to `high` times; without end if `high` is None."""

    node: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """Another rule, by its name: letters, digits and hyphens."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Json:
    """A JSON text of a schema; `grammar` puts a rule in its place, one for each object of this class."""

    schema: object


Node = Text | Chars | Seq | Alt | Repeat | Rule | Json
Rules = Mapping[str, Node]

LAST = 0x10FFFF
EVERY: Ranges = ((0, 0xD7FF), (0xE000, LAST))
"""Every character; halves of surrogate pairs are none."""


def seq(*parts: Node) -> Node:
    return parts[0] if len(parts) == 1 else Seq(parts)


def alt(*options: Node) -> Node:
    return options[0] if len(options) == 1 else Alt(options)


def optional(node: Node) -> Node:
    return Repeat(node, 0, 1)


def many(node: Node, at_most: int, between: str) -> Node:
    """`node` once or more, with `between` between two."""
    return Seq((node, Repeat(Seq((Text(between), node)), 0, at_most - 1))) if at_most > 1 else node


def words(texts: Iterable[str]) -> Node:
    """One of these texts. Common beginnings are shared: an engine then follows few ways at a time."""
    groups: dict[str, list[str]] = {}
    for text in dict.fromkeys(texts):
        groups.setdefault(text[:1], []).append(text)
    return alt(*(_word_group(group) for group in groups.values()))


def _word_group(group: list[str]) -> Node:
    if len(group) == 1:
        return Text(group[0])
    head = _common_head(group)
    return Seq((Text(head), words(text[len(head) :] for text in group)))


def _common_head(texts: list[str]) -> str:
    first, last = min(texts), max(texts)
    for at, char in enumerate(first):
        if at == len(last) or last[at] != char:
            return first[:at]
    return first


def minus(ranges: Ranges, taken: Ranges) -> Ranges:
    """What is in `ranges` and not in `taken`."""
    return overlap(ranges, complement(taken))


def complement(ranges: Ranges) -> Ranges:
    start, free = 0, list[tuple[int, int]]()
    for low, high in union(ranges):
        if start < low:
            free.append((start, low - 1))
        start = high + 1
    if start <= LAST:
        free.append((start, LAST))
    return overlap(tuple(free), EVERY)


def overlap(one: Ranges, other: Ranges) -> Ranges:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple(sorted(pair for pair in pairs if pair[0] <= pair[1]))


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def size(node: Node) -> int:
    """How many elements llama.cpp makes of it: it writes every repetition out."""
    match node:
        case Text(value):
            return len(value)
        case Chars(ranges):
            return 2 * len(ranges)
        case Seq(parts) | Alt(parts):
            return 1 + sum(size(part) for part in parts)
        case Repeat(inner, low, high):
            return (size(inner) + 3) * max(low, high or 0, 1)
        case Rule() | Json():
            return 1


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Seq(parts) | Alt(parts):
            return parts
        case Repeat(inner):
            return (inner,)
        case Text() | Chars() | Rule() | Json():
            return ()


def nodes_of(node: Node) -> Iterator[Node]:
    """The node and all that is in it."""
    yield node
    for child in children(node):
        yield from nodes_of(child)


def is_nullable(node: Node) -> bool:
    """Whether it may be empty. A rule is taken to be never so: rules are JSON values or parts of some."""
    match node:
        case Text(value):
            return not value
        case Seq(parts):
            return all(is_nullable(part) for part in parts)
        case Alt(options):
            return any(is_nullable(option) for option in options)
        case Repeat(inner, low):
            return low == 0 or is_nullable(inner)
        case Chars() | Rule() | Json():
            return False


def render(rules: Rules) -> str:
    """The text of the grammar; `root` is where it starts."""
    lines: list[str] = []
    for name, node in rules.items():
        _Writer(name, lines).write_rule(name, node)
    return "\n".join(lines) + "\n"


class _Writer:
    """Writes one rule, and the rules that its repetitions need."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name = name
        self._lines = lines
        self._num_parts = 0

    def write_rule(self, name: str, node: Node) -> None:
        self._lines.append(f"{name} ::= {self._body(node)}")

    def _body(self, node: Node) -> str:
        if isinstance(node, Alt):
            return " | ".join(self._item(option) for option in node.options)
        return self._item(node)

    def _item(self, node: Node) -> str:
        match node:
            case Text(value):
                return quoted(value)
            case Chars(ranges):
                return f"[{''.join(_range(low, high) for low, high in ranges)}]"
            case Seq(parts):
                return " ".join(self._item(part) for part in parts) or '""'
            case Alt():
                return f"({self._body(node)})"
            case Repeat(inner, low, high):
                return self._repeated(inner) + _times(low, high)
            case Rule(name):
                return name
            case Json():
                raise TypeError("a schema has no rule yet: see grammar.rules_of")

    def _repeated(self, node: Node) -> str:
        if isinstance(node, Rule | Chars | Text):
            return self._item(node)
        if all(isinstance(part, Text | Chars) for part in children(node) or (node,)):
            return f"({self._body(node)})"
        # llama.cpp refuses a repetition that makes 2,000 rules, and counts the rules of what is repeated, too: one, so.
        self._num_parts += 1
        name = f"{self._name}-x{self._num_parts}"
        self.write_rule(name, node)
        return name


def _times(low: int, high: int | None) -> str:
    match low, high:
        case 0, 1:
            return "?"
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case _:
            return f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"


def quoted(text: str) -> str:
    """A literal. Half a surrogate pair, which no engine can write, becomes the replacement character."""
    return '"' + "".join(_char(ord(char)) for char in text) + '"'


def _range(low: int, high: int) -> str:
    return _class_char(low) if low == high else f"{_class_char(low)}-{_class_char(high)}"


def _class_char(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else _escape(code)


def _char(code: int) -> str:
    if 0xD800 <= code <= 0xDFFF:
        code = 0xFFFD
    if chr(code) in '"\\':
        return "\\" + chr(code)
    return chr(code) if 0x20 <= code < 0x7F else _escape(code)


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
