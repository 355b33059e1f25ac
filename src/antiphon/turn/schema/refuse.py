"""What the API refuses of schemas that it enforces: those of strict tools and of `output_config.format`.

The sentences are the API's own, as recorded by its users between late 2025 and autumn 2026; two stand in for words that
nobody has recorded: that of a `$ref` to another document, and that of a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from antiphon.core.errors import ApiError, invalid
from antiphon.turn.schema import refs
from antiphon.turn.schema.kinds import as_list, as_number, as_object, as_texts, is_of
from antiphon.turn.schema.merge import Schema, type_names
from antiphon.turn.schema.strings import FORMATS

MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16
FORMAT_PATH = "output_config.format.schema"

_UNSUPPORTED = {
    "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
    "integer": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
    "string": "minLength maxLength",
    "array": "maxItems uniqueItems contains minContains maxContains prefixItems unevaluatedItems",
    "object": "minProperties maxProperties patternProperties propertyNames dependentRequired dependentSchemas "
    "unevaluatedProperties dependencies",
}
_COMBINERS = ("oneOf", "not", "if")
_STATING = ("type", "anyOf", "allOf", "$ref", "enum", "const")
_UNREADABLE = re.compile(r"\(\?<?[=!]|\\[bB1-9]|\\k<")
_CLOSED = "For 'object' type, 'additionalProperties' must be explicitly set to false"


def check_schema(path: str, schema: object) -> None:
    """Raises 400 with `path` in front if the API would not enforce this schema."""
    if problem := next(_problems(schema), None):
        raise invalid(f"{path}: {problem}")


def check_format(schema: object) -> None:
    """Raises 400 if a reply cannot be held to this schema."""
    check_schema(FORMAT_PATH, schema)
    check_limits([schema])


def check_strict(schemas: Mapping[str, object]) -> None:
    """Raises 400 for the schemas of a request's strict tools, by their paths (`tools.0.custom`)."""
    if len(schemas) > MAX_STRICT_TOOLS:
        raise _too_many_tools(len(schemas))
    for path, schema in schemas.items():
        check_schema(path, schema)


def check_limits(schemas: Sequence[object]) -> None:
    """Raises 400 if the enforced schemas of a request, the format's among them, are too much together."""
    parts = [part for schema in schemas for part in _parts_of(schema)]
    num_optional = sum(map(_num_optional, parts))
    if num_optional > MAX_OPTIONAL:
        raise invalid(
            f"Schemas contains too many optional parameters ({num_optional}), which would make grammar compilation "
            f"inefficient. Reduce the number of optional parameters in your tool schemas (limit: {MAX_OPTIONAL})."
        )
    num_unions = sum("anyOf" in part or as_list(part.get("type")) is not None for part in parts)
    if num_unions > MAX_UNIONS:
        raise invalid(
            f"Schemas contains too many parameters with union types ({num_unions} parameters with type arrays or "
            "anyOf). This causes exponential compilation cost. Reduce the number of nullable or union-typed parameters "
            f"(limit: {MAX_UNIONS} parameters with unions)."
        )


def _num_optional(part: Schema) -> int:
    return len((as_object(part.get("properties")) or {}).keys() - as_texts(part.get("required")))


def _too_many_tools(num_tools: int) -> ApiError:
    return invalid(
        f"Too many strict tools ({num_tools}). The maximum number of strict tools supported is {MAX_STRICT_TOOLS}. "
        "Try reducing the number of tools marked as strict."
    )


def _problems(schema: object) -> Iterator[str]:
    root = as_object(schema)
    if root is None:
        yield "Invalid schema: Schema must be an object"
        return
    for part in _parts_of(root):
        yield from _part_problems(part, root)
    yield from _circles(root)


def _parts_of(schema: object) -> Iterator[Schema]:
    """The schema and all schemas in it, each before what is in it."""
    part = as_object(schema)
    if part is None:
        return
    yield part
    for keyword in ("properties", "$defs", "definitions"):
        for inner in (as_object(part.get(keyword)) or {}).values():
            yield from _parts_of(inner)
    for keyword in ("anyOf", "allOf"):
        for inner in as_list(part.get(keyword)) or ():
            yield from _parts_of(inner)
    yield from _parts_of(part.get("items"))


