"""The JSON types of values."""

from __future__ import annotations

import math
from typing import cast

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def type_of(value: object) -> str:
    """The narrowest type: a number without fraction is an integer only if it is written as one."""
    return _TYPES.get(type(value), "null")


def is_of(value: object, name: str) -> bool:
    """Whether a value is of the type `name`, as JSON Schema has it: 1.0 is an integer."""
    kind = type_of(value)
    if name == "number":
        return kind in ("integer", "number")
    return kind == name or (name == "integer" and isinstance(value, float) and value.is_integer())


def as_object(value: object) -> dict[str, object] | None:
    return cast(dict[str, object], value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    return cast(list[object], value) if isinstance(value, list) else None


def as_texts(value: object) -> list[str]:
    """The strings of a list; none if it is no list."""
    return [item for item in as_list(value) or () if isinstance(item, str)]


def as_count(value: object) -> int | None:
    """A number of things; None if it cannot be one."""
    number = as_number(value)
    return int(number) if number is not None and 0 <= number < 1e15 and number == int(number) else None


def as_number(value: object) -> float | None:
    """An int, or a float that is finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None
