"""Where a recogniser stands: what it reads, what it keeps back, and what it has found."""

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Literal

from antiphon.turn.formats.arguments import Arguments, Repair
from antiphon.turn.formats.outputs import CallArgs, CallEnd, CallStart, Out, Text, Thinking
from antiphon.turn.formats.reader import Broken, Reader, ignore
from antiphon.wire.fields import JsonObject

_PREFIX = "functions."


class Scan:
    """Text that may yet be a call is held; then it is either dropped, the call standing for it, or released as text.

    Blanks are kept back until something follows them: they are not shown before a call, nor between two.
    """

    def __init__(self, tools: Mapping[str, JsonObject], repair: Repair | None, eager: Collection[str]) -> None:
        self.tools = tools
        self.repair = repair
        self.reader = Reader(self.say)
        self.found: list[Out] = []
        self.call: Arguments | None = None
        self.is_bare = False
        """Whether nothing but its own shape says that this is a call: then the shape is looked at more closely."""
        self.is_plain = False
        """Whether the JSON that is being read turned out to be no call."""
        self.is_fenced = False
        self.is_pythonic = False
        """Whether a list may hold calls as Python writes them."""
        self.may_stray = False
        """Whether one brace too many may follow a call."""
        self.after: Literal["nothing", "text", "thinking", "call"] = "nothing"
        """What came last, blanks apart; `thinking` is where some begins or ends."""
        self.has_blank_line = True
        """Whether all of the line so far is blank."""
        self.num_calls = 0
        """How many calls were complete."""
        self.call_at = 0
        """How many characters stand before what holds the last call."""
        self._held_at = 0
        self._kind: type[Text | Thinking] = Text
        self._eager = eager
        self._held: list[str] = []
        self._blanks: list[str] = []

    def take_found(self) -> list[Out]:
        if self.call is not None and self.call.is_eager:
            self.call.flush()
        found, self.found = self.found, []
        return _joined(found)

    def offered(self, name: str) -> str | None:
        """The offered tool that is meant, or None."""
        name = name.strip(" \t\r\n'\"`")
        if name in self.tools:
            return name
        name = name.removeprefix(_PREFIX)
        return name if name in self.tools else None

    def hold(self) -> None:
        """From here on, keep what is read."""
        self._held_at = self.reader.num_taken
        self._held.clear()
        self.reader.sink = self._held.append
        self.reader.is_strict = self.is_plain = False

    def show(self) -> None:
        """What was held is text, and so is what follows."""
        held = "".join(self._held)
        self._held.clear()
        self.reader.sink = self.say
        if held:
            self.say(held)

    def release(self) -> None:
        """The JSON that is being read is no call: it is text, to its end."""
        self.show()
        self.reader.is_strict = self.is_plain = True

    def drop(self) -> None:
        """What was held is forgotten, and so is what follows."""
        self._held.clear()
        self.reader.sink = ignore

    def say(self, text: str) -> None:
        _, newline, rest = text.rpartition("\n")
        self.has_blank_line = (bool(newline) or self.has_blank_line) and (not rest or rest.isspace())
        self._add(Text, text)

    def think(self, text: str) -> None:
        self._add(Thinking, text)

    def turn_over(self) -> None:
        """Thinking begins or ends: blanks here are the format's, not the model's."""
        self._blanks.clear()
        self.after, self.has_blank_line = "thinking", True

    def let_blanks_go(self) -> None:
        """Nothing can follow that would make blanks before it vanish, unless it is the end of thinking."""
        if self._kind is Thinking and self._blanks:
            return
        if blanks := "".join(self._blanks):
            self.found.append(Text(blanks))
        self._blanks.clear()

    def end_text(self) -> None:
        """The reply is over: its last blanks are shown, unless only they follow a call or thinking."""
        if self.after in ("nothing", "text"):
            self.let_blanks_go()

    def begin(self, name: str) -> Arguments:
        """What was held is a call of this tool."""
        self.call_at = self._held_at
        self.drop()
        self._blanks.clear()
        self.found.append(CallStart(name))
        self.call = Arguments(self.tools[name], self._write, self.repair, is_eager=name in self._eager)
        return self.call

    def end(self, *, is_complete: bool) -> None:
        if self.call is not None:
            self.call.flush()
        self.call = None
        self.num_calls += is_complete
        self.after, self.has_blank_line = "call", True
        self.found.append(CallEnd(is_complete))

    def give_up(self, broken: Broken) -> None:
        """What was being read is broken: a call that has begun ends here, and what was held is text."""
        if self.call is not None:
            self.end(is_complete=False)
            if not self.reader.is_over:
                self.say(broken.word)
        self.show()

    def _write(self, fragment: str) -> None:
        self.found.append(CallArgs(fragment))

    def _add(self, kind: type[Text | Thinking], text: str) -> None:
        self._kind = kind
        body = text.rstrip()
        if not body:
            self._blanks.append(text)
            return
        blanks, self._blanks = self._blanks, [text[len(body) :]]
        if self.after == "thinking":
            blanks, body = [], body.lstrip()
        self.after = "text"
        self.found.append(kind("".join(blanks) + body))


def _joined(found: list[Out]) -> list[Out]:
    """Neighbours of one kind as one, but for arguments."""
    joined: list[Out] = []
    for kind, outs in groupby(found, type):
        if kind is Text or kind is Thinking:
            joined.append(kind("".join([out.text for out in outs if isinstance(out, Text | Thinking)])))
        else:
            joined.extend(outs)
    return joined
