"""Token sequences as bytes, four to a token: those are compared at the speed of memory."""

import zlib
from array import array
from collections.abc import Sequence

TOKEN_BYTES = 4
_CODE = "I" if array("I").itemsize == TOKEN_BYTES else "L"


def pack(tokens: Sequence[int | str]) -> bytes:
    """What is no text (a picture's place in a prompt) has a name instead of a number: it is told by its checksum."""
    try:
        return array(_CODE, tokens).tobytes()  # type: ignore[arg-type]
    except TypeError:
        numbers = [zlib.crc32(token.encode()) if isinstance(token, str) else token for token in tokens]
        return array(_CODE, numbers).tobytes()


def num_tokens(packed: bytes) -> int:
    return len(packed) // TOKEN_BYTES


def num_common(a: bytes, b: bytes) -> int:
    """How many leading tokens `a` and `b` share."""
    one, other = memoryview(a), memoryview(b)
    low, high = 0, min(num_tokens(a), num_tokens(b))
    if one[: high * TOKEN_BYTES] == other[: high * TOKEN_BYTES]:  # most often one goes on where the other ends
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low * TOKEN_BYTES : middle * TOKEN_BYTES] == other[low * TOKEN_BYTES : middle * TOKEN_BYTES]:
            low = middle
        else:
            high = middle - 1
    return low
