"""Ids as the API writes them: a typed prefix, then base58. Clients treat them as opaque, and they guard nothing.

Those of one process follow one another, so that an index of them grows at one place and not all over.
"""

import itertools
import os
import random
from collections.abc import Iterator

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CHARS = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))
_NUM_PROCESS_CHARS = 8
_NUM_COUNTER_CHARS = 6
_NUM_RANDOM_CHARS = 8
_NUM_DRAWN = 256
_source = random.Random(os.urandom(32))


def _random_chars(num: int) -> str:
    return _source.randbytes(num).translate(_CHARS).decode()


def _tails() -> Iterator[str]:
    """What differs between the ids of a process: a counter, and random characters, drawn for many at once."""
    numbers = map("".join, itertools.product(_ALPHABET, repeat=_NUM_COUNTER_CHARS))
    while True:
        drawn = _random_chars(_NUM_DRAWN * _NUM_RANDOM_CHARS)
        for start in range(0, len(drawn), _NUM_RANDOM_CHARS):
            yield next(numbers) + drawn[start : start + _NUM_RANDOM_CHARS]


_PROCESS = _random_chars(_NUM_PROCESS_CHARS)
_next_tail = _tails().__next__


def new_id(prefix: str) -> str:
    """`prefix` + "_01" + 22 characters: the process's own, a counter, and random ones."""
    return f"{prefix}_01{_PROCESS}{_next_tail()}"
