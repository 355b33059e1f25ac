"""The language of a grammar: texts drawn from it, and whether it holds a text. Slow and plain, for tests."""

from __future__ import annotations

from random import Random

from antiphon.turn.schema.gbnf import Alt, Chars, Json, Node, Repeat, Rule, Rules, Seq, Text

_FAR = 10_000


def draw(rules: Rules, random: Random, num_choices: int = 60) -> str:
    """A text of the grammar; after `num_choices` free choices it takes the shortest way out."""
    return _Writer(rules, random, num_choices).write(Rule("root"))


class _Writer:
    def __init__(self, rules: Rules, random: Random, num_choices: int) -> None:
        self._rules = rules
        self._random = random
        self._num_left = num_choices
        self._heights = dict.fromkeys(rules, _FAR)
        while self._lowered():
            pass

    def write(self, node: Node) -> str:
        match node:
            case Text(value):
                return value
            case Chars(ranges):
                low, high = self._random.choice(ranges)
                return chr(self._random.randint(low, min(high, low + 200)))
            case Seq(parts):
                return "".join(map(self.write, parts))
            case Alt(options):
                return self.write(self._chosen(options))
            case Repeat(inner, low, high):
                return "".join(self.write(inner) for _ in range(self._times(low, high)))
            case Rule(name):
                return self.write(self._rules[name])
            case Json():
                raise TypeError

    def _chosen(self, options: tuple[Node, ...]) -> Node:
        self._num_left -= 1
        if self._num_left > 0:
            return self._random.choice(options)
        return min(options, key=self._height)

    def _times(self, low: int, high: int | None) -> int:
        self._num_left -= 1
        if self._num_left <= 0:
            return low
        return self._random.randint(low, low + 2 if high is None else min(high, low + 3))

    def _lowered(self) -> bool:
        is_lowered = False
        for name, node in self._rules.items():
            if (height := self._height(node) + 1) < self._heights[name]:
                self._heights[name] = height
                is_lowered = True
        return is_lowered

    def _height(self, node: Node) -> int:
        match node:
            case Seq(parts):
                return max(map(self._height, parts), default=0)
            case Alt(options):
                return min(map(self._height, options))
            case Repeat(inner, low):
                return self._height(inner) if low else 0
            case Rule(name):
                return self._heights[name]
            case _:
                return 0


def holds(rules: Rules, text: str) -> bool:
    """Whether the grammar holds the text."""
    return len(text) in _Reader(rules, text).ends(Rule("root"), 0)


def holds_tree(node: Node, text: str) -> bool:
    return holds({"root": node}, text)


class _Reader:
    def __init__(self, rules: Rules, text: str) -> None:
        self._rules = rules
        self._text = text
        self._known: dict[tuple[str, int], set[int]] = {}

    def ends(self, node: Node, start: int) -> set[int]:
        """Where texts of `node` that begin at `start` may end."""
        match node:
            case Text(value):
                return {start + len(value)} if self._text.startswith(value, start) else set()
            case Chars(ranges):
                code = ord(self._text[start]) if start < len(self._text) else -1
                return {start + 1} if any(low <= code <= high for low, high in ranges) else set()
            case Seq(parts):
                places = {start}
                for part in parts:
                    places = {end for place in places for end in self.ends(part, place)}
                return places
            case Alt(options):
                return {end for option in options for end in self.ends(option, start)}
            case Repeat(inner, low, high):
                return self._repeated(inner, low, high, start)
            case Rule(name):
                if (name, start) not in self._known:
                    self._known[name, start] = self.ends(self._rules[name], start)
                return self._known[name, start]
            case Json():
                raise TypeError

    def _repeated(self, inner: Node, low: int, high: int | None, start: int) -> set[int]:
        places, found = {start}, set[int]()
        for count in range(len(self._text) + low + 1 if high is None else high + 1):
            if count >= low:
                if places <= found:
                    break
                found |= places
            places = {end for place in places for end in self.ends(inner, place)}
        return found
