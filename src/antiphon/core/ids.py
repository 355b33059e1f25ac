"""Ids as the API writes them: a typed prefix, then base58. Clients treat them as opaque."""

import os

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_NUM_CHARS = 22  # 58**22 > 2**128


def new_id(prefix: str) -> str:
    """`prefix` + "_01" + 22 characters that hold 128 random bits."""
    number = int.from_bytes(os.urandom(16), "big")
    chars: list[str] = []
    for _ in range(_NUM_CHARS):
        number, digit = divmod(number, 58)
        chars.append(_ALPHABET[digit])
    return f"{prefix}_01{''.join(chars)}"
