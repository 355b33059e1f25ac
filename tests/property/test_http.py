"""Near-valid requests to a running server: a reply or a refusal in the envelope, and never a 500."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures import streams
from tests.fixtures.serving import serving
from tests.fixtures.wire import API_KEY
from tests.property import strategies

thorough = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
paths = st.sampled_from(["/v1/messages", "/v1/messages/count_tokens", "/v1/complete"])
versions = st.sampled_from(["2023-06-01", "2026-10-21"])


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[http.client.HTTPConnection]:
    with serving(tmp_path_factory.mktemp("property"), "--fake") as server:
        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        yield connection
        connection.close()
        assert "Traceback" not in server.printed


def answerable(request: Any) -> Any:
    """The request with a model that is there, if it names one at all, and no long reply."""
    if isinstance(request, dict) and isinstance(request.get("model"), str):
        request = request | {"model": "echo"}
    return request


def check(connection: http.client.HTTPConnection, path: str, body: bytes, version: str) -> None:
    headers = {"x-api-key": API_KEY, "anthropic-version": version, "content-type": "application/json"}
    connection.request("POST", path, body, headers)
    reply = connection.getresponse()
    content = reply.read()
    request_id = reply.headers["request-id"]
    assert request_id.startswith("req_")
    if reply.status == 200 and reply.headers["content-type"].startswith("text/event-stream"):
        if path == "/v1/messages":
            streams.check(streams.parse(content))
    elif reply.status == 200:
        json.loads(content)
    else:
        assert 400 <= reply.status < 500, (reply.status, content)
        envelope = json.loads(content)
        assert (envelope["type"], envelope["request_id"]) == ("error", request_id)
        assert envelope["error"]["message"]


@thorough
@given(path=paths, request=strategies.mutated().map(answerable), version=versions)
def test_near_valid_requests_never_break_the_server(connection, path: str, request: Any, version: str):
    check(connection, path, strategies.to_bytes(request), version)


@thorough
@given(path=paths, request=strategies.requests.map(answerable), version=versions)
def test_valid_requests_never_break_the_server(connection, path: str, request: Any, version: str):
    check(connection, path, strategies.to_bytes(request), version)


@thorough
@given(path=paths, body=strategies.broken_bytes() | st.binary(max_size=200), version=versions)
def test_any_bytes_never_break_the_server(connection, path: str, body: bytes, version: str):
    check(connection, path, body, version)
