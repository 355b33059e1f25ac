"""A stream folded into the one Message that a call without `stream` gets."""

from collections.abc import AsyncIterator, Sequence

from antiphon.core.errors import internal
from antiphon.wire.events import BlockStart, BlockStop, Event, Message, MessageDelta, MessageStart, TextDelta


class Collector:
    """Feed it a stream's events in order; `message` is whole after the last one."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._text: list[str] = []

    def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, TextDelta):
                self._text.append(event.text)
            elif isinstance(event, MessageStart):
                self._message = Message(event.id, event.model, event.usage)
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

    def _close_block(self) -> None:
        if self._text:
            self.message.content[-1]["text"] = "".join(self._text)
            self._text.clear()


async def collect(bursts: AsyncIterator[Sequence[Event]]) -> Message:
    collector = Collector()
    async for events in bursts:
        collector.feed(events)
    return collector.message
