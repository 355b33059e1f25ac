"""The rate limit headers of a reply (the API's documentation, "Rate limits")."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from antiphon.core.clock import rfc3339

Header = tuple[bytes, bytes]
Headers = Sequence[Header]


class Gauge(NamedTuple):
    """How a bucket stands. Of several, `min` is the one with the least left."""

    level: float
    limit: int
    full_in_s: float


def rate_headers(
    requests: Gauge | None, input_tokens: Gauge | None, output_tokens: Gauge | None, now_s: float
) -> list[Header]:
    """Three headers for each that is limited, and three for the scarcer of the two kinds of tokens.

    Tokens are told to the nearest thousand. `now_s` is the time of day.
    """
    headers: list[Header] = []
    if requests:
        headers += _headers(_REQUESTS, requests, int(requests.level), now_s)
    if scarcer := min(filter(None, (input_tokens, output_tokens)), default=None):
        headers += _headers(_TOKENS, scarcer, _in_thousands(scarcer), now_s)
    if input_tokens:
        headers += _headers(_INPUT_TOKENS, input_tokens, _in_thousands(input_tokens), now_s)
    if output_tokens:
        headers += _headers(_OUTPUT_TOKENS, output_tokens, _in_thousands(output_tokens), now_s)
    return headers


_Names = tuple[bytes, bytes, bytes]


def _names(kind: str) -> _Names:
    stem = f"anthropic-ratelimit-{kind}-".encode()
    return stem + b"limit", stem + b"remaining", stem + b"reset"


_REQUESTS = _names("requests")
_TOKENS = _names("tokens")
_INPUT_TOKENS = _names("input-tokens")
_OUTPUT_TOKENS = _names("output-tokens")


def _headers(names: _Names, gauge: Gauge, num_left: int, now_s: float) -> tuple[Header, Header, Header]:
    return _written(names, gauge.limit, max(0, num_left), whole_seconds(now_s + gauge.full_in_s))


@lru_cache(maxsize=1024)
def _written(names: _Names, limit: int, remaining: int, reset_s: int) -> tuple[Header, Header, Header]:
    """Many replies of a second tell the same."""
    return (
        (names[0], b"%d" % limit),
        (names[1], b"%d" % remaining),
        (names[2], rfc3339(reset_s).encode()),
    )


def _in_thousands(gauge: Gauge) -> int:
    return min((int(gauge.level) + 500) // 1000 * 1000, gauge.limit)


def whole_seconds(seconds: float) -> int:
    """Rounded up, but not for what is only the rounding of a fraction."""
    return math.ceil(seconds - 1e-6)
