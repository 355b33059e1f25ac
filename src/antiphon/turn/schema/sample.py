"""A small value that a schema allows: what a scripted model calls a tool with."""

from typing import Any

from antiphon.turn.schema.kinds import as_count, as_list, as_number, as_object, as_texts

_MAX_DEPTH = 12
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "a@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample_of(schema: object) -> Any:
    """The smallest value that is easily found. It may break what a schema says of patterns, or by `not` and `if`."""
    return _sample(schema, as_object(schema) or {}, 0)


def _sample(schema: object, root: dict[str, object], depth: int) -> Any:
    rules = as_object(schema)
    if not rules or depth > _MAX_DEPTH:
        return {} if schema is root else None
    if "const" in rules:
        return rules["const"]
    if values := as_list(rules.get("enum")):
        return values[0]
    if isinstance(target := rules.get("$ref"), str):
        return _sample(_resolved(target, root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if options := as_list(rules.get(key)):
            merged = {name: value for name, value in rules.items() if name != key} | (as_object(options[0]) or {})
            return _sample(merged, root, depth + 1)
    return _of_type(_type(rules), rules, root, depth)


def _type(rules: dict[str, object]) -> str:
    kind = rules.get("type")
    if isinstance(kind, str):
        return kind
    names = as_texts(kind)
    if names:
        return names[0]
    if "properties" in rules or "required" in rules:
        return "object"
    return "array" if "items" in rules else "string"


def _of_type(kind: str, rules: dict[str, object], root: dict[str, object], depth: int) -> Any:
    match kind:
        case "object":
            properties = as_object(rules.get("properties")) or {}
            return {
                name: _sample(properties.get(name, {}), root, depth + 1) for name in as_texts(rules.get("required"))
            }
        case "array":
            first = as_list(rules.get("prefixItems")) or []
            num_more = max((as_count(rules.get("minItems")) or 0) - len(first), 0)
            return [_sample(item, root, depth + 1) for item in (*first, *[rules.get("items")] * min(num_more, 100))]
        case "integer" | "number":
            return _number(kind, rules)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(rules)


def _number(kind: str, rules: dict[str, object]) -> float:
    low, above = as_number(rules.get("minimum")), as_number(rules.get("exclusiveMinimum"))
    high, below = as_number(rules.get("maximum")), as_number(rules.get("exclusiveMaximum"))
    value: float = 1
    if low is not None or above is not None:
        value = max(value, low if low is not None else value, above + 1 if above is not None else value)
    if high is not None or below is not None:
        value = min(value, high if high is not None else value, below - 1 if below is not None else value)
    return int(value) if kind == "integer" or float(value).is_integer() else value


def _text(rules: dict[str, object]) -> str:
    known = _FORMATS.get(str(rules.get("format")))
    if known:
        return known
    length = min(max(as_count(rules.get("minLength")) or 0, 4), 10_000)
    high = as_count(rules.get("maxLength"))
    return ("text" * length)[: length if high is None else min(length, high)]


def _resolved(target: str, root: dict[str, object]) -> object:
    """A local reference's schema; {} for any other."""
    found: object = root
    if not target.startswith("#"):
        return {}
    for step in target[1:].split("/")[1:]:
        found = (as_object(found) or {}).get(step.replace("~1", "/").replace("~0", "~"), {})
    return found
