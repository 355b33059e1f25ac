"""Who calls: the credential of a request, in either header."""

from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Principal
from antiphon.store.credentials import Keyring
from antiphon.web.call import PublicCall

_WRONG_KEY = {"2023-06-01": "invalid x-api-key", "2026-10-21": "API key is invalid."}


def authenticate(call: PublicCall, keyring: Keyring) -> Principal:
    """The holder of the key in `x-api-key`, else in `Authorization: Bearer`. Raises 401 in the version's own words."""
    key = call.header(b"x-api-key") or _bearer(call)
    if not key:
        raise ApiError(Kind.AUTHENTICATION, "x-api-key header is required")
    principal = keyring.find(key)
    if principal is None:
        version = call.header(b"anthropic-version") or ""
        raise ApiError(Kind.AUTHENTICATION, _WRONG_KEY.get(version, _WRONG_KEY["2026-10-21"]))
    return principal


def _bearer(call: PublicCall) -> str | None:
    scheme, _, token = (call.header(b"authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
