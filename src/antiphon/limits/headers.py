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
    of_tokens = _of_tokens(inputs, outputs, inputs if is_input_scarcer else outputs)
    return _written(_REQUESTS, *_exact(requests, now_s)) + of_tokens if requests else of_tokens


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
def _of_tokens(inputs: _Told | None, outputs: _Told | None, scarcer: _Told | None) -> tuple[Header, ...]:
    """Many replies of a second tell the same."""
    kinds = ((_TOKENS, scarcer), (_INPUT_TOKENS, inputs), (_OUTPUT_TOKENS, outputs))
    return tuple(header for names, told in kinds if told for header in _written(names, *told))


def _written(names: _Names, limit: int, num_left: int, reset_s: int) -> tuple[Header, ...]:
    of_limit, of_left, of_reset = names
    return (of_limit, b"%d" % limit), (of_left, b"%d" % num_left), (of_reset, rfc3339(reset_s).encode())


def whole_seconds(seconds: float) -> int:
    """Rounded up, but not for what is only the rounding of a fraction."""
    return math.ceil(seconds - ROUNDING_S)
