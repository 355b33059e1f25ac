"""Ids as the API writes them: a typed prefix, then base58. Clients treat them as opaque, and they guard nothing."""

import os
import random

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CHARS = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))
_NUM_CHARS = 22
_source = random.Random(os.urandom(32))


def new_id(prefix: str) -> str:
    """`prefix` + "_01" + 22 random characters: more than 120 bits."""
    return f"{prefix}_01{_source.randbytes(_NUM_CHARS).translate(_CHARS).decode()}"
