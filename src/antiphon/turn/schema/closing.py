"""JSON text that ends too early."""

from __future__ import annotations

import json

_CLOSERS = {"{": "}", "[": "]"}


def closed(text: str) -> str | None:
    """The text as JSON with the closers that it lacks, or None where that would not do: a value is never invented.

    An open string is closed and a comma at the end dropped; a key without its value, half an escape, or anything
    after the end makes it None.
    """
    missing, is_in_string = _missing(text)
    if missing is None:
        return None
    body = text if is_in_string else text.rstrip()
    if missing and body.endswith(",") and body[-2:-1] not in "{[,":
        body = body[:-1]
    whole = body + missing
    try:
        json.loads(whole, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return whole


def _missing(text: str) -> tuple[str | None, bool]:
    """What would close the text, None if closers stand where they must not; and whether it ends within a string."""
    stack: list[str] = []
    is_in_string = is_escaped = False
    for char in text:
        if is_in_string:
            is_in_string = is_escaped or char != '"'
            is_escaped = char == "\\" and not is_escaped
        elif char == '"':
            is_in_string = True
        elif char in _CLOSERS:
            stack.append(_CLOSERS[char])
        elif char in "]}" and (not stack or stack.pop() != char):
            return None, False
    return ('"' if is_in_string else "") + "".join(reversed(stack)), is_in_string


def _refused(name: str) -> object:
    raise ValueError(name)
