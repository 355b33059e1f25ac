"""Work that ends when its client has left, or when the server says so."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from antiphon.core.scope import Principal
from antiphon.core.tasks import absorb_cancellation, current_task
from antiphon.web.body import ClientGone


class Last(NamedTuple):
    """Whose call came last over a connection: its key, and its holder by the accounts as they were."""

    accounts: object
    key: bytes
    holder: Principal | None


class Connection:
    """A client's connection, as its protocol knows it."""

    def __init__(
        self, abort: Callable[[], None], is_clogged: Callable[[], bool], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.loop = loop
        """The one it lives on: to ask for the running one is a system call."""
        self.abort = abort
        """Close it at once, whatever is still unsent."""
        self.is_clogged = is_clogged
        """Whether the client reads more slowly than is written: a write would wait."""
        self.give_time: Callable[[float], None] = lambda seconds: None
        """The rest of a body that is still coming may take this many seconds from now."""
        self.last: Last | None = None
        self.is_lost = False
        self.on_lost: Callable[[], None] | None = None

    def lose(self) -> None:
        self.is_lost = True
        if self.on_lost:
            self.on_lost()


class Watch:
    """`async with Watch(...)`: the block ends when the client leaves (ClientGone) or `abort` is called (its error).

    It stands in `live` while the block runs, so that the end of the server reaches it too. It costs no task: the
    protocol itself calls when the connection is lost.
    """

    def __init__(self, connection: Connection, live: "set[Watch]") -> None:
        self._connection = connection
        self._live = live
        self._error: Exception | None = None

    async def __aenter__(self) -> None:
        if self._connection.is_lost:
            raise ClientGone
        self._block = current_task(self._connection.loop)
        self._live.add(self)
        self._connection.on_lost = self._leave

    def abort(self, error: Exception) -> None:
        """End the block with `error`. The first call counts."""
        if self._error is None:
            self._error = error
            self._block.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.on_lost = None
        self._live.discard(self)
        if self._error is None:
            return
        if kind is None:  # the block was done before its cancellation could reach it
            await absorb_cancellation()
        is_cancelled_by_others = self._block.uncancel() > 0
        if kind is None or (kind is asyncio.CancelledError and not is_cancelled_by_others):
            raise self._error from None

    def _leave(self) -> None:
        self.abort(ClientGone())
