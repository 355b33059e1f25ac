"""Background tasks that cannot be lost: every one belongs to a group, is named, and its failure is logged."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from antiphon.core.errors import OperatorError

log = logging.getLogger("antiphon.tasks")

T = TypeVar("T")


class TaskGroup:
    """Tasks that live as long as their owner. Unlike in asyncio's, one that fails is logged and stops no other."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or isinstance(task.exception(), OperatorError):  # whoever spawned it tells the operator
            return
        if error := task.exception():
            log.error("task %s failed", task.get_name(), exc_info=error)

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it to end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def current_task(loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Task[Any]:
    """`loop` is the running one, if the caller knows it."""
    task = asyncio.current_task(loop)
    assert task is not None, "called outside any task"
    return task


async def absorb_cancellation() -> None:
    """Take the cancellation that is on its way to this task, so that it does not meet whatever is awaited next."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


async def to_completion(coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns. A cancellation of this task waits until it has ended."""
    task = asyncio.get_running_loop().create_task(coroutine)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation:
        raise cancellation from task.exception()
    return task.result()
