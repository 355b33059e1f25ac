"""Patterns held against texts, in time that grows with the text's length and with nothing else.

Python's own matcher can take years over `(a+)+$`, and a schema comes from outside.
"""

from __future__ import annotations

from functools import lru_cache

from antiphon.turn.schema.gbnf import Alt, Chars, Json, Node, Ranges, Repeat, Rule, Seq, Text
from antiphon.turn.schema.patterns import tree_of

_MAX_STATES = 5000
_MAX_STEPS = 3_000_000
_MAX_REMEMBERED = 5000


def matches(pattern: str, text: str) -> bool | None:
    """Whether the pattern finds something in the text; None if nobody can say in time."""
    machine = _machine_of(pattern)
    return machine and machine.accepts(text)


@lru_cache(maxsize=500)
def _machine_of(pattern: str) -> _Machine | None:
    tree = tree_of(pattern)
    if tree is None:
        return None
    machine = _Machine()
    try:
        machine.start = machine.built(tree, machine.end)
    except _TooLargeError:
        return None
    return machine


class _TooLargeError(Exception):
    pass


class _Machine:
    """Thompson's automaton. A state is either a test of one character and where it leads, or only ways onward."""

    def __init__(self) -> None:
        self._tests: list[Ranges] = []
        self._ways: list[list[int]] = []
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self.end = self._state((), [])
        self.start = self.end

    def accepts(self, text: str) -> bool | None:
        if len(text) * len(self._tests) > _MAX_STEPS:
            return None
        current = self._reached([self.start])
        for char in text:
            current = self._next(current, char)
            if not current:
                return False
        return self.end in current

    def built(self, node: Node, onward: int) -> int:
        """The state from which `node` leads to `onward`."""
        match node:
            case Text(value):
                for char in reversed(value):
                    onward = self._state(((ord(char), ord(char)),), [onward])
                return onward
            case Chars(ranges):
                return self._state(ranges, [onward])
            case Seq(parts):
                for part in reversed(parts):
                    onward = self.built(part, onward)
                return onward
            case Alt(options):
                return self._state((), [self.built(option, onward) for option in options])
            case Repeat(inner, low, high):
                return self._repeated(inner, low, high, onward)
            case Rule() | Json():
                raise TypeError("a pattern has no rules")

    def _repeated(self, inner: Node, low: int, high: int | None, onward: int) -> int:
        if high is None:
            after, onward = onward, self._state((), [])
            self._ways[onward] = [self.built(inner, onward), after]
        else:
            after = onward
            for _ in range(high - low):
                onward = self._state((), [self.built(inner, onward), after])
        for _ in range(low):
            onward = self.built(inner, onward)
        return onward

    def _state(self, test: Ranges, ways: list[int]) -> int:
        if len(self._tests) >= _MAX_STATES:
            raise _TooLargeError
        self._tests.append(test)
        self._ways.append(ways)
        return len(self._tests) - 1

    def _next(self, current: frozenset[int], char: str) -> frozenset[int]:
        known = self._known.get((current, char))
        if known is None:
            code = ord(char)
            hits = (state for state in current if any(low <= code <= high for low, high in self._tests[state]))
            known = self._reached([way for state in hits for way in self._ways[state]])
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[current, char] = known
        return known

    def _reached(self, todo: list[int]) -> frozenset[int]:
        found: set[int] = set()
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                if not self._tests[state]:
                    todo += self._ways[state]
        return frozenset(found)
