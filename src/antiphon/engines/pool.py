"""The queue in front of an engine: bounded, fair between workspaces, and safe to cancel."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from antiphon.core.clock import Clock, Timer
from antiphon.core.errors import overloaded

_Waiter = asyncio.Future[None]

QUIET_S = 1.0
"""How long nobody has called before a guest is let in: an agent that runs a tool soon calls again."""
_COME_BACK_S = 5.0
"""What is refused is told to come back after so long at most: other calls end meanwhile."""


class Guest(Protocol):
    """Work that nobody waits for: it is let in while nobody else is there, and sent away where it is in the way."""

    is_computed: bool
    """Whether the engine has all of its prompt."""
    leave: Callable[[], None]
    """Called where it has to go: its work is to be dropped at once."""


class Pool:
    """`num_slots` calls run at once; up to `max_waiting` more wait, `max_wait_s` seconds at most.

    A free slot goes to the workspaces in turn, so one that floods the queue delays only itself. Guests have what is
    left: none of them comes in while there are calls. A call sends away those whose prompts are still being computed,
    and one more where it would have to wait.
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
        self._num_calls = 0
        self._quiet_since = float("-inf")
        self._opening: Timer | None = None
        self._guests: dict[Guest, bool] = {}
        """Those that are in, the oldest first, and whether they were sent away."""
        self._guests_waiting: deque[_Waiter] = deque()

    @property
    def is_quiet(self) -> bool:
        """Whether there is no call, and has been none for a moment."""
        return not self._num_calls and self._clock.monotonic() - self._quiet_since >= QUIET_S

    async def acquire(self, workspace_id: str) -> None:
        """Take a slot; `release` gives it back. Raises `overloaded` when the queue is full or the wait was too long."""
        self._num_calls += 1
        if self._guests:
            self._make_room()
        if self.num_free:
            self.num_free -= 1
            return
        try:
            await self._wait(workspace_id)
        except BaseException:
            self._end_call()
            raise

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
            self._withdraw(workspace_id, waiter)
            raise
        finally:
            timer.cancel()
            self.num_waiting -= 1

    def _withdraw(self, workspace_id: str, waiter: _Waiter) -> None:
        """Undo a wait that ended badly; a slot that was granted in the same moment goes to the next."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._pass_on()
        elif (queue := self._queues.get(workspace_id)) and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[workspace_id]

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.done():
            waiter.set_exception(self._refusal())

    def _refusal(self) -> Exception:
        self.num_refused += 1
        return overloaded(retry_after_s=max(1, round(min(self._max_wait_s, _COME_BACK_S))))

    def release(self) -> None:
        self._pass_on()
        self._end_call()

    def _end_call(self) -> None:
        self._num_calls -= 1
        if not self._num_calls:
            self._quiet_since = self._clock.monotonic()
            self._open_later()

    def _pass_on(self) -> None:
        """A slot is free: it goes to whoever is next."""
        while self._queues:
            workspace_id, queue = self._queues.popitem(last=False)
            waiter = queue.popleft()
            if queue:
                self._queues[workspace_id] = queue
            if not waiter.done():
                waiter.set_result(None)
                return
        self.num_free += 1
        self._open()

    def _make_room(self) -> None:
        for guest in [guest for guest, is_leaving in self._guests.items() if not (is_leaving or guest.is_computed)]:
            self._send_away(guest)
        num_leaving = sum(self._guests.values())
        if self.num_free + num_leaving <= self.num_waiting:
            staying = [guest for guest, is_leaving in self._guests.items() if not is_leaving]
            for guest in staying[-1:]:
                self._send_away(guest)

    def _send_away(self, guest: Guest) -> None:
        self._guests[guest] = True
        guest.leave()

    async def join(self, guest: Guest) -> None:
        """Take a slot for `guest` as soon as nobody else wants it; `leave` gives it back."""
        if self.num_free and self.is_quiet:
            self.num_free -= 1
        else:
            await self._wait_as_guest()
        self._guests[guest] = False

    async def _wait_as_guest(self) -> None:
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        self._guests_waiting.append(waiter)
        self._open_later()
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._pass_on()
            raise

    def leave(self, guest: Guest) -> None:
        del self._guests[guest]
        self._pass_on()

    def _open(self) -> None:
        while self.num_free and self._guests_waiting and self.is_quiet:
            waiter = self._guests_waiting.popleft()
            if not waiter.done():
                self.num_free -= 1
                waiter.set_result(None)

    def _open_later(self) -> None:
        """Let guests in when it has been quiet long enough."""
        if self._opening is None and self._guests_waiting and not self._num_calls:
            left_s = self._quiet_since + QUIET_S - self._clock.monotonic()
            self._opening = self._clock.call_later(max(0.0, left_s), self._look)

    def _look(self) -> None:
        self._opening = None
        self._open()
        if not self.is_quiet:
            self._open_later()
