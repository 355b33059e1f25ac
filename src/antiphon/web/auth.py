"""Who calls: the credential of a request, in either header, and whether it is good for what is asked."""

from ipaddress import ip_address

from antiphon.core import roles
from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Principal
from antiphon.core.secrets import KeyKind
from antiphon.web.call import PublicCall

_WRONG_KEY = {"2023-06-01": "invalid x-api-key", "2026-10-21": "API key is invalid."}


async def authenticate(call: PublicCall, kind: KeyKind) -> Principal:
    """The holder of the key in `x-api-key`, else in `Authorization: Bearer`.

    Raises 401 in the version's own words, for a key of the other kind too, and 403 for a good key in a wrong place.
    """
    key = call.header(b"x-api-key") or _bearer(call)
    if not key:
        raise ApiError(Kind.AUTHENTICATION, "x-api-key header is required")
    directory = call.shared.directory
    principal = directory.holder_of(key) if directory.is_fresh else None
    if principal is None:
        principal = await directory.find(key)
    if principal is None or principal.kind != kind or _has_expired(call, principal):
        version = call.header(b"anthropic-version") or ""
        raise ApiError(Kind.AUTHENTICATION, _WRONG_KEY.get(version, _WRONG_KEY["2026-10-21"]))
    _check_place(call, principal)
    return principal


def _bearer(call: PublicCall) -> str | None:
    scheme, _, token = (call.header(b"authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _has_expired(call: PublicCall, principal: Principal) -> bool:
    return principal.expires_at is not None and principal.expires_at <= call.shared.clock.now()


def _check_place(call: PublicCall, principal: Principal) -> None:
    if principal.networks:
        address = call.address
        if not address or not any(ip_address(address) in network for network in principal.networks):
            raise forbidden("This API key may not be used from this address.")
    workspace = call.headers.get(b"anthropic-workspace-id")
    if workspace is not None and workspace != principal.scope.workspace_id.encode():
        raise forbidden("This API key may not be used in this workspace.")
    if principal.member and not (roles.may_call if principal.kind == "api" else roles.may_read_reports)(
        principal.member
    ):
        raise forbidden("The member that this API key belongs to does not have the role for it.")


def forbidden(message: str) -> ApiError:
    return ApiError(Kind.PERMISSION, message)
