"""One request on a connection, as the door sees it: uvicorn's `receive`, and a `send` of our own."""

from collections.abc import Callable
from operator import itemgetter

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Header = tuple[bytes, bytes]
_NAME_OF: Callable[[Header], bytes] = itemgetter(0)


class Cycle(RequestResponseCycle):
    """A reply's head waits for the first of its body, so that both leave in one write.

    uvicorn looks at each header by itself, twice; ours need only be one line each, all of them together.
    """

    _head = b""
    _is_chunked = False

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
        else:
            self._go_on(message.get("body", b""), is_last=not message.get("more_body", False))

    def _begin(self, status: int, headers: list[Header]) -> None:
        self.response_started, self.waiting_for_100_continue = True, False
        self._is_chunked = self._has_body(status) and b"content-length" not in map(_NAME_OF, headers)
        lines = [*self.default_headers, *headers]
        if self._is_chunked:
            lines.append((b"transfer-encoding", b"chunked"))
        if not self.keep_alive:
            lines.append((b"connection", b"close"))
        self._head = head_of(status, lines)

    def _has_body(self, status: int) -> bool:
        return self.scope["method"] != "HEAD" and status not in (204, 304)

    def _go_on(self, body: bytes, *, is_last: bool) -> None:
        if self._is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = body + b"0\r\n\r\n" if is_last else body
        elif self.scope["method"] == "HEAD":
            body = b""
        if data := self._head + body:
            self._head = b""
            self.transport.write(data)
        if is_last:
            self._end()

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def head_of(status: int, headers: list[Header]) -> bytes:
    """A reply's head. Raises ValueError for a header that would not stay in its line."""
    lines = b"\r\n".join(map(b": ".join, headers))
    if not lines.count(b"\n") == lines.count(b"\r") == max(len(headers) - 1, 0):
        raise ValueError("a header of a reply holds a line break")
    return b"%b%b\r\n\r\n" % (STATUS_LINE[status], lines)
