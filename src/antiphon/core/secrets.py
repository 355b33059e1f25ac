"""Keys: how they are made, and the only form in which they are stored."""

import secrets
import zlib
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NUM_RANDOM_CHARS = 43  # 62**43 > 2**256
_NUM_CHECK_CHARS = 6
_PREFIXES = {"api": "sk-ant-phon1-", "admin": "sk-ant-phonadm1-"}

KeyKind = Literal["api", "admin"]


def new_key(kind: KeyKind) -> str:
    """A typed prefix, 256 random bits, and a CRC-32 tail by which secret scanners know it offline."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_NUM_RANDOM_CHARS))
    return _PREFIXES[kind] + body + _checksum(body)


def hint_of(key: str) -> str:
    """What may be shown of a key, to tell it from others: never enough to use it."""
    return f"{key[:16]}...{key[-4:]}" if len(key) >= 40 else "..."


def digest(pepper: bytes, key: str) -> str:
    """HMAC-SHA256 of `key` under the server's own `pepper`, in hex: what is stored instead of the key."""
    within, around = _begun(pepper)
    inner, outer = within.copy(), around.copy()
    inner.update(key.encode("utf-8", "surrogateescape"))
    outer.update(inner.digest())
    return outer.hexdigest()


_NUM_BLOCK_BYTES = 64


@lru_cache(maxsize=4)
def _begun(pepper: bytes) -> tuple[Any, Any]:
    """RFC 2104's two hashes, as they are before any text: to begin them is most of what `hmac.digest` does."""
    block = sha256(pepper).digest() if len(pepper) > _NUM_BLOCK_BYTES else pepper
    padded = block.ljust(_NUM_BLOCK_BYTES, b"\0")
    return sha256(bytes(byte ^ 0x36 for byte in padded)), sha256(bytes(byte ^ 0x5C for byte in padded))


def _checksum(body: str) -> str:
    number, chars = zlib.crc32(body.encode()), ""
    for _ in range(_NUM_CHECK_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        chars += _ALPHABET[digit]
    return chars
