"""`antiphon worker`."""

import asyncio
import signal

import typer

from antiphon.app import create_app
from antiphon.cli.books import Books, with_books
from antiphon.cli.serve import loop_factory
from antiphon.core.clock import SystemClock
from antiphon.core.errors import OperatorError
from antiphon.settings import Settings
from antiphon.telemetry import logs


def work(settings: Settings) -> None:
    """Run batches until SIGINT or SIGTERM. Raises OperatorError if that cannot be."""
    if not settings.engine:
        raise OperatorError(
            "A worker needs --engine URL, an engine that runs already: the built-in one belongs to its server, "
            "which runs batches by itself."
        )
    logs.configure(settings.log_format)
    with_books(settings, _look)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_work(settings.model_copy(update={"batch_worker": True})))


async def _look(books: Books) -> None:
    """That the books can be opened is all that has to be known: a worker makes none."""


async def _work(settings: Settings) -> None:
    app = create_app(settings, clock=SystemClock())
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await app.open()
        starting = app.tasks.spawn(app.start(), "start")
        stopping = app.tasks.spawn(stopped.wait(), "stopping")
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            typer.echo(f"ready: works on batches with {app.catalog.models[0].id}")
        await stopping
    finally:
        await app.aclose()
