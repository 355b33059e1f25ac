"""Keys: how they are made, and the only form in which they are stored."""

import hmac
import secrets
import zlib
from typing import Literal

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
    return hmac.digest(pepper, key.encode("utf-8", "surrogateescape"), "sha256").hex()


def _checksum(body: str) -> str:
    number, chars = zlib.crc32(body.encode()), ""
    for _ in range(_NUM_CHECK_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        chars += _ALPHABET[digit]
    return chars
