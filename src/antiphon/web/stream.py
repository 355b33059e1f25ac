"""A reply that goes out as it is made: pings in silence, and an end to readers that do not read."""

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from antiphon.core.clock import Timer
from antiphon.encode.sse import PING
from antiphon.web.call import PublicCall
from antiphon.wire.events import Event

PING_AFTER_S = 10.0
_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


class Medium(NamedTuple):
    """What a stream is made of: its content type, and the frame that breaks a silence; empty if there is none."""

    content_type: bytes
    ping: bytes


SSE = Medium(b"text/event-stream; charset=utf-8", PING)


async def send_events(
    call: PublicCall,
    bursts: AsyncIterator[Sequence[Event]],
    encode: Callable[[Sequence[Event]], bytes],
    medium: Medium = SSE,
) -> None:
    """Send each burst as soon as it is there, in one piece."""
    async with Outlet(call, medium) as outlet:
        async for events in bursts:
            if frames := encode(events):
                await outlet.write(frames)


class Outlet:
    """An open stream of frames. The reply's head leaves with the first write.

    One timer per stream, armed anew only when it fires: a token costs it nothing. A ping never touches the source of
    the events; it is written only between writes, and every write is a whole number of frames, so the two never mix.
    """

    def __init__(self, call: PublicCall, medium: Medium = SSE) -> None:
        self._call = call
        self._medium = medium
        self._clock = call.shared.clock
        self._write_timeout_s = call.shared.settings.write_timeout_s
        self._is_open = True
        self._is_writing = False
        self._since = self._clock.monotonic()
        self._timer: Timer | None = None

    async def __aenter__(self) -> "Outlet":
        return self

    async def write(self, frames: bytes) -> None:
        self._is_writing, self._since = True, self._clock.monotonic()
        if not self._timer:
            self._timer = self._clock.call_later(min(PING_AFTER_S, self._write_timeout_s), self._look)
            await self._call.start(200, [(b"content-type", self._medium.content_type), *_HEADERS])
            self._call.is_streaming = True
        await self._call.send_part(frames)
        self._is_writing, self._since = False, self._clock.monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        if self._timer:
            self._timer.cancel()
        if kind is None:
            await self._call.send_part(b"", is_last=True)

    def _look(self) -> None:
        """The timer: has it been silent, or is a write stuck?"""
        allowed_s = self._write_timeout_s if self._is_writing else PING_AFTER_S
        left_s = allowed_s - (self._clock.monotonic() - self._since)
        if left_s > 0.001:
            self._timer = self._clock.call_later(left_s, self._look)
        elif self._is_writing:
            self._call.cut()
        else:
            self._call.shared.tasks.spawn(self._ping(), "ping")
            self._timer = self._clock.call_later(PING_AFTER_S, self._look)

    async def _ping(self) -> None:
        if self._medium.ping and self._is_open and not self._call.connection.is_clogged():
            await self.write(self._medium.ping)
