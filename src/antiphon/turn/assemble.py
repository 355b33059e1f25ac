"""An engine's pieces become the API's events. Pure: no I/O, no clock."""

from collections.abc import Sequence
from typing import NamedTuple

from antiphon.core.errors import internal
from antiphon.turn.blocks import Blocks
from antiphon.turn.pieces import Piece, Prompt, Stop
from antiphon.turn.reading import Asked, Reading
from antiphon.turn.reuse import NOTHING_KEPT, Counts, Kept
from antiphon.turn.script import Script
from antiphon.turn.stops import StopMatcher
from antiphon.turn.tools.offer import OfferedTool
from antiphon.wire.events import (
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    ServerToolUses,
    ServiceTier,
    StopReason,
    Usage,
)
from antiphon.wire.fields import JsonObject


class Plan(NamedTuple):
    """What is known of a reply before its engine has computed anything.

    `max_output` is what the engine was asked for: `max_tokens`, or less where the window leaves less. Without a
    `script` the reply is one block of text.
    """

    message_id: str
    model: str
    num_input: int
    max_tokens: int
    max_output: int
    stop_sequences: Sequence[str] = ()
    has_room: bool = True
    """Whether the prompt leaves any of the window: otherwise the engine is not asked."""
    script: Script | None = None
    applied_edits: Sequence[JsonObject] | None = None
    """What was cleared from the request; None where its client has asked for no edits."""
    kept: Kept = NOTHING_KEPT
    """What of the prompt is cached, or will be."""
    diagnostics: JsonObject | None = None
    """What the client has asked to be told of the cache."""
    service_tier: ServiceTier = "standard"


