"""Rules that no engine could follow: those that may begin with themselves, and those that never come to an end."""

from __future__ import annotations

import itertools

from antiphon.turn.schema import gbnf
from antiphon.turn.schema.gbnf import Alt, Node, Repeat, Rule, Rules, Seq


def left_recursive(rules: Rules) -> str | None:
    """The name of a rule that may begin with itself, if there is one."""
    first = {name: _first_rules(node) for name, node in rules.items()}
    done: set[str] = set()
    for start in rules:
        trail = set[str]()
        todo = [(start, False)]
        while todo:
            name, is_left = todo.pop()
            if is_left:
                trail.discard(name)
                done.add(name)
            elif name in trail:
                return name
            elif name not in done and name in rules:
                trail.add(name)
                todo += [(name, True), *((other, False) for other in first[name])]
    return None


def _first_rules(node: Node) -> list[str]:
    """The rules that a text of `node` may begin with."""
    match node:
        case Rule(name):
            return [name]
        case Seq(parts):
            num_empty = sum(1 for _ in itertools.takewhile(gbnf.is_nullable, parts))
            return [name for part in parts[: num_empty + 1] for name in _first_rules(part)]
        case _:
            return [name for child in gbnf.children(node) for name in _first_rules(child)]


def endless(rules: Rules) -> set[str]:
    """The names of the rules that have no text at all, for each text would hold another of the same rule."""
    left = dict(rules)
    is_shrinking = True
    while is_shrinking:
        ending = [name for name, node in left.items() if _ends(node, left)]
        for name in ending:
            del left[name]
        is_shrinking = bool(ending)
    return set(left)


def _ends(node: Node, open_rules: Rules) -> bool:
    match node:
        case Rule(name):
            return name not in open_rules
        case Alt(options):
            return any(_ends(option, open_rules) for option in options)
        case Repeat(inner, low):
            return low == 0 or _ends(inner, open_rules)
        case _:
            return all(_ends(child, open_rules) for child in gbnf.children(node))
