"""AWS Signature Version 4: who signed a request, and whether they signed this very one. No I/O, no clock.

All that a request says is part of its signature: method, path, query, body, and each header that changes what it means.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from antiphon.core.errors import ApiError, Kind

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICES = frozenset(("bedrock", "bedrock-mantle", "aws-external-anthropic"))
MAX_SKEW_S = 300
_CREDENTIAL = re.compile(r"(\w{1,128})/(\d{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_UNRESERVED = "-_.~"
_MUST_BE_SIGNED = ("host", "content-type")
_MUST_BE_SIGNED_PREFIXES = ("x-amz-", "anthropic-")

_Header = tuple[bytes, bytes]


class Request(NamedTuple):
    """A request as it came: `path` and `query` are raw, and `headers` are in order, with names in lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Sequence[_Header]


class Claim(NamedTuple):
    """What the `Authorization` header says: nothing of it is proved yet."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    time: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read_claim(request: Request, authorization: str, now: float) -> Claim:
    """Who claims to have signed `request`. Raises 401 for a claim that cannot be right, whatever the secret."""
    parts = _parts(authorization)
    credential = _CREDENTIAL.fullmatch(parts["Credential"])
    if not credential or not _SIGNATURE.fullmatch(parts["Signature"]):
        raise _incomplete("Authorization header has a Credential or a Signature of the wrong form.")
    signed = tuple(parts["SignedHeaders"].split(";"))
    _check_headers(request, signed)
    access_key_id, date, region, service = credential.groups()
    time = _one(request, b"x-amz-date")
    claim = Claim(access_key_id, date, region, service, signed, parts["Signature"], time)
    _check_time(claim, now)
    return claim


def check(claim: Claim, secret: str, request: Request, body: bytes) -> None:
    """Raises 401 unless `claim` was made with `secret`, for this `request` with this `body`."""
    if not hmac.compare_digest(_sign(claim, secret, request, body), claim.signature):
        raise refused(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )


def refused(name: str, message: str) -> ApiError:
    """`name` is AWS's own for the error."""
    return ApiError(Kind.AUTHENTICATION, message, headers={"x-amzn-errortype": name})


def unknown_key() -> ApiError:
    return refused("UnrecognizedClientException", "The security token included in the request is invalid.")


def _parts(authorization: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in authorization.removeprefix(ALGORITHM).split(",")]
    parts = {name: value for name, _, value in pairs}
    if set(parts) != {"Credential", "SignedHeaders", "Signature"} or len(pairs) != len(parts):
        raise _incomplete("Authorization header requires 'Credential', 'SignedHeaders' and 'Signature', each once.")
    return parts


def _check_headers(request: Request, signed: Sequence[str]) -> None:
    names = {name.decode("latin-1") for name, _ in request.headers}
    if "host" not in signed or list(signed) != sorted(set(signed)) or not names.issuperset(signed):
        raise _incomplete("'SignedHeaders' must name headers of this request in order, and 'host' among them.")
    for name in names.difference(signed):
        if name in _MUST_BE_SIGNED or name.startswith(_MUST_BE_SIGNED_PREFIXES):
            raise refused("InvalidSignatureException", f"The header '{name[:100]}' must be signed.")


def _check_time(claim: Claim, now: float) -> None:
    if not _TIME.fullmatch(claim.time):
        raise _incomplete("X-Amz-Date must be in ISO-8601 'basic format': 20261122T100000Z.")
    if claim.time[:8] != claim.date:
        raise refused("InvalidSignatureException", "Credential should be scoped to the date of X-Amz-Date.")
    try:
        at = datetime.strptime(claim.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _incomplete("X-Amz-Date is no time that there is.") from None
    if abs(now - at) > MAX_SKEW_S:
        what = "Signature expired" if at < now else "Signature not yet current"
        told = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        raise refused("InvalidSignatureException", f"{what}: {claim.time} is too far from {told}, the server's time.")


def _sign(claim: Claim, secret: str, request: Request, body: bytes) -> str:
    canonical = hashlib.sha256(_canonical(claim, request, body)).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in claim.scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, "\n".join((ALGORITHM, claim.time, claim.scope, canonical))).hex()


def _canonical(claim: Claim, request: Request, body: bytes) -> bytes:
    """AWS's canonical request. The body always belongs to it: there is no UNSIGNED-PAYLOAD here."""
    lines = [
        request.method.encode(),
        _canonical_path(request.path),
        _canonical_query(request.query),
        *(b"%b:%b" % (name.encode("latin-1"), _value(request, name)) for name in claim.signed_headers),
        b"",
        ";".join(claim.signed_headers).encode("latin-1"),
        _payload(request, body).encode(),
    ]
    return b"\n".join(lines)


def _payload(request: Request, body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    if _find(request, b"x-amz-content-sha256") not in ([], [digest.encode()]):
        raise refused("InvalidSignatureException", "x-amz-content-sha256 must be the SHA-256 of the body.")
    return digest


def _canonical_path(path: bytes) -> bytes:
    """Without empty and dot segments, and encoded once more: what the client has encoded already is encoded twice."""
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    end = b"/" if kept and path.endswith(b"/") else b""
    return quote(b"/" + b"/".join(kept) + end, safe="/" + _UNRESERVED).encode()


def _canonical_query(query: bytes) -> bytes:
    pairs = [part.partition(b"=")[::2] for part in query.split(b"&") if part]
    encoded = sorted((_again(name), _again(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded).encode()


def _again(text: bytes) -> str:
    return quote(unquote_to_bytes(text), safe=_UNRESERVED)


def _value(request: Request, name: str) -> bytes:
    return b",".join(b" ".join(value.split()) for value in _find(request, name.encode("latin-1")))


def _find(request: Request, name: bytes) -> list[bytes]:
    return [value for given, value in request.headers if given == name]


def _one(request: Request, name: bytes) -> str:
    values = _find(request, name)
    if len(values) != 1:
        raise _incomplete(f"The header '{name.decode()}' is required, once.")
    return values[0].decode("latin-1")


def _incomplete(message: str) -> ApiError:
    return refused("IncompleteSignatureException", message)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("latin-1"), "sha256")
