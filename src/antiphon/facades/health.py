"""What probes and passers-by ask for: no credential, no work."""

from collections.abc import Callable

from starlette.routing import Route

from antiphon import __version__
from antiphon.telemetry.metrics import Metrics
from antiphon.web.call import PublicCall
from antiphon.web.routing import route

_METRICS_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


def routes(is_ready: Callable[[], bool], metrics: Metrics) -> list[Route]:
    async def greet(call: PublicCall) -> None:
        await call.reply_json({"name": "antiphon", "version": __version__})

    async def tell_alive(call: PublicCall) -> None:
        await call.reply_json({"status": "ok"})

    async def tell_ready(call: PublicCall) -> None:
        ready = is_ready()
        await call.reply_json({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    async def tell_metrics(call: PublicCall) -> None:
        await call.reply(metrics.render(), 200, [_METRICS_TYPE])

    return [
        route("/", GET=greet),
        route("/api/hello", GET=greet),
        route("/healthz", GET=tell_alive),
        route("/readyz", GET=tell_ready),
        route("/metrics", GET=tell_metrics),
    ]
