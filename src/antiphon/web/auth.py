"""Who calls: the credential of a request, in whichever header, and whether it is good for what is asked."""

from dataclasses import replace
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.types import Message, Receive

from antiphon.core import roles
from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Principal
from antiphon.core.secrets import KeyKind
from antiphon.web import sigv4
from antiphon.web.body import MESSAGES_LIMIT_BYTES, read_body
from antiphon.web.call import PublicCall
from antiphon.web.identity import LEEWAY_S, looks_like_a_token
from antiphon.web.watch import Last

_WRONG_KEY = {"2023-06-01": "invalid x-api-key", "2026-10-21": "API key is invalid."}


async def authenticate(call: PublicCall, kind: KeyKind) -> Principal:
    """The holder of the key in `x-api-key`, `api-key` or `Authorization: Bearer`, else of the pair that has signed.

    Raises 401 in the version's own words, for a key of the other kind too, and 403 for a good key in a wrong place.
    """
    key = call.header(b"x-api-key") or call.header(b"api-key") or _bearer(call)
    if not key:
        if (authorization := call.header(b"authorization") or "").startswith(sigv4.ALGORITHM):
            principal = await _signer_of(call, authorization, kind)
            _check_place(call, principal)
            return principal
        raise ApiError(Kind.AUTHENTICATION, "x-api-key header is required")
    directory = call.shared.directory
    principal = _holder(call, key) if directory.check_fresh() else None
    if principal is None:
        principal = await _holder_of_token(call, key) or await directory.find(key)
    if principal is None or principal.kind != kind or _has_expired(call, principal):
        version = call.header(b"anthropic-version") or ""
        raise ApiError(Kind.AUTHENTICATION, _WRONG_KEY.get(version, _WRONG_KEY["2026-10-21"]))
    _check_place(call, principal)
    return principal


def _holder(call: PublicCall, key: str) -> Principal | None:
    """As far as is known now. A connection whose key is the one of its last call is not asked for its digest again."""
    accounts, raw, last = call.shared.directory.now, key.encode("latin-1"), call.connection.last
    if last is None or last.accounts is not accounts or not compare_digest(last.key, raw):
        last = call.connection.last = Last(accounts, raw, call.shared.directory.holder_of(key))
    return last.holder


async def _holder_of_token(call: PublicCall, token: str) -> Principal | None:
    """Whom an identity token speaks for: the holder of a key of ours, until the token ends."""
    identities, now = call.shared.identities, call.shared.clock.now()
    if identities is None or not looks_like_a_token(token) or (found := identities.key_id_of(token, now)) is None:
        return None
    key_id, ends_at = found
    principal = await call.shared.directory.find_by_id(key_id)
    if principal is None:
        return None
    ends = [end for end in (principal.expires_at, ends_at + LEEWAY_S) if end is not None]
    return replace(principal, expires_at=min(ends))


def _bearer(call: PublicCall) -> str | None:
    scheme, _, token = (call.header(b"authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def _signer_of(call: PublicCall, authorization: str, kind: KeyKind) -> Principal:
    """Whose pair has signed the call. Its body is read for that, and then given to the handler once more."""
    call.manners = call.manners._replace(id_headers=(b"request-id", b"x-amzn-requestid"))
    scope, directory = call.scope, call.shared.directory
    request = sigv4.Request(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"])
    claim = sigv4.read_claim(request, authorization, call.shared.clock.now())
    pair = await directory.find_pair(claim.access_key_id)
    if pair is None or pair.principal.kind != kind or _has_expired(call, pair.principal):
        raise sigv4.unknown_key()
    if b"x-amz-security-token" in call.headers or claim.service not in sigv4.SERVICES:
        raise sigv4.unknown_key()
    body = await read_body(call.receive, call.headers, MESSAGES_LIMIT_BYTES)
    sigv4.check(claim, directory.secret_of(claim.access_key_id, pair), request, body)
    call.receive = _giving(body)
    return pair.principal


def _giving(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _has_expired(call: PublicCall, principal: Principal) -> bool:
    return principal.expires_at is not None and principal.expires_at <= call.shared.clock.now()


def _check_place(call: PublicCall, principal: Principal) -> None:
    if principal.networks:
        address = _plain(call.address)
        if address is None or not any(address in network for network in principal.networks):
            raise forbidden("This API key may not be used from this address.")
    workspace = call.headers.get(b"anthropic-workspace-id")
    if workspace is not None and workspace != principal.scope.workspace_id.encode():
        raise forbidden("This API key may not be used in this workspace.")
    if principal.member and not (roles.may_call if principal.kind == "api" else roles.may_read_reports)(
        principal.member
    ):
        raise forbidden("The member that this API key belongs to does not have the role for it.")


def _plain(text: str | None) -> IPv4Address | IPv6Address | None:
    """An IPv4 client of a listener for both has an address that only looks like IPv6's."""
    if text is None:
        return None
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def forbidden(message: str) -> ApiError:
    return ApiError(Kind.PERMISSION, message)
