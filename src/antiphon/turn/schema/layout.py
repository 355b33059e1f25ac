"""Members, items and constants: how JSON text is put together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from antiphon.turn.schema import gbnf, strings
from antiphon.turn.schema.gbnf import Chars, Node, Ranges, Repeat, Rule, Seq, Text
from antiphon.turn.schema.kinds import as_list, as_object

MAX_FREE = 64
"""Members of an object whose schema names none: small models like to write one again and again, for ever."""
_MAX_EXTRA = 16
"""Members that a schema allows beside those that it names."""
_MAX_KEY_CHARS = 600
_PLAIN: Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0x80, 0xD7FF), (0xE000, gbnf.LAST))

COMMA = Seq((Text(","), gbnf.optional(Text(" "))))
COLON = Seq((Text(":"), gbnf.optional(Text(" "))))


class Member(NamedTuple):
    """The key, the colon and the value of a property."""

    node: Node
    is_required: bool


def listed(item: Node, low: int = 0, high: int | None = None) -> Node:
    """`low` to `high` items with commas between."""
    if high == 0:
        return Text("")
    rest = Repeat(Seq((COMMA, item)), max(low - 1, 0), None if high is None else high - 1)
    whole = Seq((item, rest)) if high != 1 else item
    return whole if low else gbnf.optional(whole)


def array(first: Sequence[Node], item: Node | None = None, low: int = 0, high: int | None = None) -> Iterable[Node]:
    """The inside of an array: all of `first`, then `low` to `high` of `item`."""
    if not first:
        return [listed(item, low, high)] if item else []
    nodes = [first[0], *(Seq((COMMA, node)) for node in first[1:])]
    return [*nodes, Repeat(Seq((COMMA, item)), low, high)] if item and high != 0 else nodes


def laid_out(members: Sequence[Member], extra: Rule | None, named: Callable[[Node], Rule]) -> Node:
    """An object with these members in their order, those that are not required present or not, then some of `extra`.

    A comma stands before every member but the first, so there is a way for each member that may be the first.
    """
    if not members:
        return Text("{}")
    num_heads = next((at for at, member in enumerate(members) if member.is_required), len(members) - 1) + 1
    tail = [_after(member) for member in members[num_heads:]]
    tail += [Repeat(Seq((COMMA, extra)), 0, _MAX_EXTRA)] if extra else []
    ways: list[Node] = []
    for member in reversed(members[:num_heads]):
        if num_heads > 1:
            member, tail = Member(named(member.node), member.is_required), [named(Seq(tuple(tail)))] if tail else []
        ways.insert(0, Seq((member.node, *tail)))
        tail = [_after(member), *tail]
    if any(member.is_required for member in members):
        return Seq((Text("{"), gbnf.alt(*ways), Text("}")))
    if extra:
        ways.append(Seq((extra, Repeat(Seq((COMMA, extra)), 0, _MAX_EXTRA))))
    return Seq((Text("{"), gbnf.optional(gbnf.alt(*ways)), Text("}")))


def _after(member: Member) -> Node:
    node = Seq((COMMA, member.node))
    return node if member.is_required else gbnf.optional(node)


def other_key(taken: Sequence[str]) -> Node | None:
    """A key that is none of `taken`, without escapes, for those could spell one of them; None if there are too many."""
    if sum(map(len, taken)) > _MAX_KEY_CHARS:
        return None
    return Seq((Text('"'), _unlike({key for key in taken if strings.literal(key) == f'"{key}"'}), Text('"')))


def _unlike(keys: set[str]) -> Node:
    """Any plain text but `keys`, nor the empty one."""
    heads = sorted({key[0] for key in keys if key})
    tails = {head: {key[1:] for key in keys if key.startswith(head)} for head in heads}
    free = gbnf.minus(_PLAIN, gbnf.union((ord(head), ord(head)) for head in heads))
    options: list[Node] = [Seq((Chars(free), Repeat(Chars(_PLAIN), 0, None)))]
    for head, rest in tails.items():
        longer = _unlike(rest)
        options.append(Seq((Text(head), longer if "" in rest else gbnf.optional(longer))))
    return gbnf.alt(*options)


def constant(value: object) -> Node:
    """The JSON text of a value, with a space or none after `:` and `,`. A number that JSON has not is `null`."""
    if (members := as_object(value)) is not None:
        pairs = [Seq((Text(strings.literal(key)), COLON, constant(item))) for key, item in members.items()]
        return Seq((Text("{"), *array(pairs), Text("}")))
    if (items := as_list(value)) is not None:
        return Seq((Text("["), *array([constant(item) for item in items]), Text("]")))
    if isinstance(value, str):
        return Text(strings.literal(value))
    text = json.dumps(value)
    return Text("null" if text in ("NaN", "Infinity", "-Infinity") else text)
