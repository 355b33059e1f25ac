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
            match event:
                case TextDelta(_, text):
                    self._text.append(text)
                case BlockStart(_, block):
                    self.message.content.append(dict(block))
                case BlockStop():
                    self._close_block()
                case MessageStart(id, model, usage):
                    self._message = Message(id, model, usage)
                case MessageDelta(reason, sequence, usage):
                    message = self.message
                    message.stop_reason, message.stop_sequence, message.usage = reason, sequence, usage
                case _:
                    pass

    @property
    def message(self) -> Message:
        if self._message is None:
            raise internal()
        return self._message

    def _close_block(self) -> None:
        if self._text:
            self.message.content[-1]["text"] = "".join(self._text)
            self._text.clear()


async def collect(bursts: AsyncIterator[Sequence[Event]]) -> Message:
    collector = Collector()
    async for events in bursts:
        collector.feed(events)
    return collector.message
