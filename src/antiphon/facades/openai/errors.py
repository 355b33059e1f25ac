"""Errors and headers as OpenAI's clients know them."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import orjson

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError, Kind
from antiphon.facades.openai.convert import in_chat_words
from antiphon.limits.headers import Header, Headers
from antiphon.web.call import Manners, headers_of

VERSION: Header = (b"openai-version", b"2020-10-01")


class _Name(NamedTuple):
    status: int
    type: str
    code: str | None = None


_INVALID = "invalid_request_error"
_NAMES: dict[Kind, _Name] = {
    Kind.INVALID_REQUEST: _Name(400, _INVALID),
    Kind.AUTHENTICATION: _Name(401, _INVALID, "invalid_api_key"),
    Kind.BILLING: _Name(429, "insufficient_quota", "insufficient_quota"),
    Kind.PERMISSION: _Name(403, "permission_error", "insufficient_permissions"),
    Kind.NOT_FOUND: _Name(404, _INVALID),
    Kind.METHOD_NOT_ALLOWED: _Name(405, _INVALID, "method_not_supported"),
    Kind.REQUEST_TIMEOUT: _Name(408, _INVALID),
    Kind.CONFLICT: _Name(409, _INVALID),
    Kind.TOO_LARGE: _Name(413, _INVALID),
    Kind.RATE_LIMIT: _Name(429, "rate_limit_error", "rate_limit_exceeded"),
    Kind.INTERNAL: _Name(500, "server_error"),
    Kind.TIMEOUT: _Name(504, "server_error"),
    Kind.OVERLOADED: _Name(503, "server_error"),
}
_SPENT = _Name(429, "insufficient_quota", "insufficient_quota")
_PARAM = re.compile(
    r"(messages|model|max_tokens|max_completion_tokens|temperature|top_p|n|stop|stream|stream_options|tools|tool_choice"
    r"|functions|function_call|response_format|thinking)[.:]"
)


def body_of(error: ApiError, positions: Sequence[int] = ()) -> dict[str, Any]:
    message, name = in_chat_words(error, positions), _name(error)
    found, code = _PARAM.match(message), name.code
    param = found[1] if found else None
    if error.kind is Kind.NOT_FOUND and param == "model":
        message, code = f"The model `{message.removeprefix('model: ')}` does not exist.", "model_not_found"
    if message.startswith("prompt is too long"):
        param, code = "messages", "context_length_exceeded"
    return {"error": {"message": message, "type": name.type, "param": param, "code": code}}


def _name(error: ApiError) -> _Name:
    is_spent = (error.details or {}).get("error_code") == "enforced_spend_limit_reached"
    return _SPENT if is_spent else _NAMES[error.kind]


def manners_of(positions: Sequence[int], clock: Clock) -> Manners:
    """How errors of a request are told whose messages stood at `positions`."""
    return MANNERS._replace(refuse=partial(_refuse, positions, clock), break_off=partial(_break_off, positions))


def _refuse(positions: Sequence[int], clock: Clock | None, error: ApiError, call_id: str) -> tuple[int, Headers, bytes]:
    told = rate_headers(headers_of(error), clock) if clock else headers_of(error)
    headers = [(b"content-type", b"application/json"), *told]
    return _name(error).status, headers, orjson.dumps(body_of(error, positions))


def _break_off(positions: Sequence[int], error: ApiError, call_id: str) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(body_of(error, positions))


MANNERS = Manners(partial(_refuse, (), None), partial(_break_off, ()), (b"request-id", b"x-request-id"))

_RATE = re.compile(rb"anthropic-ratelimit-(requests|tokens)-(limit|remaining|reset)")


def rate_headers(headers: Headers, clock: Clock) -> list[Header]:
    """The native rate limit headers by OpenAI's names, with the time until a reset; other headers as they are."""
    told: list[Header] = []
    for name, value in headers:
        if found := _RATE.fullmatch(name):
            value = _wait(value, clock) if found[2] == b"reset" else value
            told.append((b"x-ratelimit-%b-%b" % (found[2], found[1]), value))
        elif not name.startswith(b"anthropic-ratelimit-"):
            told.append((name, value))
    return told


def _wait(time: bytes, clock: Clock) -> bytes:
    wait_s = datetime.fromisoformat(time.decode()).timestamp() - clock.now()
    return b"%ds" % max(0, int(wait_s))
