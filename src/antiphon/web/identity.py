"""Identity tokens, as Google signs them: another's signature tells who calls, and a key of ours what they may do.

Nothing is fetched: the signer's public keys lie in a file, which is read again when it has changed (decision 0032).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from antiphon.core.errors import OperatorError
from antiphon.settings import IdentityTokens

if TYPE_CHECKING:
    from jwt import PyJWK

log = logging.getLogger("antiphon.identity")
ALGORITHMS = ("RS256", "ES256")
LEEWAY_S = 30.0
_KINDS = ("RSA", "EC")
_MAX_CHARS = 16_384
_CHECKED = {"require": ["exp", "iss", "aud", "sub"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}
"""The library reads the system's clock, so times are checked here."""


class WrongTokenError(Exception):
    """Why a token is not good: for the server's log, never for its client."""


class Identities:
    """The tokens of `settings`, held against the keys of their file. Raises OperatorError for a file that cannot do."""

    def __init__(self, settings: IdentityTokens) -> None:
        self._settings = settings
        self._changed_at = 0.0
        self._keys: dict[str, PyJWK] = {}
        self._read_keys()

    def key_id_of(self, token: str, now: float) -> tuple[str, float] | None:
        """The id of the API key that stands for a token's holder, and when the token ends; None for a bad token."""
        try:
            claims = self._verified(token, now)
            return self._key_id(claims), float(claims["exp"])
        except WrongTokenError as error:
            log.info("an identity token was refused: %s", error)
            return None

    def _verified(self, token: str, now: float) -> dict[str, Any]:
        import jwt  # slow to import, and most servers never see a token

        settings = self._settings
        try:
            key = self._key_of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=settings.audience,
                issuer=list(settings.issuers),
                options=cast(Any, _CHECKED),
            )
        except jwt.PyJWTError as error:
            raise WrongTokenError(str(error)) from None
        _check_times(claims, now)
        return claims

    def _key_of(self, header: dict[str, Any]) -> PyJWK:
        if header.get("alg") not in ALGORITHMS:
            raise WrongTokenError("it is signed in another way than RS256 or ES256")
        kid = str(header.get("kid"))
        if kid not in self._keys and self._has_changed():
            try:
                self._read_keys()
            except OperatorError as error:
                log.warning("%s The keys that were read before are kept.", error)
        if kid not in self._keys:
            raise WrongTokenError("its key is none of the key set")
        return self._keys[kid]

    def _key_id(self, claims: dict[str, Any]) -> str:
        """By the subject, or by an e-mail address that the issuer has verified."""
        callers = self._settings.callers
        names = [claims["sub"], *([claims.get("email")] if claims.get("email_verified") is True else [])]
        for name in names:
            if isinstance(name, str) and name in callers:
                return callers[name]
        raise WrongTokenError("its holder is none of the callers in the settings")

    def _has_changed(self) -> bool:
        try:
            return self._settings.keys.stat().st_mtime != self._changed_at
        except OSError:
            return False

    def _read_keys(self) -> None:
        self._keys, self._changed_at = _keys_in(self._settings.keys)


def _keys_in(path: Path) -> tuple[dict[str, PyJWK], float]:
    import jwt

    try:
        changed_at = path.stat().st_mtime
        listed = [key for key in json.loads(path.read_text())["keys"] if key.get("kty") in _KINDS and key.get("kid")]
        keys = {key["kid"]: jwt.PyJWK(key) for key in listed}
    except OSError as error:
        raise OperatorError(f"The key set {path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError):
        raise OperatorError(f"{path} is no JSON Web Key Set: fetch the issuer's public keys anew.") from None
    if not keys:
        raise OperatorError(f"{path} holds no public key with a `kid`, of kind RSA or EC.")
    return keys, changed_at


def _check_times(claims: dict[str, Any], now: float) -> None:
    for name in ("exp", "nbf", "iat"):
        if not isinstance(claims.get(name, 0), int | float) or isinstance(claims.get(name), bool):
            raise WrongTokenError(f"`{name}` is no time")
    if claims["exp"] <= now - LEEWAY_S:
        raise WrongTokenError("it has expired")
    if max(claims.get("nbf", 0), claims.get("iat", 0)) > now + LEEWAY_S:
        raise WrongTokenError("its time has not come yet")


def looks_like_a_token(key: str) -> bool:
    """Whether a credential may be one: three parts, the first of them the beginning of a JSON object."""
    return key.startswith("eyJ") and key.count(".") == 2 and len(key) <= _MAX_CHARS
