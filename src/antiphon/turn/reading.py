"""Calls and thinking in the text of a reply, as they come: they become blocks, or a question to the engine."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from antiphon.core.errors import ApiError, Kind
from antiphon.turn.blocks import Blocks
from antiphon.turn.claims import Claims
from antiphon.turn.formats.outputs import CallArgs, CallEnd, CallStart, Out, Text, Thinking
from antiphon.turn.formats.recogniser import Recogniser
from antiphon.turn.pieces import Grammar
from antiphon.turn.schema.grammar import Grammar as Compiled
from antiphon.turn.schema.repair import repaired
from antiphon.turn.script import Script, call_grammar, demanded, document_grammar
from antiphon.turn.stops import StopMatcher
from antiphon.turn.tools.offer import OfferedTool


class ServerCall(NamedTuple):
    """A call to a tool that the server runs."""

    id: str
    name: str
    text: str
    """The arguments' JSON text."""

    @property
    def arguments(self) -> dict[str, Any]:
        return orjson.loads(self.text)


class Asked(NamedTuple):
    """What to ask the engine next: to go on after `text`, with what `grammar` allows.

    With a `call`, it is to be run first: `text` is what was said before it, `thinking` what was thought and can come
    back with it, and the reply goes on after its result. `is_again` says that the engine has failed at this before.
    """

    text: str = ""
    grammar: Grammar | None = None
    call: ServerCall | None = None
    thinking: str = ""
    is_again: bool = False


