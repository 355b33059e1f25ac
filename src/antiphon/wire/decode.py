"""Bytes become JSON: the one place where a body is parsed, and where every parser's failure becomes a 400."""

import re
from typing import Any, cast

import jiter

from antiphon.core.errors import ApiError, Kind, invalid

_POSITION = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)
_REASONS = (
    ("unexpected end of hex escape", "no low surrogate in string"),
    ("lone leading surrogate", "no low surrogate in string"),
    ("EOF while parsing", "unexpected end of data"),
    ("trailing characters", "unexpected content after document"),
    ("invalid unicode code point", "str is not valid UTF-8"),
    ("expected ", "unexpected character"),
)
"""The parser's reasons in the words that the real API's parser uses; others pass as they are."""

_DUPLICATE = "Detected duplicate key"

_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "iso-8859-1",
    "latin-1": "iso-8859-1",
    "latin1": "iso-8859-1",
}


def transcode(body: bytes, charset: str | None) -> bytes:
    """The body as UTF-8, given its content type's charset; ApiError 400 as `codec_of`."""
    codec = codec_of(charset)
    return body if codec == "utf-8" else _as_utf8(body, codec)


def codec_of(charset: str | None) -> str:
    """Python's name for the charset of a content type; ApiError 400 `unsupported_charset` for any other one."""
    codec = _CHARSETS.get(charset or "utf-8") or _CHARSETS.get((charset or "").strip().strip('"').lower())
    if codec is None:
        raise ApiError(
            Kind.INVALID_REQUEST,
            f"Unsupported charset: {(charset or '')[:100]}",
            details={"error_code": "unsupported_charset"},
        )
    return codec


def _as_utf8(body: bytes, codec: str) -> bytes:
    try:
        return body.decode(codec).encode()
    except UnicodeDecodeError as error:
        raise _not_json(f"str is not valid {codec}", 1, error.start + 1, error.start) from None


def parse_object(body: bytes) -> dict[str, Any]:
    """One JSON object: no duplicate keys, no NaN, at most 200 levels; ApiError 400 otherwise."""
    try:
        value = cast(object, jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False, cache_mode="keys"))
    except ValueError as error:
        raise _worded(str(error), body) from None
    if not isinstance(value, dict):
        raise invalid("The request body is not valid JSON: expected an object")
    return cast(dict[str, Any], value)


def _worded(failure: str, body: bytes) -> ApiError:
    found = _POSITION.fullmatch(failure)
    if found is None:
        return invalid(f"The request body is not valid JSON: {failure[:200]}")
    # The parser names the last byte that there was; what is missing comes behind it.
    line, column = int(found[2]), int(found[3]) + found[1].startswith("EOF")
    return _not_json(_reason(found[1]), line, column, _offset(body, line, column))


def _reason(failure: str) -> str:
    if failure.startswith(_DUPLICATE):
        return "duplicate key" + failure.removeprefix(_DUPLICATE)[:200]
    return next((words for start, words in _REASONS if failure.startswith(start)), failure[:200])


def _offset(body: bytes, line: int, column: int) -> int:
    """The number of bytes before the place, which both counts name from 1."""
    before = body.split(b"\n", line - 1)[:-1]
    return sum(map(len, before)) + len(before) + max(column - 1, 0)


def _not_json(reason: str, line: int, column: int, offset: int) -> ApiError:
    return invalid(f"The request body is not valid JSON: {reason}: line {line} column {column} (char {offset})")
