"""The signature of a block of thinking: it shows later that the block is ours, whole, and of the same workspace.

A block whose thinking is not shown carries it in the signature, compressed: the model needs it when the block is sent
back. Signatures of other servers are tolerated, for sessions move between them, but what they sign cannot be trusted.
"""

import base64
import binascii
import hashlib
import hmac
import zlib
from typing import Literal, NamedTuple

_MARK = b"ap1"
_NUM_MAC_BYTES = 16
_MAX_CHARS = 4_000_000


class Signer:
    """`key` is the server's own, `workspace_id` that of the caller."""

    def __init__(self, key: bytes, workspace_id: str) -> None:
        self._key = key
        self._workspace = workspace_id.encode()

    def sign(self, thinking: str) -> str:
        return base64.b64encode(_MARK + self._mac(thinking)).decode()

    def seal(self, thinking: str) -> str:
        """A signature that holds the thinking itself."""
        return base64.b64encode(_MARK + self._mac(thinking) + zlib.compress(thinking.encode())).decode()

    def open(self, thinking: str, signature: str) -> "Opened":
        """What a block that came back really holds."""
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return Opened("foreign", "")
        if not raw.startswith(_MARK) or len(raw) < len(_MARK) + _NUM_MAC_BYTES:
            return Opened("foreign", "")
        mac, sealed = raw[len(_MARK) : len(_MARK) + _NUM_MAC_BYTES], raw[len(_MARK) + _NUM_MAC_BYTES :]
        text = _unsealed(sealed) if sealed and not thinking else thinking
        if text is None or not hmac.compare_digest(mac, self._mac(text)):
            return Opened("changed", "")
        return Opened("ours", text)

    def _mac(self, thinking: str) -> bytes:
        message = len(self._workspace).to_bytes(4, "big") + self._workspace + thinking.encode()
        return hmac.new(self._key, message, hashlib.sha256).digest()[:_NUM_MAC_BYTES]


class Opened(NamedTuple):
    """`thinking` is "" unless the block is ours."""

    origin: Literal["ours", "foreign", "changed"]
    thinking: str


def _unsealed(data: bytes) -> str | None:
    try:
        decompressor = zlib.decompressobj()
        return decompressor.decompress(data, _MAX_CHARS).decode()
    except (zlib.error, UnicodeDecodeError):
        return None
