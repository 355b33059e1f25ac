"""Tracing with OpenTelemetry's SDK: becomes `test_otel.py` where that is among the requirements of development."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from antiphon.telemetry.tracing import Tracer

LINE: dict[str, Any] = {
    "request_id": "req_1",
    "method": "POST",
    "route": "/v1/messages",
    "status": 200,
    "asked": "claude-x",
    "model": "echo",
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 40,
        "output_tokens": 3,
    },
    "stream": True,
    "total_ms": 1500.0,
    "error": None,
    "key_id": "apikey_1",
}
PARENT = {b"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"x-api-key": b"none"}


def span_of(headers: dict[bytes, bytes] | None = None, **fields: Any) -> Any:
    """The span that a line of the log becomes."""
    exporter = importlib.import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    tracer = Tracer(importlib.import_module("opentelemetry.sdk.trace.export").SimpleSpanProcessor(exporter))
    tracer.record(LINE | fields, headers or {}, ended_at=1_800_000_000.0)
    (span,) = exporter.get_finished_spans()
    return span


def test_a_span_tells_of_the_request_and_of_the_model():
    span = span_of()
    assert (span.name, span.kind.name, span.resource.attributes["service.name"]) == (
        "POST /v1/messages",
        "SERVER",
        "antiphon",
    )
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/messages",
        "http.response.status_code": 200,
        "antiphon.request_id": "req_1",
        "antiphon.key_id": "apikey_1",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "antiphon",
        "gen_ai.request.model": "claude-x",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "echo",
        "gen_ai.usage.input_tokens": 70,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.cache_creation.input_tokens": 20,
    }


def test_a_span_lasts_as_long_as_its_request():
    span = span_of()
    assert (span.start_time, span.end_time) == (1_799_999_998_500_000_000, 1_800_000_000_000_000_000)


def test_a_span_belongs_to_the_clients_trace():
    span = span_of(PARENT)
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"


@pytest.mark.parametrize("value", [b"", b"nonsense", b"00-00-00-00", b"\xff" * 60])
def test_a_wrong_traceparent_is_no_parent(value: bytes):
    assert span_of({b"traceparent": value}).parent is None


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (200, None, "UNSET"),
        (404, "not_found_error: model: x", "UNSET"),
        (500, "api_error: Internal server error", "ERROR"),
        (200, "api_error: Internal server error", "ERROR"),
        (0, "cancelled", "ERROR"),
    ],
)
def test_only_what_the_server_has_failed_at_is_an_error(status: int, error: str | None, told: str):
    span = span_of(status=status, error=error)
    assert span.status.status_code.name == told
    assert span.attributes.get("error.type") == (error.partition(":")[0] if error else None)


def test_a_request_that_asked_no_model_has_none():
    span = span_of(method="MINE", route="", asked=None, model=None, usage=None)
    assert span.name == "_OTHER"
    assert not [name for name in span.attributes if name.startswith("gen_ai.")]


def test_a_model_that_was_not_found_is_told_as_asked():
    span = span_of(status=404, model="claude-x", usage=None)
    assert span.attributes["gen_ai.request.model"] == "claude-x"
    assert "gen_ai.response.model" not in span.attributes
