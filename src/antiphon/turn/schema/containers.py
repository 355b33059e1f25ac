"""Objects and arrays of a schema as trees of their JSON text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from antiphon.turn.schema import layout, strings
from antiphon.turn.schema.gbnf import Node, Rule, Seq, Text
from antiphon.turn.schema.kinds import as_count, as_list, as_object, as_texts
from antiphon.turn.schema.layout import Member
from antiphon.turn.schema.merge import Schema

if TYPE_CHECKING:
    from antiphon.turn.schema.build import Builder


def array_of(builder: Builder, schema: Schema, depth: int) -> Node | None:
    low, high = as_count(schema.get("minItems")) or 0, as_count(schema.get("maxItems"))
    if high is not None and low > high:
        return None
    builder.note(schema.get("uniqueItems") is not True or high in (0, 1))
    first, rest = _items_of(schema)
    nodes = [builder.some(part, depth + 1) for part in first[:high]]
    low, high = _clipped(builder, max(low - len(nodes), 0), None if high is None else high - len(nodes))
    rest = True if rest is None and low else rest
    item = builder.values(rest, depth + 1) if high != 0 and rest is not None else None
    if item is None and low:
        return None
    return Seq((Text("["), *layout.array(nodes, item and builder.named(item), low, high), Text("]")))


def _items_of(schema: Schema) -> tuple[list[object], object]:
    """The schemas of the first items and that of the others; None where the schema names no others."""
    first, rest = as_list(schema.get("prefixItems")), schema.get("items")
    if (items := as_list(rest)) is not None:  # before 2020-12
        first, rest = items, schema.get("additionalItems")
    if first is None:
        return [], True if rest is None else rest
    parts = list(itertools.takewhile(lambda part: part is not False, first))
    return parts, rest if len(parts) == len(first) else False


def _clipped(builder: Builder, low: int, high: int | None) -> tuple[int, int | None]:
    most = builder.detail.max_items
    is_kept = low <= most and (high is None or high <= most)
    builder.note(is_kept)
    return min(low, most), high if is_kept else None


def object_of(builder: Builder, schema: Schema, depth: int) -> Node | None:
    named = as_object(schema.get("properties"))
    rest = schema.get("additionalProperties", None if named is not None else True)
    required = as_texts(schema.get("required"))
    properties = {**(named or {}), **_unnamed(builder, schema, named or {}, required, rest)}
    members = _members(builder, properties, set(required), depth)
    extra = _extra(builder, schema, rest, list(properties), depth)
    low, high = as_count(schema.get("minProperties")) or 0, as_count(schema.get("maxProperties"))
    if high is not None and low > high:
        return None
    builder.note(not properties or schema.get("propertyNames", True) is True)
    if members or extra is None:
        num_required = sum(member.is_required for member in members)
        builder.note(low <= num_required and (high is None or (high >= len(members) and extra is None)))
        return layout.laid_out(members, extra and builder.named(extra), builder.named)
    builder.note(low < 2)  # one key twice is one member
    low, high = _clipped(builder, low, high)
    high = max(low, layout.MAX_FREE) if high is None else high
    return Seq((Text("{"), layout.listed(builder.named(extra), low, high), Text("}")))


def _unnamed(
    builder: Builder, schema: Schema, named: Schema, required: Sequence[str], rest: object
) -> dict[str, object]:
    """Properties that are required and not named: they may be what other properties may be."""
    missing = [name for name in required if name not in named]
    is_patterned = "patternProperties" in schema
    builder.note(not missing or (rest is not False and not is_patterned))
    if rest is False and not is_patterned:
        return {}
    return dict.fromkeys(missing, True if as_object(rest) is None else rest)


def _members(builder: Builder, properties: Schema, required: set[str], depth: int) -> list[Member]:
    members: list[Member] = []
    for name, part in properties.items():
        node = builder.values(part, depth + 1)
        builder.note(node is not None or name not in required)
        if node:
            members.append(Member(Seq((Text(strings.literal(name)), layout.COLON, node)), name in required))
    return members


def _extra(builder: Builder, schema: Schema, rest: object, taken: list[str], depth: int) -> Node | None:
    """A member that the schema does not name, or None if there are none."""
    by_pattern = as_object(schema.get("patternProperties")) or {}
    if len(by_pattern) == 1 and not taken and as_object(rest) is None and "propertyNames" not in schema:
        ((pattern, part),) = by_pattern.items()
        key = strings.string_of({"pattern": pattern}, 0, builder.detail.max_pattern)
        node = builder.values(part, depth + 1)
        if key and key.is_exact and node:
            return Seq((key.node, layout.COLON, node))
    builder.note(not by_pattern)
    if rest is None or rest is False:
        return None
    key = _key(builder, schema.get("propertyNames", True), taken, depth)
    node = builder.values(rest, depth + 1)
    return Seq((key, layout.COLON, node)) if key and node else None


def _key(builder: Builder, names: object, taken: list[str], depth: int) -> Node | None:
    if taken:
        return layout.other_key(taken)
    if names is True:
        return Rule("string")
    return builder.values({"allOf": [{"type": "string"}, names]}, depth)
