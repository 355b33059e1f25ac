"""What probes and passers-by ask for: no credential, no work."""

from collections.abc import Callable
from ipaddress import ip_address

from starlette.routing import Route

from antiphon import __version__
from antiphon.telemetry.metrics import CONTENT_TYPE, Metrics
from antiphon.web.auth import authenticate
from antiphon.web.call import PublicCall
from antiphon.web.routing import route

_METRICS_TYPE = (b"content-type", CONTENT_TYPE.encode())
_PASSED_ON = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
"""What a proxy adds: behind one, a loopback address says nothing of who asks."""


def routes(is_ready: Callable[[], bool], metrics: Metrics) -> list[Route]:
    async def greet(call: PublicCall) -> None:
        await call.reply_json({"name": "antiphon", "version": __version__})

    async def tell_alive(call: PublicCall) -> None:
        await call.reply_json({"status": "ok"})

    async def tell_ready(call: PublicCall) -> None:
        ready = is_ready()
        await call.reply_json({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    async def tell_metrics(call: PublicCall) -> None:
        if not _is_local(call):  # a scraper can send a key, but not always the header of a version
            call.caller = await authenticate(call, "admin")
        await call.reply(metrics.render(), 200, [_METRICS_TYPE])

    return [
        route("/", GET=greet),
        route("/api/hello", GET=greet),
        route("/healthz", GET=tell_alive),
        route("/readyz", GET=tell_ready),
        route("/metrics", GET=tell_metrics),
    ]


def _is_local(call: PublicCall) -> bool:
    """Whether only this machine can have asked: the server listens on loopback, and no proxy has passed the call on."""
    return is_loopback(call.shared.settings.host) and not any(name in call.headers for name in _PASSED_ON)


def is_loopback(host: str) -> bool:
    """Whether a server on `host` hears this machine only. A name other than localhost counts as the world's."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