class Assembler:
    """Call `start` once, then `feed` each burst until `is_done`. Blocks never overlap; usage only grows.

    Where `asked` is set, the engine's output is to be dropped, and the next burst is what it answers to that; its own
    counts begin anew.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stops = StopMatcher(plan.stop_sequences)
        self._blocks = Blocks()
        self._reading = Reading(plan.script, self._blocks, self._stops) if plan.script else None
        self.num_output = 0
        """Tokens that were made so far."""
        self._num_before = 0
        self._num_thinking = 0
        self._server_tool_uses = ServerToolUses()
        self._num_input = plan.num_input
        self._kept = plan.kept
        self._counts_before: Counts | None = None
        self._num_reused: int | None = None
        self._last_usage: Usage | None = None
        self.is_computed = False
        """Whether the engine has all of the prompt."""
        self.is_done = False
        self.asked: Asked | None = None

    def start(self) -> list[Event]:
        plan = self._plan
        events: list[Event] = [MessageStart(plan.message_id, plan.model, self.usage, plan.diagnostics)]
        if self._reading and self._plan.has_room:
            self._reading.open()
        return events + self._blocks.take()

    @property
    def usage(self) -> Usage:
        """Where the call stands. A reply that was allowed any output counts at least one token, as the API's does."""
        if self._last_usage:
            return self._last_usage
        num_output = max(self.num_output, min(self._plan.max_output, 1))
        counts = self._counts()
        return Usage(
            counts.input,
            num_output,
            counts.creation_5m,
            counts.creation_1h,
            counts.read,
            thinking_tokens=self._num_thinking,
            server_tool_uses=self._server_tool_uses.as_json(),
            service_tier=self._plan.service_tier,
        )

    @property
    def num_lost(self) -> int:
        """Tokens of the first prompt that we took to be cached, and that the engine has computed again."""
        if self._num_reused is None or self._counts_before is not None:
            return 0
        return max(0, self._plan.kept.num_expected - self._num_reused)

    def _counts(self) -> Counts:
        """Of all prompts so far. Until the engine tells what it had, it is what was expected; never told is nothing."""
        untold = 0 if self.is_done else self._kept.num_expected
        num_reused = untold if self._num_reused is None else self._num_reused
        counts = self._kept.split(self._num_input, num_reused)
        return self._counts_before.plus(counts) if self._counts_before else counts

    def feed(self, pieces: Sequence[Piece]) -> list[Event]:
        """The events of one burst: its text joined into one delta, and the ending if it has come."""
        self._note(pieces)
        if self._reading:
            return self._feed_reading(self._reading, pieces)
        if self._stops.is_empty:
            last = pieces[-1]
            text = last.text if len(pieces) == 1 else "".join([piece.text for piece in pieces])
            self._count(last)
            return self._end(text, last.stop) if last.stop else self._show(text)
        return self._feed_matching(pieces)

    def feed_nothing(self) -> list[Event]:
        """The whole ending of a reply whose plan has no room."""
        return self._end("", Stop("length"))

    def go_on(self) -> None:
        """The engine goes on with the same output."""
        self._num_before, self.asked = self.num_output, None

    def begin_again(self, result: JsonObject, prompt: Prompt, found: Sequence[OfferedTool] = ()) -> list[Event]:
        """`result` answers the call that was `asked`, and `prompt` is what the engine computes next.

        The tools `found` may be called from here on.
        """
        assert self._reading
        self.go_on()
        self._counts_before = self._counts()
        self._num_input, self._num_reused, self._kept = prompt.num_tokens, None, self._kept.written()
        self._reading.begin_again(found, is_thinking=prompt.is_thinking)
        self._server_tool_uses.count(result)
        self._blocks.add_whole(result)
        return self._blocks.take()

    def pause(self) -> list[Event]:
        """End the reply where a client may ask for more of it."""
        return self._finish("", "pause_turn", None)

    def _note(self, pieces: Sequence[Piece]) -> None:
        """What the pieces tell of the prompt. An output that goes on tells of one that is ours already."""
        if self.is_computed and self._num_reused is not None:
            return
        for piece in pieces:
            if self._num_reused is None and piece.progress:
                self._num_reused = piece.progress.num_cached
            if self._num_reused is None and piece.stop:
                self._num_reused = piece.stop.num_cached
            is_read = piece.progress is not None and piece.progress.is_done
            self.is_computed = self.is_computed or bool(piece.num_output or piece.stop) or is_read

    def _count(self, piece: Piece) -> int:
        """How many tokens came with this piece."""
        before = self.num_output
        self.num_output = max(before, self._num_before + piece.num_output)
        return self.num_output - before

    def _feed_matching(self, pieces: Sequence[Piece]) -> list[Event]:
        safe: list[str] = []
        for piece in pieces:
            text, found = self._stops.feed(piece.text)
            safe.append(text)
            self._count(piece)
            if found is not None:
                return self._finish("".join(safe), "stop_sequence", found)
            if piece.stop:
                return self._end("".join(safe) + self._stops.flush(), piece.stop)
        return self._show("".join(safe))

    def _feed_reading(self, reading: Reading, pieces: Sequence[Piece]) -> list[Event]:
        for piece in pieces:
            reading.read(piece.text)
            num_tokens = self._count(piece)
            if reading.is_thinking:
                self._num_thinking += num_tokens
                reading.spend(self._num_thinking)
            if piece.stop and not reading.is_over:
                reading.end(is_cut=piece.stop.cause == "length")
            if reading.found_stop is not None:
                return self._finish("", "stop_sequence", reading.found_stop)
            if reading.asked:
                if self.num_output >= self._plan.max_output and not reading.asked.call:
                    return self._end("", Stop("length"))
                self.asked = reading.take_asked()
                break
            if reading.is_over:
                return self._finish("", "tool_use", None)
            if piece.stop:
                return self._end("", piece.stop)
        return self._blocks.take()

    def _end(self, text: str, stop: Stop) -> list[Event]:
        if stop.num_input is not None and not self._num_before:
            self._num_input = stop.num_input
        return self._finish(text, self._reason(stop), None)

    def _reason(self, stop: Stop) -> StopReason:
        if stop.cause == "end":
            return "tool_use" if self._reading and self._reading.num_calls else "end_turn"
        was_cut = self._plan.max_output < self._plan.max_tokens
        return "model_context_window_exceeded" if was_cut else "max_tokens"

    def _show(self, text: str) -> list[Event]:
        if text:
            self._blocks.add_text(text)
        return self._blocks.take()

    def _finish(self, text: str, reason: StopReason, sequence: str | None) -> list[Event]:
        if text:
            self._blocks.add_text(text)
        self._blocks.close()
        self.is_done = True
        self._last_usage = self.usage
        ending = MessageDelta(reason, sequence, self._last_usage, self._plan.applied_edits)
        return [*self._blocks.take(), ending, MessageStop()]

    def check_done(self) -> None:
        """Raise `internal` if the engine's output ended without a stop."""
        if not self.is_done:
            raise internal()
