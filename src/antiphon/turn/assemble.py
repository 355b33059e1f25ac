"""An engine's pieces become the API's events. Pure: no I/O, no clock."""

from collections.abc import Sequence
from typing import NamedTuple

from antiphon.core.errors import internal
from antiphon.turn.pieces import Piece, Stop
from antiphon.turn.stops import StopMatcher
from antiphon.wire.events import (
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    StopReason,
    TextDelta,
    Usage,
)


class Plan(NamedTuple):
    """What is known of a reply before its engine has computed anything.

    `max_output` is what the engine was asked for: `max_tokens`, or less where the window leaves less.
    """

    message_id: str
    model: str
    num_input: int
    max_tokens: int
    max_output: int
    stop_sequences: Sequence[str] = ()
    has_room: bool = True
    """Whether the prompt leaves any of the window: otherwise the engine is not asked."""


class Assembler:
    """Call `start` once, then `feed` each burst until `is_done`. Blocks never overlap; usage only grows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stops = StopMatcher(plan.stop_sequences)
        self._has_block = False
        self._num_output = 0
        self._num_input = plan.num_input
        self.is_done = False

    def start(self) -> list[Event]:
        return [MessageStart(self._plan.message_id, self._plan.model, self.usage)]

    @property
    def usage(self) -> Usage:
        """Where the call stands. A reply that was allowed any output counts at least one token, as the API's does."""
        return Usage(self._num_input, max(self._num_output, min(self._plan.max_output, 1)))

    def feed(self, pieces: Sequence[Piece]) -> list[Event]:
        """The events of one burst: its text joined into one delta, and the ending if it has come."""
        if self._stops.is_empty:
            last = pieces[-1]
            text = last.text if len(pieces) == 1 else "".join([piece.text for piece in pieces])
            self._num_output = max(self._num_output, last.num_output)
            return self._end(text, last.stop) if last.stop else self._show(text)
        return self._feed_matching(pieces)

    def feed_nothing(self) -> list[Event]:
        """The whole ending of a reply whose plan has no room."""
        return self._end("", Stop("length"))

    def _feed_matching(self, pieces: Sequence[Piece]) -> list[Event]:
        safe: list[str] = []
        for piece in pieces:
            text, found = self._stops.feed(piece.text)
            safe.append(text)
            self._num_output = max(self._num_output, piece.num_output)
            if found is not None:
                return self._finish("".join(safe), "stop_sequence", found)
            if piece.stop:
                return self._end("".join(safe) + self._stops.flush(), piece.stop)
        return self._show("".join(safe))

    def _end(self, text: str, stop: Stop) -> list[Event]:
        if stop.num_input is not None:
            self._num_input = stop.num_input
        return self._finish(text, self._reason(stop), None)

    def _reason(self, stop: Stop) -> StopReason:
        if stop.cause == "end":
            return "end_turn"
        was_cut = self._plan.max_output < self._plan.max_tokens
        return "model_context_window_exceeded" if was_cut else "max_tokens"

    def _show(self, text: str) -> list[Event]:
        if not text:
            return []
        if self._has_block:
            return [TextDelta(0, text)]
        self._has_block = True
        return [BlockStart(0, {"type": "text", "text": ""}), Ping(), TextDelta(0, text)]

    def _finish(self, text: str, reason: StopReason, sequence: str | None) -> list[Event]:
        events = self._show(text)
        if self._has_block:
            events.append(BlockStop(0))
        events += [MessageDelta(reason, sequence, self.usage), MessageStop()]
        self.is_done = True
        return events

    def check_done(self) -> None:
        """Raise `internal` if the engine's output ended without a stop."""
        if not self.is_done:
            raise internal()
