"""AWS's published vectors pass, what botocore signs passes, and nothing that was changed afterwards does."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.errors import ApiError, Kind
from antiphon.web.sigv4 import ALGORITHM, Request, check, read_claim

VECTORS = json.loads(Path(__file__).with_name("sigv4_vectors.json").read_text())
ID, SECRET = "ANTAEXAMPLEEXAMPLE00", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00"


def parse(text: str) -> tuple[Request, bytes]:
    head, _, body = text.partition("\n\n")
    line, *lines = head.split("\n")
    method, target = line.removesuffix(" HTTP/1.1").split(" ", 1)
    path, _, query = target.partition("?")
    pairs = [line.split(":", 1) for line in lines]
    headers = [(name.lower().encode(), value.encode()) for name, value in pairs]
    return Request(method, path.encode(), query.encode(), headers), body.encode()


def verify(request: Request, body: bytes, secret: str, now: float) -> None:
    authorization = next(value for name, value in request.headers if name == b"authorization").decode()
    check(read_claim(request, authorization, now), secret, request, body)


@pytest.mark.parametrize("name", VECTORS["requests"])
def test_awss_own_vectors_pass(name: str):
    request, body = parse(VECTORS["requests"][name])
    now = datetime.fromisoformat(VECTORS["time"]).timestamp()
    verify(request, body, VECTORS["secret_access_key"], now)
    with pytest.raises(ApiError):
        verify(request, body + b" ", VECTORS["secret_access_key"], now)


PATH = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude/invoke"
BODY = b'{"max_tokens":1}'


def signed(
    path: str = PATH, body: bytes = BODY, method: str = "POST", service: str = "bedrock", **headers: str
) -> tuple[Request, bytes, float]:
    """(a request that botocore has signed just now, its body, the time)."""
    url = f"http://127.0.0.1:8484{path}"
    given = {"Content-Type": "application/json", "X-Amzn-Bedrock-Trace": "DISABLED"} | headers
    made = AWSRequest(method, url, given, body)
    SigV4Auth(Credentials(ID, SECRET), service, "eu-west-3").add_auth(made)
    found = [(name.lower().encode(), str(value).encode()) for name, value in made.headers.items()]
    parts = urlsplit(url)
    request = Request(method, parts.path.encode(), parts.query.encode(), [(b"host", parts.netloc.encode()), *found])
    return request, body, datetime.now(UTC).timestamp()


def test_what_botocore_signs_passes():
    request, body, now = signed()
    verify(request, body, SECRET, now)


_SEGMENT = st.text(st.characters(codec="ascii", exclude_characters="/?#"), max_size=12).map(
    lambda text: "".join(c if c.isalnum() or c in "-_.~:" else f"%{ord(c):02X}" for c in text)
)


@given(st.lists(_SEGMENT, max_size=5), st.lists(st.tuples(_SEGMENT, _SEGMENT), max_size=4), st.binary())
def test_whatever_botocore_signs_passes(segments: list[str], pairs: list[tuple[str, str]], body: bytes):
    query = "&".join(f"{name.replace(':', '%3A')}={value.replace(':', '%3A')}" for name, value in pairs if name)
    request, body, now = signed(f"/x/{'/'.join(segments)}" + (f"?{query}" if query else ""), body)
    verify(request, body, SECRET, now)


def header(name: str, value: str | None) -> Callable[[Request], Request]:
    """The request with another value for a header; None takes it away."""
    wanted = name.encode()

    def change(request: Request) -> Request:
        kept = [pair for pair in request.headers if pair[0] != wanted]
        return request._replace(headers=kept + ([(wanted, value.encode())] if value is not None else []))

    return change


def authorization(change: Callable[[str], str]) -> Callable[[Request], Request]:
    def apply(request: Request) -> Request:
        old = next(value for name, value in request.headers if name == b"authorization").decode()
        assert change(old) != old
        return header("authorization", change(old))(request)

    return apply


def replaced(old: str, new: str) -> Callable[[Request], Request]:
    return authorization(lambda text: text.replace(old, new))


def field(name: str, value: str) -> Callable[[Request], Request]:
    return lambda request: request._replace(**{name: value})


TAMPERED: dict[str, Callable[[Request], Request]] = {
    "another method": field("method", "GET"),
    "another operation": field("path", PATH.replace("/invoke", "/converse").encode()),  # type: ignore[arg-type]
    "another model": field("path", PATH.replace("claude", "claudia").encode()),  # type: ignore[arg-type]
    "a path that decodes to the same": field("path", PATH.replace("%2F", "/").encode()),  # type: ignore[arg-type]
    "a path in other capitals": field("path", PATH.replace("%3A", "%3a").encode()),  # type: ignore[arg-type]
    "a path with a slash more at its end": field("path", (PATH + "/").encode()),  # type: ignore[arg-type]
    "a query": field("query", b"beta=true"),  # type: ignore[arg-type]
    "another host": header("host", "bedrock-runtime.eu-west-3.amazonaws.com"),
    "another port": header("host", "127.0.0.1:8485"),
    "no host": header("host", None),
    "two hosts": lambda request: request._replace(headers=[*request.headers, (b"host", b"b")]),
    "another content type": header("content-type", "application/json; charset=latin-1"),
    "no content type": header("content-type", None),
    "another value of a signed header": header("x-amzn-bedrock-trace", "ENABLED"),
    "a signed header left out": header("x-amzn-bedrock-trace", None),
    "a signed header twice": lambda request: request._replace(
        headers=[*request.headers, (b"x-amzn-bedrock-trace", b"DISABLED")]
    ),
    "a guardrail slipped in": header("x-amz-guardrail", "none"),
    "a workspace slipped in": header("anthropic-workspace-id", "wrkspc_other"),
    "a beta slipped in": header("anthropic-beta", "files-api-2025-04-14"),
    "a version slipped in": header("anthropic-version", "2023-06-01"),
    "a session token slipped in": header("x-amz-security-token", "token"),
    "another body's hash": header("x-amz-content-sha256", "0" * 64),
    "a body that is not signed": header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    "a body in signed chunks": header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
    "another time": header("x-amz-date", "20261122T100000Z"),
    "no time": header("x-amz-date", None),
    "a time that there is not": header("x-amz-date", f"{datetime.now(UTC):%Y%m%d}T256199Z"),
    "two times": lambda request: request._replace(headers=[*request.headers, (b"x-amz-date", b"20150830T123600Z")]),
    "another region": replaced("eu-west-3", "us-east-1"),
    "another service": replaced("/bedrock/", "/s3/"),
    "another terminator": replaced("aws4_request", "aws4_requests"),
    "another day in the scope": authorization(lambda text: text.replace(f"{datetime.now(UTC):%Y%m%d}", "20150830")),
    "another algorithm": replaced(ALGORITHM, "AWS4-HMAC-SHA1"),
    "no signature": authorization(lambda text: text[: text.index(", Signature")]),
    "a signature of zeros": authorization(lambda text: text[:-64] + "0" * 64),
    "a signature in capitals": authorization(lambda text: text[:-64] + "A" * 64),
    "half a signature": authorization(lambda text: text[:-32]),
    "one digit changed": authorization(lambda text: text[:-1] + ("0" if text[-1] != "0" else "1")),
    "two signatures": authorization(lambda text: f"{text}, Signature={'0' * 64}"),
    "host not signed": replaced("host;", ""),
    "content type not signed": replaced("content-type;", ""),
    "the time not signed": replaced("x-amz-date;", ""),
    "signed headers out of order": replaced("content-type;host", "host;content-type"),
    "a signed header that is not there": replaced("host;", "host;x-a;"),
    "no signed headers": authorization(lambda text: text.replace(text.split("SignedHeaders=")[1].split(",")[0], "")),
    "an empty credential": replaced(ID, ""),
    "nothing but the algorithm": authorization(lambda text: ALGORITHM),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_request_that_was_changed_is_refused(name: str):
    request, body, now = signed()
    with pytest.raises(ApiError) as caught:
        verify(TAMPERED[name](request), body, SECRET, now)
    assert caught.value.kind is Kind.AUTHENTICATION
    assert caught.value.headers["x-amzn-errortype"] in ("InvalidSignatureException", "IncompleteSignatureException")


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY.replace(b"1", b"2"), b'{"max_tokens":1}{}'])
def test_another_body_under_the_same_signature_is_refused(body: bytes):
    request, _, now = signed()
    with pytest.raises(ApiError, match="does not match"):
        verify(request, body, SECRET, now)


@pytest.mark.parametrize("payload", ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "0" * 64])
def test_a_body_that_its_signer_left_out_is_refused_by_name(payload: str):
    request, body, now = signed(PATH, BODY, "POST", "bedrock", **{"X-Amz-Content-SHA256": payload})
    with pytest.raises(ApiError, match="x-amz-content-sha256 must be the SHA-256 of the body"):
        verify(request, body, SECRET, now)


def test_another_secret_is_refused():
    request, body, now = signed()
    with pytest.raises(ApiError, match="does not match"):
        verify(request, body, SECRET + "x", now)


@pytest.mark.parametrize(("late_s", "words"), [(300, None), (302, "expired")])
def test_a_signature_is_good_for_five_minutes(late_s: float, words: str | None):
    request, body, _ = signed()
    at = datetime.strptime(dict(request.headers)[b"x-amz-date"].decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    for moment, told in ((at.timestamp() + late_s, words), (at.timestamp() - late_s, words and "not yet current")):
        if told is None:
            verify(request, body, SECRET, moment)
        else:
            with pytest.raises(ApiError, match=told):
                verify(request, body, SECRET, moment)


@given(st.text(), st.lists(st.tuples(st.binary(), st.binary())))
def test_any_claim_at_all_is_taken_or_refused(text: str, headers: list[tuple[bytes, bytes]]):
    request = Request("POST", b"/", b"", headers)
    for claim in (text, f"{ALGORITHM} {text}", f"{ALGORITHM} Credential={text}, SignedHeaders={text}, Signature=x"):
        with pytest.raises(ApiError):
            read_claim(request, claim, 0.0)


def test_the_comparison_takes_the_same_time_for_all(monkeypatch: pytest.MonkeyPatch):
    """It is left to hmac.compare_digest, which is made for that."""
    asked: list[Any] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: not asked.append((a, b)))
    request, body, now = signed()
    verify(request, body, "another", now)
    assert len(asked) == 1
