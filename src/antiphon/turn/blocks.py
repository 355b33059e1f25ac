"""The content blocks of one reply, one after the other."""

from typing import Any

from antiphon.core.ids import new_id
from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    CitationsDelta,
    Event,
    InputJsonDelta,
    Ping,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)

_DIRECT = {"type": "direct"}


class Blocks:
    """Each method adds what it takes to an open block of its kind, or closes the open one and begins another."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._index = -1
        self._kind = ""

    def take(self) -> list[Event]:
        """The events since the last time."""
        events, self._events = self._events, []
        return events

    def add_text(self, text: str) -> None:
        self._add_text(text, {"type": "text", "text": ""})

    def add_claim(self, text: str) -> None:
        """Text of a reply that may cite."""
        self._add_text(text, {"type": "text", "text": "", "citations": []})

    def add_citation(self, citation: dict[str, Any]) -> None:
        """To the open block of text."""
        self._events.append(CitationsDelta(self._index, citation))

    def _add_text(self, text: str, empty: dict[str, object]) -> None:
        if self._kind != "text":
            self._begin("text", empty)
        elif self._events and isinstance(last := self._events[-1], TextDelta):
            last.text += text
            return
        self._events.append(TextDelta(self._index, text))

    def add_thinking(self, text: str) -> None:
        """The text may be empty: a block whose thinking is not shown."""
        if self._kind != "thinking":
            self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if text:
            self._events.append(ThinkingDelta(self._index, text))

    def sign(self, signature: str) -> None:
        """Close the open block of thinking."""
        self._events.append(SignatureDelta(self._index, signature))
        self.close()

    def begin_call(self, name: str, *, is_server: bool) -> str:
        """The new call's id."""
        call_id = new_id("srvtoolu" if is_server else "toolu")
        kind = "server_tool_use" if is_server else "tool_use"
        self._begin(kind, {"type": kind, "id": call_id, "name": name, "input": {}, "caller": _DIRECT})
        self._events.append(InputJsonDelta(self._index, ""))
        return call_id

    def add_input(self, fragment: str) -> None:
        self._events.append(InputJsonDelta(self._index, fragment))

    def add_whole(self, block: dict[str, object]) -> None:
        """A block without deltas."""
        self._begin("whole", block)
        self.close()

    def close(self) -> None:
        if self._kind:
            self._events.append(BlockStop(self._index))
            self._kind = ""

    def _begin(self, kind: str, block: dict[str, object]) -> None:
        self.close()
        self._kind = kind
        self._index += 1
        self._events.append(BlockStart(self._index, block))
        if self._index == 0:
            self._events.append(Ping())
