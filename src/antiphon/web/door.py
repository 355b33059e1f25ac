"""The outermost layer: every request gets an id, an answer, and a line in the log."""

import asyncio
import logging
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from antiphon.core.clock import rfc3339
from antiphon.core.errors import ApiError, Kind, internal, overloaded
from antiphon.telemetry import logs
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.requests import RequestLog
from antiphon.telemetry.tracing import Tracer
from antiphon.web.body import ClientGone
from antiphon.web.call import Call, Shared, told
from antiphon.web.routing import make_router

log = logging.getLogger("antiphon.web")
_GONE = 499


class Door:
    """The ASGI application. `is_draining` refuses all but probes."""

    def __init__(
        self, shared: Shared, routes: list[Route], metrics: Metrics, request_log: RequestLog, tracer: Tracer | None
    ) -> None:
        self.is_draining = False
        self.num_open = 0
        self.shared = shared
        self._router = make_router(routes)
        self._metrics = metrics
        self._request_log = request_log
        self._lines: list[dict[str, Any]] = []
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        call = Call(scope, receive, send, self.shared)
        scope["antiphon.call"] = call
        logs.request_id.set(call.id)
        if scope["path"].startswith("/v1/v1/"):
            scope["path"] = scope["path"][3:]
        self.num_open += 1
        try:
            await self._answer(call)
        finally:
            self.num_open -= 1
            self._record(call)
            del scope["antiphon.call"]  # a cycle, which would keep the call until the collector comes

    async def _answer(self, call: Call) -> None:
        try:
            call.is_late = self.is_draining
            await self._router(call.scope, call.receive, call.send)
        except ApiError as error:
            self._metrics.count_error(error.kind)
            await call.fail(error)
        except ClientGone:
            call.outcome.status = call.outcome.status or _GONE
        except asyncio.CancelledError:
            call.outcome.error = "cancelled"
            raise
        except Exception:
            log.exception("request %s failed", call.id)
            self._metrics.count_error(Kind.INTERNAL)
            await call.fail(internal())

    def drain(self) -> None:
        """Refuse what comes from now on."""
        self.is_draining = True

    def abort_all(self) -> None:
        """End what still runs: a stream gets an `error` event, any other call a 529."""
        for watch in list(self.shared.live):
            watch.abort(overloaded())

    def record_refusal(self, request_id: str, error: ApiError) -> None:
        """A line for a reply that was made before there was a call."""
        self._metrics.count_request("", error.kind.status, 0.0)
        self._metrics.count_error(error.kind)
        line = {"request_id": request_id, "time": rfc3339(self.shared.clock.now()), "route": ""}
        self._log(line | {"status": error.kind.status, "error": told(error)})

    def _record(self, call: Call) -> None:
        outcome, ended_at = call.outcome, self.shared.clock.now()
        seconds = self.shared.clock.monotonic() - call.started_at
        self._metrics.count_request(outcome.route, outcome.status, seconds)
        line = _line(call, rfc3339(ended_at), seconds)
        self._log(line)
        if self._tracer:
            self._tracer.record(line, call.headers, ended_at)

    def _log(self, line: dict[str, Any]) -> None:
        """One write for all calls that end in the same turn of the loop."""
        self._lines.append(line)
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self._write_log)

    def _write_log(self) -> None:
        lines, self._lines = self._lines, []
        self._request_log.append(lines)


def _line(call: Call, time: str, seconds: float) -> dict[str, Any]:
    outcome = call.outcome
    return {
        "request_id": call.id,
        "time": time,
        "method": call.scope["method"],
        "route": outcome.route,
        "status": outcome.status,
        "asked": outcome.asked or outcome.model,
        "model": outcome.model,
        "usage": outcome.usage.as_json() if outcome.usage else None,
        "stream": call.is_streaming,
        "first_byte_ms": None if outcome.first_byte_s is None else round(outcome.first_byte_s * 1e3, 2),
        "total_ms": round(seconds * 1e3, 2),
        "error": outcome.error,
        "key_id": call.caller.key_id if call.caller else None,
    }
