"""The rate limit headers of a reply (the API's documentation, "Rate limits")."""

import math
from collections.abc import Sequence
from functools import lru_cache

from antiphon.core.clock import rfc3339
from antiphon.limits.bucket import Gauge

Header = tuple[bytes, bytes]
Headers = Sequence[Header]


def rate_headers(
    requests: Gauge | None, input_tokens: Gauge | None, output_tokens: Gauge | None, now_s: float
) -> tuple[Header, ...]:
    """Three headers for each that is limited, and three for the scarcer of the two kinds of tokens.

    Tokens are told to the nearest thousand. `now_s` is the time of day.
    """
    inputs = _in_thousands(input_tokens, now_s) if input_tokens else None
    outputs = _in_thousands(output_tokens, now_s) if output_tokens else None
    is_input_scarcer = output_tokens is None or (input_tokens is not None and input_tokens <= output_tokens)
    headers: tuple[Header, ...] = _written(_REQUESTS, *_exact(requests, now_s)) if requests else ()
    if scarcer := inputs if is_input_scarcer else outputs:
        headers += _written(_TOKENS, *scarcer)
    if inputs:
        headers += _written(_INPUT_TOKENS, *inputs)
    if outputs:
        headers += _written(_OUTPUT_TOKENS, *outputs)
    return headers


ROUNDING_S = 1e-6

_Told = tuple[int, int, int]
"""(limit, how many are left, when it is full again in seconds since the epoch)"""


def _in_thousands(gauge: Gauge, now_s: float) -> _Told:
    level, limit, full_in_s = gauge
    num_left = (int(level) + 500) // 1000 * 1000 if level > 0 else 0
    return limit, min(limit, num_left), math.ceil(now_s + full_in_s - ROUNDING_S)


def _exact(gauge: Gauge, now_s: float) -> _Told:
    level, limit, full_in_s = gauge
    return limit, int(level) if level > 0 else 0, math.ceil(now_s + full_in_s - ROUNDING_S)


_Names = tuple[bytes, bytes, bytes]


def _names(kind: str) -> _Names:
    stem = f"anthropic-ratelimit-{kind}-".encode()
    return stem + b"limit", stem + b"remaining", stem + b"reset"


_REQUESTS, _TOKENS, _INPUT_TOKENS, _OUTPUT_TOKENS = map(_names, ("requests", "tokens", "input-tokens", "output-tokens"))


@lru_cache(maxsize=1024)
def _written(names: _Names, limit: int, num_left: int, reset_s: int) -> tuple[Header, ...]:
    """Many replies of a second tell the same."""
    values = (b"%d" % limit, b"%d" % num_left, rfc3339(reset_s).encode())
    return tuple(zip(names, values, strict=True))


def whole_seconds(seconds: float) -> int:
    """Rounded up, but not for what is only the rounding of a fraction."""
    return math.ceil(seconds - ROUNDING_S)
