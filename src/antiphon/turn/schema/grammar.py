"""Grammars for llama.cpp out of JSON schemas.

A form is a tree of `gbnf` nodes, with a `Json` node where a value of a schema is to stand:

    call = seq(Text('{"name": "x", "arguments": '), Json(schema), Text("}"))
    grammar_of(many(alt(call, another), at_most=8, between="\\n")).text

Nothing that is given as a schema makes this fail. What would make the grammar too large is left out step by step,
the schema that takes the most first; at worst any object, or any value, is let through.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from antiphon.turn.jsontext import json_text
from antiphon.turn.schema import build, gbnf
from antiphon.turn.schema.build import Built, Detail, TooLargeError
from antiphon.turn.schema.gbnf import Alt, Json, Node, Repeat, Rule, Seq
from antiphon.turn.schema.kinds import as_object

MAX_SIZE = 40_000
"""Elements of all rules, repetitions written out. The engine makes these of a grammar in some ten milliseconds."""
_DETAILS = (
    Detail(max_length=512, max_items=200, max_values=1000, max_depth=40, max_pattern=2000),
    Detail(max_length=64, max_items=20, max_values=200, max_depth=12, max_pattern=300),
    Detail(max_length=0, max_items=0, max_values=50, max_depth=5, max_pattern=0),
    Detail(max_length=0, max_items=0, max_values=20, max_depth=1, max_pattern=0),
)


class Grammar(NamedTuple):
    """A grammar's text in GBNF. `is_exact` says that every JSON text in it is valid under its schema."""

    text: str
    is_exact: bool


def grammar_of(form: Node) -> Grammar:
    """The grammar of a form; of `Json(schema)` alone, that of one JSON document."""
    rules, is_exact = rules_of(form)
    return Grammar(gbnf.render(rules), is_exact)


def rules_of(form: Node) -> tuple[dict[str, Node], bool]:
    """The rules behind `grammar_of`, and whether they are exact."""
    schemas = list(dict.fromkeys(node for node in gbnf.nodes_of(form) if isinstance(node, Json)))
    found = _fitted([_Candidate(node.schema, f"json{number}") for number, node in enumerate(schemas)])
    names = {node: Rule(f"json{number}") for number, node in enumerate(schemas)}
    rules = {"root": _replaced(form, names)}
    for built in found:
        rules |= built.rules
    return _with_shared(rules), all(built.is_exact for built in found)


def compiles(schema: object) -> bool:
    """Whether a grammar can hold a text to any of this schema: of one that is too large, it lets everything through."""
    return _compiles(json_text(schema))


@lru_cache(maxsize=64)
def _compiles(text: str) -> bool:
    """Agents send the same schemas with every turn, and a large one takes a while."""
    return not _Candidate(json.loads(text), "json").is_last


class _Candidate:
    """One schema at the greatest detail that is still allowed to it."""

    def __init__(self, schema: object, name: str) -> None:
        self._schema = schema
        self._name = name
        self._level = -1
        self.built = Built({}, is_exact=False)
        self.size = MAX_SIZE
        self.is_last = False
        self.lower()

    def lower(self) -> None:
        """Leaves out more, until it fits into a grammar by itself."""
        while not self.is_last:
            self._level += 1
            if self._level == len(_DETAILS):
                self._give_up()
                return
            try:
                self.built = build.build(self._schema, self._name, _DETAILS[self._level])
            except TooLargeError:
                continue
            self.size = sum(map(gbnf.size, self.built.rules.values()))
            if self.size <= MAX_SIZE:
                return

    def _give_up(self) -> None:
        self.is_last, self.size = True, 1
        schema = as_object(self._schema) or {}
        whole = build.ANY_OF_TYPE["object"] if schema.get("type") == "object" else build.ANY
        self.built = Built({self._name: whole}, is_exact=False)


def _fitted(candidates: Sequence[_Candidate]) -> list[Built]:
    while sum(candidate.size for candidate in candidates) > MAX_SIZE:
        largest = max((one for one in candidates if not one.is_last), key=lambda one: one.size, default=None)
        if largest is None:
            break
        largest.lower()
    return [candidate.built for candidate in candidates]


def _replaced(node: Node, names: dict[Json, Rule]) -> Node:
    match node:
        case Json():
            return names[node]
        case Seq(parts):
            return Seq(tuple(_replaced(part, names) for part in parts))
        case Alt(options):
            return Alt(tuple(_replaced(option, names) for option in options))
        case Repeat(inner, low, high):
            return Repeat(_replaced(inner, names), low, high)
        case _:
            return node


def _with_shared(rules: dict[str, Node]) -> dict[str, Node]:
    """The rules, and those shared ones that they need."""
    todo = list(rules.values())
    while todo:
        for node in gbnf.nodes_of(todo.pop()):
            if isinstance(node, Rule) and node.name not in rules:
                rules[node.name] = build.SHARED[node.name]
                todo.append(rules[node.name])
    return rules
