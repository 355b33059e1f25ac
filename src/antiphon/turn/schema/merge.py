"""Two schemas that must both hold, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from antiphon.turn.schema.kinds import as_list, as_number, as_object, as_texts

Schema = Mapping[str, object]

ANNOTATIONS = frozenset(
    "title description default examples deprecated readOnly writeOnly $comment $schema $id id $anchor $dynamicAnchor "
    "$vocabulary $defs definitions discriminator example externalDocs xml contentEncoding contentMediaType "
    "contentSchema format x-order nullable".split()
)
"""What does not decide which values are valid. (`format` decides only how a string is written, `nullable` is apart.)"""

_LOW = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"))
_HIGH = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"))


_MAX_DEPTH = 8


class ConflictError(Exception):
    """No value can be valid under both."""


def constraints(schema: Schema) -> dict[str, object]:
    """The keywords that decide something."""
    return {key: value for key, value in schema.items() if key not in ANNOTATIONS and not key.startswith("x-")}


class Merger:
    """Merges schemas; `is_exact` turns false when the result lets more through than both together."""

    def __init__(self, resolve: Callable[[Schema], object]) -> None:
        self._resolve = resolve
        self.is_exact = True

    def both(self, one: object, other: object, depth: int = 0) -> object:
        """A schema for what is valid under both. Raises ConflictError if nothing can be."""
        if one is False or other is False:
            raise ConflictError
        first, second = as_object(one), as_object(other)
        if first is None or second is None:
            return other if first is None else one
        if depth > _MAX_DEPTH:
            self.is_exact = False
            return first
        if constraints(first) and constraints(second):
            first, second = self.opened(first), self.opened(second)
        merged = dict(first)
        for key, value in second.items():
            merged[key] = self._keyword(key, merged[key], value, depth) if key in merged else value
        self._close(merged, first, second)
        is_tuple_once = ("prefixItems" in first) != ("prefixItems" in second)
        self.is_exact = self.is_exact and not (is_tuple_once and "items" in merged)
        return merged

    def opened(self, schema: dict[str, object]) -> dict[str, object]:
        """The schema without `$ref`: what it leads to is merged in."""
        for _ in range(8):
            if "$ref" not in schema:
                return schema
            target = self._resolve(schema)
            schema = {key: value for key, value in schema.items() if key != "$ref"}
            if found := as_object(target):
                schema = as_object(self.both(found, schema, _MAX_DEPTH)) or {}
            elif target is False:
                raise ConflictError
            else:
                self.is_exact = self.is_exact and target in (True, {})
        self.is_exact = False
        return {key: value for key, value in schema.items() if key != "$ref"}

    def _keyword(self, key: str, one: object, other: object, depth: int) -> object:
        if one == other or key in ANNOTATIONS:
            return one
        match key:
            case "type":
                return _types(one, other)
            case "properties" | "patternProperties" | "$defs" | "definitions":
                return self._named(one, other, depth)
            case "required":
                return list(dict.fromkeys([*as_texts(one), *as_texts(other)]))
            case "enum":
                return _common(as_list(one) or [], as_list(other) or [])
            case "const":
                raise ConflictError
            case "items" | "additionalProperties" | "propertyNames" | "additionalItems":
                return self._part(one, other, depth)
            case "allOf":
                return [*(as_list(one) or ()), *(as_list(other) or ())]
            case _:
                return self._bound(key, one, other)

    def _bound(self, key: str, one: object, other: object) -> object:
        first, second = as_number(one), as_number(other)
        if first is None or second is None or key not in _LOW | _HIGH:
            self.is_exact = False
            return one
        return max(first, second) if key in _LOW else min(first, second)

    def _part(self, one: object, other: object, depth: int) -> object:
        try:
            return self.both(one, other, depth + 1)
        except ConflictError:
            return False

    def _named(self, one: object, other: object, depth: int) -> object:
        merged = dict(as_object(one) or {})
        for name, value in (as_object(other) or {}).items():
            merged[name] = self._part(merged[name], value, depth) if name in merged else value
        return merged

    def _close(self, merged: dict[str, object], one: Schema, other: Schema) -> None:
        """What only one side names, the other may forbid."""
        named = dict(as_object(merged.get("properties")) or {})
        for side in (one, other):
            rest = side.get("additionalProperties", True)
            foreign = named.keys() - (as_object(side.get("properties")) or {}).keys() if rest is not True else ()
            for name in foreign:
                if rest is False and "patternProperties" not in side and name not in as_texts(merged.get("required")):
                    named[name] = False
                else:
                    self.is_exact = False
        if named:
            merged["properties"] = named


def _types(one: object, other: object) -> list[str]:
    names, others = type_names(one), type_names(other)
    kept = [name for name in names if name in others or (name == "integer" and "number" in others)]
    kept += [name for name in others if name == "integer" and "number" in names and name not in kept]
    if not kept:
        raise ConflictError
    return kept


def type_names(value: object) -> list[str]:
    """`type` as a list, whatever it is."""
    return [value] if isinstance(value, str) else as_texts(value)


def _common(one: list[object], other: list[object]) -> list[object]:
    kept = [value for value in one if any(_is_same(value, item) for item in other)]
    if not kept:
        raise ConflictError
    return kept


def _is_same(one: object, other: object) -> bool:
    """Equal as JSON: Python takes 1 for true."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