class Reading:
    """Feed it a reply's text with `read`, and `end` it once. It adds to `blocks`, and stops at what it finds:

    a stop sequence, a call after which no other is allowed (`is_over`), or something to ask the engine (`asked`).
    """

    def __init__(self, script: Script, blocks: Blocks, stops: StopMatcher) -> None:
        self._script = script
        self._blocks = blocks
        self._stops = stops
        self._claims = Claims(script.sources, blocks, stops) if script.sources.sources else None
        self._recogniser = self._new_recogniser(is_thinking=script.is_thinking)
        self._text: list[str] = []
        self._num_before = 0
        """How many characters of the text the recogniser has not been given."""
        self._said: list[str] = []
        self._thoughts: list[str] = []
        self._signed: list[str] = []
        self._call: _Call | None = None
        self._is_forced = bool(script.offer.forced) or script.is_document
        self._owes_thinking = script.thinking.is_demanded
        self.is_thinking = script.is_thinking
        self.num_calls = 0
        """Calls that the client has to answer."""
        self.is_over = False
        self.found_stop: str | None = None
        self.asked: Asked | None = None

    def _new_recogniser(self, *, is_thinking: bool) -> Recogniser:
        tools = self._script.offer.callable.values()
        eager = [tool.name for tool in tools if tool.is_eager]
        return Recogniser(
            self._script.schemas, self._script.form, repair=repaired, eager=eager, is_thinking=is_thinking
        )

    @property
    def _is_stopped(self) -> bool:
        return self.is_over or self.found_stop is not None or self.asked is not None

    def open(self) -> None:
        """Read what the reply was made to begin with."""
        self.read(self._script.opening)

    def read(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._show(self._recogniser.feed(text))

    def end(self, *, is_cut: bool) -> None:
        if self._is_stopped:
            return
        self._show(self._recogniser.finish(is_cut=is_cut))
        if not self._is_stopped:
            self._flush_text()
            self._end_thinking()

    def spend(self, num_thinking: int) -> None:
        """Note how many tokens were thought so far. At the end of its budget the model has to close its thinking."""
        budget = self._script.thinking.budget
        if budget is not None and num_thinking >= budget and self.is_thinking and not self._is_stopped:
            self.read(self._script.form.closing)
            self.is_thinking = False
            self.asked = Asked("".join(self._text))

    def begin_again(self, found: Sequence[OfferedTool], *, is_thinking: bool) -> None:
        """A new output of the engine begins, after the result of a call that may have found tools."""
        self._script = self._script._replace(offer=self._script.offer.with_found(found))
        self._recogniser = self._new_recogniser(is_thinking=is_thinking)
        self._text, self._said, self._signed, self.is_thinking = [], [], [], is_thinking
        self._num_before = 0

    def take_asked(self) -> Asked | None:
        asked, self.asked = self.asked, None
        return asked

    def _show(self, outs: list[Out]) -> None:
        for out in outs:
            match out:
                case Text(text) if self._script.document and not self._is_forced:
                    self._begin_document(text)
                case Text(text):
                    self._end_thinking()
                    self._add_text(text)
                case Thinking(text):
                    self._add_thinking(text)
                case CallStart(name):
                    self._begin_call(self._script.offer.callable[name])
                case CallArgs(fragment):
                    self._add_input(fragment)
                case CallEnd(is_complete):
                    self._end_call(is_complete=is_complete)
            if self._is_stopped:
                return

    def _begin_document(self, text: str) -> None:
        """The thinking is over: from here on the text is written under its grammar."""
        self._end_thinking()
        self._is_forced = True
        self._text = ["".join(self._text).removesuffix(text)]
        assert self._script.document
        self.asked = Asked(self._text[0], document_grammar(self._script.document))

    def _add_text(self, text: str) -> None:
        self._said.append(text)
        if self._claims:
            self._claims.feed(text)
            self.found_stop = self._claims.found_stop
            return
        safe, self.found_stop = self._stops.feed(text)
        if safe:
            self._blocks.add_text(safe)

    def _flush_text(self) -> None:
        if self._claims:
            self._claims.flush()
        elif held := self._stops.flush():
            self._blocks.add_text(held)

    def _add_thinking(self, text: str) -> None:
        self._flush_text()
        self.is_thinking = True
        self._thoughts.append(text)
        if (display := self._script.thinking.display) != "dropped":
            self._blocks.add_thinking(text if display == "shown" else "")

    def _end_thinking(self) -> None:
        self.is_thinking = False
        if self._owes_thinking and not self._thoughts:
            self._add_thinking("")
            self.is_thinking = False
        self._owes_thinking = False
        if self._thoughts and self._script.thinking.display != "dropped":
            self._signed.append("".join(self._thoughts))
            self._blocks.sign(self._script.thinking.sign(self._signed[-1]))
        self._thoughts.clear()

    def _begin_call(self, tool: OfferedTool) -> None:
        if self._call:  # the same call once more
            return
        self._flush_text()
        self._end_thinking()
        if tool.is_strict and not self._is_forced:
            self._force(tool)
            return
        is_held = tool.is_strict and not self._grammar_of(tool).is_exact
        self._call = _Call(tool, self._blocks.begin_call(tool.name, is_server=tool.is_server), is_held=is_held)

    def _grammar_of(self, tool: OfferedTool) -> Compiled:
        """What a strict call is written under."""
        offer, form = self._script.offer, self._script.form
        return demanded(offer, form) if offer.forced else call_grammar([tool], form)

    def _force(self, tool: OfferedTool, *, is_again: bool = False) -> None:
        """A strict tool's arguments are written under its grammar: the engine is asked again, where the call began."""
        form = self._script.form
        prefix = form.shape.prefix(tool.name)
        before = "".join(self._text)[: self._num_before + self._recogniser.call_at]
        self._text, self._num_before = [before, prefix], len(before)
        self._recogniser = self._new_recogniser(is_thinking=False)
        self._is_forced = True
        self._show(self._recogniser.feed(prefix))
        self.asked = Asked(before + prefix, Grammar(call_grammar([tool], form).text), is_again=is_again)

    def _add_input(self, fragment: str) -> None:
        assert self._call
        self._call.pieces.append(fragment)
        if not self._call.is_held:
            self._blocks.add_input(fragment)

    def _end_call(self, *, is_complete: bool) -> None:
        assert self._call
        if self._call.is_held and is_complete and not self._call.is_true:
            self._try_again(self._call)
            return
        call, self._call = self._call, None
        if call.is_held:
            self._blocks.add_input("".join(call.pieces))
        self._blocks.close()
        if call.tool.is_server:
            if is_complete:
                server_call = ServerCall(call.id, call.tool.name, "".join(call.pieces) or "{}")
                self.asked = Asked("".join(self._said), call=server_call, thinking="\n\n".join(self._signed))
            return
        self.num_calls += 1
        if is_complete:
            self._go_on_after(call)

    def _go_on_after(self, call: "_Call") -> None:
        """Other calls may follow, unless they may not; what was written under a grammar for one call is over."""
        offer = self._script.offer
        self.is_over = not offer.is_parallel or (call.is_second_try and bool(offer.forced))
        if self._is_forced and not offer.forced and not self.is_over:
            self._is_forced = False
            self.asked = Asked("".join(self._text))

    def _try_again(self, call: "_Call") -> None:
        """Raises `api_error` for a strict call that was not true the second time either."""
        if call.is_second_try:
            raise ApiError(Kind.INTERNAL, _UNTRUE.format(call.tool.name))
        call.is_second_try = True
        call.pieces.clear()
        self._force(call.tool, is_again=True)


_UNTRUE = "The model did not write a call of the strict tool '{}' that its input_schema allows, and was asked twice."


class _Call:
    def __init__(self, tool: OfferedTool, id: str, *, is_held: bool) -> None:
        self.tool = tool
        self.id = id
        self.is_held = is_held
        self.is_second_try = False
        self.pieces: list[str] = []

    @property
    def is_true(self) -> bool:
        """Whether the schema allows the arguments."""
        from antiphon.turn.schema.check import problem_of  # its library is slow to import, and seldom needed

        return problem_of(self.tool.schema, orjson.loads("".join(self.pieces) or "{}")) is None
