"""The keys of the first start, in one file of the data folder. Only their HMACs are kept."""

import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from antiphon.core.errors import OperatorError
from antiphon.core.ids import new_id
from antiphon.core.scope import Principal, Scope
from antiphon.core.secrets import KeyKind, digest, new_key

_FILE = "credentials.json"


@dataclass(frozen=True, slots=True)
class _StoredKey:
    id: str
    kind: KeyKind
    digest: str


@dataclass(frozen=True, slots=True)
class Keyring:
    """The organization, its default workspace, and who holds which key."""

    scope: Scope
    pepper: bytes
    keys: dict[str, Principal]

    def find(self, key: str) -> Principal | None:
        """The holder of `key`. Looked up by HMAC and compared in constant time."""
        wanted = digest(self.pepper, key)
        found: Principal | None = None
        for stored, principal in self.keys.items():
            if hmac.compare_digest(stored, wanted):
                found = principal
        return found


@dataclass(frozen=True, slots=True)
class FirstKeys:
    """The keys that were made just now, in the clear; None for one that the operator set."""

    api: str | None
    admin: str | None


def open_keyring(data_dir: Path, api_key: str | None, admin_key: str | None) -> tuple[Keyring, FirstKeys | None]:
    """The keyring of `data_dir`, and, at the first start, the keys to show once.

    `api_key` and `admin_key` are the operator's own: they are added, and none is made in their place.
    """
    path = data_dir / _FILE
    first = None
    try:
        if not path.exists():
            first = FirstKeys(None if api_key else new_key("api"), None if admin_key else new_key("admin"))
            _write_first(path, first)
        return _read(path, api_key, admin_key), first
    except OSError as error:
        raise OperatorError(f"Cannot use {path} ({error.strerror}): choose another folder with --data-dir.") from error


def _write_first(path: Path, first: FirstKeys) -> None:
    pepper = secrets.token_bytes(32)
    made: list[tuple[KeyKind, str | None]] = [("api", first.api), ("admin", first.admin)]
    keys = [asdict(_StoredKey(new_id("apikey"), kind, digest(pepper, key))) for kind, key in made if key]
    scope = {"organization_id": new_id("org"), "workspace_id": new_id("wrkspc")}
    _write_secret(path, json.dumps({**scope, "pepper": pepper.hex(), "keys": keys}, indent=1))


def _write_secret(path: Path, text: str) -> None:
    """Whole or not at all, and readable by the owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _read(path: Path, api_key: str | None, admin_key: str | None) -> Keyring:
    try:
        data = json.loads(path.read_text())
        scope = Scope(data["organization_id"], data["workspace_id"])
        pepper = bytes.fromhex(data["pepper"])
        stored = [_StoredKey(key["id"], key["kind"], key["digest"]) for key in data["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(f"{path} is damaged: restore it, or delete it to have new keys made.") from error
    keys = {key.digest: Principal(key.id, scope, key.kind == "admin") for key in stored}
    if api_key:
        keys[digest(pepper, api_key)] = Principal("apikey_environment", scope)
    if admin_key:
        keys[digest(pepper, admin_key)] = Principal("apikey_environment_admin", scope, is_admin=True)
    return Keyring(scope, pepper, keys)
