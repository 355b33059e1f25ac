"""A stream folded into the one Message that a call without `stream` gets."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import jiter
import orjson

from antiphon.core.errors import internal
from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    CitationsDelta,
    Event,
    InputJsonDelta,
    Message,
    MessageDelta,
    MessageStart,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
)


class Collector:
    """Feed it a stream's events in order; `message` is whole after the last one."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._parts: list[str] = []

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, TextDelta):
                self._parts.append(event.text)
            elif isinstance(event, InputJsonDelta):
                self._parts.append(event.partial_json)
            elif isinstance(event, ThinkingDelta):
                self._parts.append(event.thinking)
            elif isinstance(event, CitationsDelta):
                self.message.content[-1]["citations"].append(event.citation)
            elif isinstance(event, SignatureDelta):
                self.message.content[-1]["signature"] = event.signature
            elif isinstance(event, MessageStart):
                self._message = Message(event.id, event.model, event.usage, diagnostics=event.diagnostics)
            elif isinstance(event, BlockStart):
                self.message.content.append(event.block)
            elif isinstance(event, BlockStop):
                self._close_block()
            elif isinstance(event, MessageDelta):
                self._end(event)

    @property
    def message(self) -> Message:
        if self._message is None:
            raise internal()
        return self._message

    def _end(self, event: MessageDelta) -> None:
        message = self.message
        message.stop_reason, message.stop_sequence = event.stop_reason, event.stop_sequence
        message.usage = event.usage
        message.applied_edits = event.applied_edits

    def _close_block(self) -> None:
        block, text = self.message.content[-1], "".join(self._parts)
        self._parts.clear()
        if block["type"] in _TEXTS:
            block[block["type"]] = text
        elif block["type"] in _CALLS:
            block["input"] = _input(text)


_TEXTS = ("text", "thinking")
_CALLS = ("tool_use", "server_tool_use")


def _input(text: str) -> dict[str, Any]:
    """The input of a call. One that `max_tokens` has cut keeps what was whole by then."""
    try:
        return orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return jiter.from_json(text.encode(), partial_mode="trailing-strings")


async def collect(bursts: AsyncIterator[Sequence[Event]]) -> Message:
    collector = Collector()
    async for events in bursts:
        collector.feed(events)
    return collector.message
