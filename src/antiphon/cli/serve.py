"""`antiphon serve`."""

import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable

import typer

from antiphon.app import App, create_app
from antiphon.core.clock import SystemClock
from antiphon.core.errors import OperatorError
from antiphon.settings import Settings
from antiphon.store.first import FirstKeys
from antiphon.telemetry import logs
from antiphon.web.server import Server, bind

_GC_THRESHOLDS = (20_000, 20, 20)
"""What a call allocates dies with it by itself: look for cycles far less often than every 700 objects."""
_BLOCK_BYTES = 16 * 1024 * 1024
"""Of memory, for the body of a request or a text in it: as large as a picture in base64 may be, and some."""


def serve(settings: Settings, *, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM. Raises OperatorError if it cannot start."""
    logs.configure(settings.log_format)
    bytes(_BLOCK_BYTES)  # glibc keeps what it is given back up to the size of the largest so far: decision 0035
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(settings, as_json=as_json))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, *, as_json: bool) -> None:
    clock = SystemClock()
    listener = bind(settings.host, settings.port)
    app = create_app(settings, clock=clock)
    server = Server(app.door, listener, settings, clock)
    try:
        await _run(app, server, as_json=as_json)
    finally:
        await app.aclose()


async def _run(app: App, server: Server, *, as_json: bool) -> None:
    if first := await app.open():
        _show_or_tell(first, server.url, as_json=as_json)
    server.stop_on_signals()
    starting = app.tasks.spawn(_start(app, server), "start")
    serving = app.tasks.spawn(server.serve(), "serve")
    await asyncio.wait({starting, serving}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and (error := starting.exception()):
        raise error
    await _until_ended(serving)


async def _until_ended(serving: asyncio.Task[None]) -> None:
    try:
        await serving
    except Exception as error:  # its traceback is in the log already
        raise OperatorError("The server has ended by itself: the error above says why.") from error


async def _start(app: App, server: Server) -> None:
    await app.start()
    gc.freeze()  # without a look: a start leaves next to no garbage, and to look for it would take a tenth of the start
    gc.set_threshold(*_GC_THRESHOLDS)
    if app.metrics_port is not None:
        typer.echo(f"metrics: http://{app.settings.host}:{app.metrics_port}/metrics")
    typer.echo(f"ready: {server.url} serves {app.catalog.models[0].id}")


def _show_or_tell(keys: FirstKeys, url: str, *, as_json: bool) -> None:
    try:
        _show_keys(keys, url, as_json=as_json)
    except OSError as error:
        _give_up_stdout()
        raise OperatorError(
            f"The keys of the first start could not be printed ({error.strerror}): "
            "`antiphon keys create --admin --name NAME` makes another."
        ) from error


def _give_up_stdout() -> None:
    """What is left in its buffer would fail once more at the end, with a status of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_keys(keys: FirstKeys, url: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"url": url, "api_key": keys.api, "admin_key": keys.admin}))
        return
    if keys.admin:
        typer.echo(f"The admin key, shown this once: {keys.admin}")
    if keys.api:
        typer.echo("The API key, shown this once. For a client:")
    typer.echo(f"  export ANTHROPIC_BASE_URL={url}")
    if keys.api:
        typer.echo(f"  export ANTHROPIC_API_KEY={keys.api}")
