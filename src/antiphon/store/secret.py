"""The server's own secret, from which the pepper of stored keys is made. It is no part of the database."""

import hashlib
import hmac
import json
import os
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import NamedTuple

from antiphon.core.errors import OperatorError
from antiphon.core.scope import Scope
from antiphon.core.secrets import KeyKind

FILE = "secret.key"
_OLD_FILE = "credentials.json"
_NUM_BYTES = 32
_NUM_NONCE_BYTES = 12


class Secret:
    """`derive` gives a key for one purpose; `fingerprint` tells two secrets apart and reveals neither."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    @property
    def pepper(self) -> bytes:
        """What stored keys are hashed with."""
        return self._value

    def derive(self, purpose: str) -> bytes:
        """32 bytes, always the same for a purpose (the expand step of HKDF, RFC 5869)."""
        return hmac.new(self._value, purpose.encode() + b"\x01", hashlib.sha256).digest()

    @property
    def fingerprint(self) -> str:
        return self.derive("fingerprint").hex()[:16]

    def seal(self, name: str, text: str) -> str:
        """`text` for the database, where it must come back in the clear: AES-256-GCM. It opens for `name` only."""
        nonce = os.urandom(_NUM_NONCE_BYTES)
        return b64encode(nonce + self._cipher().encrypt(nonce, text.encode(), name.encode())).decode()

    def unseal(self, name: str, sealed: str) -> str:
        raw = b64decode(sealed)
        return self._cipher().decrypt(raw[:_NUM_NONCE_BYTES], raw[_NUM_NONCE_BYTES:], name.encode()).decode()

    def _cipher(self):  # noqa: ANN202 - of a library that a server without sealed texts never loads
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self.derive("aws"))


class OldFile(NamedTuple):
    """What the first release kept in a file instead of a database; `pepper` is in hex."""

    pepper: str
    scope: Scope
    keys: list[tuple[KeyKind, str]]


def read_old_file(data_dir: Path) -> OldFile | None:
    path = data_dir / _OLD_FILE
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text())
        scope = Scope(data["organization_id"], data["workspace_id"])
        return OldFile(data["pepper"], scope, [(key["kind"], key["digest"]) for key in data["keys"]])
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(f"{path} is damaged: restore it, or delete it to have new keys made.") from error


def open_secret(data_dir: Path, configured: str | None) -> Secret:
    """The operator's `configured` secret, else the one in the data folder, made at the first start."""
    if configured:
        return Secret(hashlib.sha256(configured.encode()).digest())
    path = data_dir / FILE
    try:
        if not path.exists():
            old = read_old_file(data_dir)
            _write(path, old.pepper if old else secrets.token_hex(_NUM_BYTES))
        return Secret(_parse(path.read_text()))
    except ValueError as error:
        raise OperatorError(f"{path} is damaged: restore it from a backup; without it no stored key works.") from error
    except OSError as error:
        raise OperatorError(f"Cannot use {path} ({error.strerror}): choose another folder with --data-dir.") from error


def _parse(text: str) -> bytes:
    """Raises ValueError for anything but 32 bytes in hex: with an empty pepper everybody could guess the digests."""
    value = bytes.fromhex(text)
    if len(value) != _NUM_BYTES:
        raise ValueError(f"{len(value)} bytes, not {_NUM_BYTES}")
    return value


def _write(path: Path, text: str) -> None:
    """Whole or not at all, readable by the owner alone, and never in place of one that is there already."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(part)
    except FileExistsError:
        pass  # another process was first, and its secret counts
    finally:
        part.unlink()
