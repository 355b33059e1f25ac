"""Values that are nearly what a schema asks for, made so; the rest stays as it is.

| the schema allows | the value | becomes |
|---|---|---|
| no string here | a string that holds JSON: `"5"`, `"true"`, `"[1]"`, `'{"a": 1}'`, `"null"` | what it holds |
| no string here | `"True"`, `"False"`, `"None"` | `true`, `false`, `null` |
| only strings | a number or a boolean | its JSON text |
| only strings | an object or an array | itself: nobody knows how it was to be written |
| an array | a single item | itself: the model may have meant another parameter |
| no null for a property that may be absent | `null` | the property is left out |
| a value that must be there | nothing | nothing: values are never invented |
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from antiphon.turn.schema import refs
from antiphon.turn.schema.kinds import as_list, as_object, as_texts, is_of, type_of
from antiphon.turn.schema.merge import Schema, type_names

_MAX_DEPTH = 30
_PYTHON = {"True": True, "False": False, "None": None}
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


def _problem_of(schema: object, value: object) -> str | None:
    from antiphon.turn.schema.check import problem_of  # its library is slow to import, and a start does not need it

    return problem_of(schema, value)


def repaired(schema: object, value: object) -> object:
    """The value, or what repairs make of it if that is valid."""
    if _problem_of(schema, value) is None:
        return value
    try:
        better = _Repair(schema).made(schema, value, 0)
    except RecursionError:
        return value
    return value if _problem_of(schema, better) else better


class _Repair:
    def __init__(self, root: object) -> None:
        self._root = as_object(root) or {}

    def made(self, schema: object, value: object, depth: int) -> object:
        part = self._opened(schema)
        if part is None or depth > _MAX_DEPTH:
            return value
        if options := as_list(part.get("anyOf")) or as_list(part.get("oneOf")):
            return self._by_option(options, value, depth)
        value = _retyped(value, self._types(part))
        if (members := as_object(value)) is not None:
            return self._members(part, members, depth)
        if (items := as_list(value)) is not None:
            return self._items(part, items, depth)
        return value

    def _opened(self, schema: object) -> Schema | None:
        part = as_object(schema)
        for _ in range(8):
            if part is None or not isinstance(ref := part.get("$ref"), str):
                return part
            part = as_object(refs.resolved(self._root, ref))
        return None

    def _types(self, part: Schema) -> Sequence[str]:
        values = as_list(part.get("enum"))
        if "const" in part:
            values = [part["const"]]
        stated = type_names(part.get("type")) or ([type_of(value) for value in values] if values else _TYPES)
        return [*stated, "null"] if part.get("nullable") is True else stated

    def _by_option(self, options: Sequence[object], value: object, depth: int) -> object:
        """The first option under which the value is valid as it is, or else after repairs."""
        if any(self._is_valid(option, value) for option in options):
            return value
        for option in options:
            better = self.made(option, value, depth + 1)
            if better is not value and self._is_valid(option, better):
                return better
        return value

    def _is_valid(self, option: object, value: object) -> bool:
        part = as_object(option)
        if part is None:
            return option is not False
        named = {key: self._root[key] for key in ("$schema", "$defs", "definitions") if key in self._root}
        return _problem_of({**named, **part}, value) is None

    def _members(self, part: Schema, members: Schema, depth: int) -> dict[str, object]:
        properties = as_object(part.get("properties")) or {}
        rest, required = part.get("additionalProperties"), as_texts(part.get("required"))
        kept: dict[str, object] = {}
        for name, value in members.items():
            schema = properties.get(name, rest)
            if value is None and name in properties and name not in required and not self._is_valid(schema, None):
                continue
            kept[name] = self.made(schema, value, depth + 1)
        return kept

    def _items(self, part: Schema, items: Sequence[object], depth: int) -> list[object]:
        first, rest = as_list(part.get("prefixItems")) or [], part.get("items")
        if (old := as_list(rest)) is not None:
            first, rest = old, part.get("additionalItems")
        schemas = [*first, *[rest] * len(items)]
        return [self.made(schema, item, depth + 1) for schema, item in zip(schemas, items, strict=False)]


def _retyped(value: object, types: Sequence[str]) -> object:
    if any(is_of(value, name) for name in types):
        return value
    if isinstance(value, str):
        found = _read(value)
        return found if any(is_of(found, name) for name in types) else value
    if set(types) == {"string"} and isinstance(value, bool | int | float):
        return json.dumps(value)
    return value


def _read(text: str) -> object:
    """The JSON value in a text; the text itself if there is none."""
    if text.strip() in _PYTHON:
        return _PYTHON[text.strip()]
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> object:
    raise ValueError(name)
