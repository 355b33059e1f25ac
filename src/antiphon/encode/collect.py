"""A stream folded into the one Message that a call without `stream` gets."""

from collections.abc import AsyncIterator, Callable, Sequence
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
        self._content: list[dict[str, Any]] = []
        self._parts: list[str] = []

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            if take := _TAKES.get(type(event)):
                take(self, event)

    @property
    def message(self) -> Message:
        if self._message is None:
            raise internal()
        return self._message

    def begin(self, event: MessageStart) -> None:
        self._message = Message(event.id, event.model, event.usage, self._content, diagnostics=event.diagnostics)

    def open_block(self, event: BlockStart) -> None:
        self._content.append(event.block)

    def add_text(self, event: TextDelta) -> None:
        self._parts.append(event.text)

    def add_thinking(self, event: ThinkingDelta) -> None:
        self._parts.append(event.thinking)

    def add_json(self, event: InputJsonDelta) -> None:
        self._parts.append(event.partial_json)

    def cite(self, event: CitationsDelta) -> None:
        self._content[-1]["citations"].append(event.citation)

    def sign(self, event: SignatureDelta) -> None:
        self._content[-1]["signature"] = event.signature

    def close_block(self, event: BlockStop) -> None:
        block, text = self._content[-1], "".join(self._parts)
        self._parts.clear()
        if block["type"] in _TEXTS:
            block[block["type"]] = text
        elif block["type"] in _CALLS:
            block["input"] = _input(text)

    def end(self, event: MessageDelta) -> None:
        message = self.message
        message.stop_reason, message.stop_sequence = event.stop_reason, event.stop_sequence
        message.usage = event.usage
        message.applied_edits = event.applied_edits


_TAKES: dict[type, Callable[[Collector, Any], None]] = {
    MessageStart: Collector.begin,
    BlockStart: Collector.open_block,
    TextDelta: Collector.add_text,
    InputJsonDelta: Collector.add_json,
    ThinkingDelta: Collector.add_thinking,
    CitationsDelta: Collector.cite,
    SignatureDelta: Collector.sign,
    BlockStop: Collector.close_block,
    MessageDelta: Collector.end,
}
"""By the kind of event; what is not here leaves no trace in a Message."""

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
