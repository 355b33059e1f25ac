"""Numbers of a schema as trees of their JSON text. None is endless: small models like to write digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from antiphon.turn.schema import gbnf
from antiphon.turn.schema.gbnf import Chars, Node, Repeat, Rule, Seq, Text
from antiphon.turn.schema.kinds import as_number

_MAX_DIGITS = 18
_LIMIT = 10**_MAX_DIGITS - 1
_DIGIT = Chars(((48, 57),))
_NONZERO = Chars(((49, 57),))
_SIGN = gbnf.optional(Text("-"))
_FRACTION = gbnf.optional(Seq((Text("."), Repeat(_DIGIT, 1, 16))))
_PLUS_MINUS = gbnf.optional(Chars(((43, 43), (45, 45))))
_EXPONENT = gbnf.optional(Seq((Chars(((69, 69), (101, 101))), _PLUS_MINUS, Repeat(_DIGIT, 1, 2))))


def _natural(num_digits: int) -> Node:
    return gbnf.alt(Text("0"), Seq((_NONZERO, Repeat(_DIGIT, 0, num_digits - 1))))


SHARED: Mapping[str, Node] = {
    "integer": Seq((_SIGN, _natural(_MAX_DIGITS))),
    "number": Seq((_SIGN, _natural(16), _FRACTION, _EXPONENT)),
}


class Bounds(NamedTuple):
    """The least and the greatest value, and whether they are excluded themselves; None for no bound."""

    low: float | None
    high: float | None
    is_low_out: bool = False
    is_high_out: bool = False


class NumberTree(NamedTuple):
    """The JSON text of a number; `is_exact` is false if numbers are let through that the schema forbids."""

    node: Node
    is_exact: bool


def bounds_of(schema: Mapping[str, object]) -> Bounds:
    """The bounds that a schema states; in old drafts `exclusiveMinimum: true` says that `minimum` itself is out."""
    low, below = as_number(schema.get("minimum")), as_number(schema.get("exclusiveMinimum"))
    high, above = as_number(schema.get("maximum")), as_number(schema.get("exclusiveMaximum"))
    is_low_out = below is not None and (low is None or below >= low)
    is_high_out = above is not None and (high is None or above <= high)
    return Bounds(
        below if is_low_out else low,
        above if is_high_out else high,
        is_low_out or schema.get("exclusiveMinimum") is True,
        is_high_out or schema.get("exclusiveMaximum") is True,
    )


def integer_of(bounds: Bounds) -> NumberTree | None:
    """The integers between the bounds; None if there are none."""
    low = None if bounds.low is None else math.ceil(bounds.low)
    high = None if bounds.high is None else math.floor(bounds.high)
    low = low + 1 if low is not None and bounds.is_low_out and low == bounds.low else low
    high = high - 1 if high is not None and bounds.is_high_out and high == bounds.high else high
    if low is not None and high is not None and low > high:
        return None
    if (low is None or low <= -_LIMIT) and (high is None or high >= _LIMIT):
        return NumberTree(Rule("integer"), is_exact=True)
    if (low is not None and low > _LIMIT) or (high is not None and high < -_LIMIT):
        return NumberTree(Rule("integer"), is_exact=False)
    low, high = max(low if low is not None else -_LIMIT, -_LIMIT), min(high if high is not None else _LIMIT, _LIMIT)
    options = [Seq((Text("-"), node)) for node in _naturals(max(1, -high), -low)]
    return NumberTree(gbnf.alt(*options, *_naturals(max(0, low), high)), is_exact=True)


def _naturals(low: int, high: int) -> list[Node]:
    """The integers from `low` to `high`, which are not negative: one tree for each number of digits, or for many."""
    options: list[Node] = []
    while low <= high:
        if low == 10 ** (len(str(low)) - 1) and (most := len(str(high + 1)) - 1) >= len(str(low)):
            options.append(Seq((_NONZERO, Repeat(_DIGIT, len(str(low)) - 1, most - 1))))
            low = 10**most
        else:
            end = min(high, 10 ** len(str(low)) - 1)
            options.append(_between(str(low), str(end)))
            low = end + 1
    return options


def _between(low: str, high: str) -> Node:
    """The numerals from `low` to `high`, which have as many digits as each other."""
    if not low:
        return Text("")
    head, tail, num_left = low[0], low[1:], len(low) - 1
    if head == high[0]:
        return Seq((Text(head), _between(tail, high[1:]))) if tail else Text(head)
    first, last = int(head), int(high[0])
    options: list[Node] = []
    if tail.strip("0"):
        options.append(Seq((Text(head), _between(tail, "9" * num_left))))
        first += 1
    if is_ragged := bool(high[1:].strip("9")):
        last -= 1
    if first <= last:
        rest = [Repeat(_DIGIT, num_left, num_left)] if num_left else []
        options.append(gbnf.seq(Chars(((48 + first, 48 + last),)), *rest))
    if is_ragged:
        options.append(Seq((Text(high[0]), _between("0" * num_left, high[1:]))))
    return gbnf.alt(*options)


def number_of(bounds: Bounds) -> NumberTree | None:
    """The numbers between the bounds; None if there are none. Only whole bounds from 0 on are kept exactly."""
    low, high, is_low_out, is_high_out = bounds
    if low is not None and high is not None and (low > high or (low == high and (is_low_out or is_high_out))):
        return None
    if low is None and high is None:
        return NumberTree(Rule("number"), is_exact=True)
    if low is None or low < 0:
        return NumberTree(Rule("number"), is_exact=False)
    start, is_exact = math.floor(low), low == math.floor(low) and not is_low_out
    if high is None:
        node = gbnf.alt(*(gbnf.seq(node, _FRACTION) for node in _naturals(start, _LIMIT)))
        return NumberTree(node, is_exact and start <= _LIMIT) if start <= _LIMIT else None
    end = math.floor(high)
    if end > _LIMIT:
        return NumberTree(Rule("number"), is_exact=False)
    options = [gbnf.seq(node, _FRACTION) for node in _naturals(start, end - 1 if end == high else end)]
    if end == high and not is_high_out:
        options.append(Text(str(end)))
    return NumberTree(gbnf.alt(*options), is_exact and end == high)
