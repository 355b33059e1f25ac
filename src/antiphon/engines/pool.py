"""The queue in front of an engine: bounded, fair between workspaces, and safe to cancel."""

import asyncio
from collections import OrderedDict, deque

from antiphon.core.clock import Clock
from antiphon.core.errors import overloaded

_Waiter = asyncio.Future[None]


class Pool:
    """`num_slots` calls run at once; up to `max_waiting` more wait, `max_wait_s` seconds at most.

    A free slot goes to the workspaces in turn, so one that floods the queue delays only itself.
    """

    def __init__(self, num_slots: int, max_waiting: int, max_wait_s: float, clock: Clock) -> None:
        self.num_slots = num_slots
        self.num_free = num_slots
        self.num_waiting = 0
        self.num_refused = 0
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    async def acquire(self, workspace_id: str) -> None:
        """Take a slot; `release` gives it back. Raises `overloaded` when the queue is full or the wait was too long."""
        if self.num_free:
            self.num_free -= 1
        else:
            await self._wait(workspace_id)

    async def _wait(self, workspace_id: str) -> None:
        if self.num_waiting >= self._max_waiting:
            raise self._refusal()
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(self._max_wait_s, lambda: self._expire(waiter))
        self._queues.setdefault(workspace_id, deque()).append(waiter)
        self.num_waiting += 1
        try:
            await waiter
        except BaseException:
            self._leave(workspace_id, waiter)
            raise
        finally:
            timer.cancel()
            self.num_waiting -= 1

    def _leave(self, workspace_id: str, waiter: _Waiter) -> None:
        """Undo a wait that ended badly; a slot that was granted in the same moment goes to the next."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.release()
        elif (queue := self._queues.get(workspace_id)) and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[workspace_id]

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.done():
            waiter.set_exception(self._refusal())

    def _refusal(self) -> Exception:
        self.num_refused += 1
        return overloaded(retry_after_s=max(1, round(self._max_wait_s)))

    def release(self) -> None:
        while self._queues:
            workspace_id, queue = self._queues.popitem(last=False)
            waiter = queue.popleft()
            if queue:
                self._queues[workspace_id] = queue
            if not waiter.done():
                waiter.set_result(None)
                return
        self.num_free += 1