def _part_problems(part: Schema, root: Schema) -> Iterator[str]:
    for keyword in _COMBINERS:
        if keyword in part:
            yield f"Schema type '{keyword}' is not supported"
    if not any(keyword in part for keyword in _STATING):
        yield "Invalid schema: Schema type is missing"
    names = type_names(part.get("type"))
    for name in names:
        yield from _type_problems(name, part)
    yield from _enum_problems(names, part)
    yield from _ref_problems(part, root)


def _type_problems(name: str, part: Schema) -> Iterator[str]:
    if name not in ("object", "array", "string", "integer", "number", "boolean", "null"):
        yield f"Invalid schema: Schema type '{name}' is not supported"
    if name == "object":
        yield from _object_problems(part)
    if name == "array":
        yield from _array_problems(part)
    if found := sorted(part.keys() & set(_UNSUPPORTED.get(name, "").split())):
        listed = f"properties {', '.join(found)} are" if len(found) > 1 else f"property '{found[0]}' is"
        yield f"For '{name}' type, {listed} not supported"
    if name == "string":
        yield from _string_problems(part)


def _object_problems(part: Schema) -> Iterator[str]:
    rest = part.get("additionalProperties")
    if rest is None:
        yield _CLOSED
    elif rest is not False:
        kind = "true" if rest is True else "object"
        yield (
            f"For 'object' type, 'additionalProperties: {kind}' is not supported. "
            "Please set 'additionalProperties' to false"
        )


def _array_problems(part: Schema) -> Iterator[str]:
    if isinstance(part.get("items"), list):
        yield "Invalid schema: Array types must be specified with a single object schema for 'items'"
    low, high = as_number(part.get("minItems")) or 0, as_number(part.get("maxItems"))
    if low not in (0, 1):
        got = f"[{low}, {'∞' if high is None else high}]"
        yield f"For 'array' type, 'minItems' values other than 0 or 1 are not supported (got: {got})"


def _string_problems(part: Schema) -> Iterator[str]:
    form, pattern = part.get("format"), part.get("pattern")
    if form is not None and form not in FORMATS:
        yield f"For 'string' type, format '{form}' is not supported"
    if isinstance(pattern, str) and _UNREADABLE.search(pattern):
        yield f"For 'string' type, pattern '{pattern}' is not supported"


def _enum_problems(names: Sequence[str], part: Schema) -> Iterator[str]:
    """An enum beside a list of types is refused whatever is in it; people are told to write `anyOf`."""
    for value in as_list(part.get("enum")) or ():
        is_list = isinstance(part.get("type"), list)
        if names and (is_list or not any(is_of(value, name) for name in names)):
            declared = f"[{', '.join(map(repr, names))}]" if is_list else names[0]
            yield f"Invalid schema: Enum value '{value}' does not match declared type '{declared}'"
            return


def _ref_problems(part: Schema, root: Schema) -> Iterator[str]:
    ref = part.get("$ref")
    if isinstance(ref, str):
        if not ref.startswith("#"):
            yield f"Invalid schema: External reference is not supported: {ref}"
        elif refs.resolved(root, ref) is refs.MISSING:
            yield f"Invalid schema: Reference to non-existent definition: {ref}"
    if any("$ref" in (as_object(inner) or {}) for inner in as_list(part.get("allOf")) or ()):
        yield "Invalid schema: '$ref' in 'allOf' is not supported"


def _circles(root: Schema) -> Iterator[str]:
    """A definition that leads back to itself."""
    leads = {"#": [ref for part in _used_parts(root) if isinstance(ref := part.get("$ref"), str)]}
    todo = list(leads["#"])
    while todo:
        ref = todo.pop()
        if ref not in leads:
            target = refs.resolved(root, ref)
            leads[ref] = [inner for part in _parts_of(target) if isinstance(inner := part.get("$ref"), str)]
            todo += leads[ref]
    for start in leads:
        if trail := _way_back(start, leads):
            names = " -> ".join(step.rpartition("/")[2] for step in trail)
            yield (
                f"Invalid schema: Circular reference detected in schema definitions: {names}. "
                "Self-referencing or mutually-referencing definitions are not supported."
            )


def _used_parts(root: Schema) -> Iterator[Schema]:
    return _parts_of({key: value for key, value in root.items() if key not in ("$defs", "definitions")})


def _way_back(start: str, leads: Mapping[str, Sequence[str]]) -> list[str] | None:
    """The shortest way from a definition to itself."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for ref in leads[way[-1]]:
            if ref == start:
                return [*way, ref]
            if ref not in seen:
                seen.add(ref)
                ways.append([*way, ref])
    return None
