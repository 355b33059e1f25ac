"""Work that ends when its client has left, or when the server says so."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from antiphon.core.tasks import TaskGroup
from antiphon.web.body import ClientGone


class Watch:
    """`async with Watch(...)`: the block ends when the client leaves (ClientGone) or `abort` is called (its error).

    It stands in `live` while the block runs. Enter it once the request's body is read: from then on `receive` tells
    only that the client has left.
    """

    def __init__(self, receive: Receive, tasks: TaskGroup, live: "set[Watch]") -> None:
        self._receive = receive
        self._tasks = tasks
        self._live = live
        self._error: Exception | None = None

    async def __aenter__(self) -> "Watch":
        self._block = asyncio.current_task()
        self._live.add(self)
        self._watcher = self._tasks.spawn(self._wait(), "watch")
        return self

    def abort(self, error: Exception) -> None:
        """End the block with `error`. The first call counts."""
        if self._error is None and self._block is not None:
            self._error = error
            self._block.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watcher.cancel()
        self._live.discard(self)
        if self._error is None or self._block is None:
            return
        self._block.uncancel()
        if kind is None or kind is asyncio.CancelledError:
            raise self._error from None

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.abort(ClientGone())
