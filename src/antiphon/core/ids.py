"""Ids as the API writes them: a typed prefix, then base58. Clients treat them as opaque, and they guard nothing.

Those of one process follow one another, so that an index of them grows at one place and not all over.
"""

import itertools
import os
import random

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CHARS = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))
_NUM_PROCESS_CHARS = 8
_NUM_COUNTER_CHARS = 6
_NUM_RANDOM_CHARS = 8
_source = random.Random(os.urandom(32))


def _random_chars(num: int) -> str:
    return _source.randbytes(num).translate(_CHARS).decode()


_PROCESS = _random_chars(_NUM_PROCESS_CHARS)
_numbers = itertools.product(_ALPHABET, repeat=_NUM_COUNTER_CHARS)


def new_id(prefix: str) -> str:
    """`prefix` + "_01" + 22 characters: the process's own, a counter, and random ones."""
    return f"{prefix}_01{_PROCESS}{''.join(next(_numbers))}{_random_chars(_NUM_RANDOM_CHARS)}"
