"""A span for each request, sent to an OpenTelemetry collector. Off, and not even imported, without `otel_endpoint`.

A span is made when its request has ended, from the line that goes to the request log: it costs nothing before, and
holds no more than that line does. The names are OpenTelemetry's conventions for HTTP servers and for generative AI.
"""

import asyncio
import importlib
from collections.abc import Mapping
from typing import Any

from antiphon import __version__
from antiphon.core.errors import OperatorError

_TOKENS = {
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
}
_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())


class Tracer:
    """`processor` is a span processor of OpenTelemetry's SDK: what becomes of the spans."""

    def __init__(self, processor: Any) -> None:
        resource = _module("opentelemetry.sdk.resources").Resource
        about = resource.create({"service.name": "antiphon", "service.version": __version__})
        self._api = _module("opentelemetry.trace")
        self._provider = _module("opentelemetry.sdk.trace").TracerProvider(resource=about, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("antiphon", __version__)
        self._propagator = _module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()

    def record(self, line: Mapping[str, Any], headers: Mapping[bytes, bytes], ended_at: float) -> None:
        """The span of a request that ended at `ended_at` seconds since the epoch; `line` is its line in the log.

        `headers` are the request's, by lower-case name: `traceparent` says which span it belongs to.
        """
        carrier = {name: headers[name.encode()].decode("latin-1") for name in _PARENT if name.encode() in headers}
        span = self._tracer.start_span(
            _name(line),
            context=self._propagator.extract(carrier),
            kind=self._api.SpanKind.SERVER,
            attributes=_attributes(line),
            start_time=int((ended_at - line["total_ms"] / 1e3) * 1e9),
        )
        if line["error"] and not 400 <= line["status"] < 500:  # those are the client's, not the server's
            span.set_status(self._api.StatusCode.ERROR)
        span.end(int(ended_at * 1e9))

    async def aclose(self) -> None:
        """Send what is left. A collector that is away holds it up for a few seconds."""
        await asyncio.to_thread(self._provider.shutdown)


_PARENT = ("traceparent", "tracestate")


def open_tracer(endpoint: str | None) -> Tracer | None:
    """None without an `endpoint`, else what sends to it by OTLP over HTTP. Raises OperatorError without the extra."""
    if endpoint is None:
        return None
    exporter = _module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    batch = _module("opentelemetry.sdk.trace.export").BatchSpanProcessor
    return Tracer(batch(exporter.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OperatorError("otel_endpoint needs OpenTelemetry: pip install 'antiphon[otel]'.") from error


def _name(line: Mapping[str, Any]) -> str:
    return f"{_method(line)} {line['route']}".strip()


def _method(line: Mapping[str, Any]) -> str:
    return line["method"] if line["method"] in _METHODS else "_OTHER"


def _attributes(line: Mapping[str, Any]) -> dict[str, Any]:
    """Without a null: OpenTelemetry knows none."""
    attributes = {
        "http.request.method": _method(line),
        "http.route": line["route"] or None,
        "http.response.status_code": line["status"] or None,
        "error.type": line["error"] and line["error"].partition(":")[0],
        "antiphon.request_id": line["request_id"],
        "antiphon.key_id": line["key_id"],
    }
    if line["asked"]:
        attributes |= _model_attributes(line)
    return {name: value for name, value in attributes.items() if value is not None}


def _model_attributes(line: Mapping[str, Any]) -> dict[str, Any]:
    usage: Mapping[str, int] | None = line["usage"]
    attributes: dict[str, Any] = {
        "gen_ai.provider.name": "antiphon",
        "gen_ai.request.model": line["asked"],
    }
    if usage is None:
        return attributes
    attributes |= {theirs: usage[ours] for ours, theirs in _TOKENS.items()}
    return attributes | {
        "gen_ai.operation.name": "text_completion" if line["route"] == "/v1/complete" else "chat",
        "gen_ai.response.model": line["model"],
        "gen_ai.usage.input_tokens": sum(usage[name] for name in _INPUT),
        "gen_ai.request.stream": line["stream"],
    }
