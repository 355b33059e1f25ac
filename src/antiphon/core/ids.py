"""Ids as the API writes them: a typed prefix, then base58. Clients treat them as opaque."""

import os

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CHARS = bytes(ord(_ALPHABET[byte % len(_ALPHABET)]) for byte in range(256))
_NUM_CHARS = 22


def new_id(prefix: str) -> str:
    """`prefix` + "_01" + 22 random characters: more than 120 bits."""
    return f"{prefix}_01{os.urandom(_NUM_CHARS).translate(_CHARS).decode()}"
