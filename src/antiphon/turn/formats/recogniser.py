"""Finds calls and thinking in the text that a model writes, while it writes it."""

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Literal

from antiphon.turn.formats import tagged
from antiphon.turn.formats.arguments import Repair
from antiphon.turn.formats.outputs import Out
from antiphon.turn.formats.reader import Broken, Literals, Reading, ignore
from antiphon.turn.formats.scan import Scan
from antiphon.turn.formats.table import Format
from antiphon.turn.formats.tags import CALLS, Tag, Where, stray
from antiphon.turn.formats.thinking import read_thinking
from antiphon.turn.formats.values import OPENERS
from antiphon.wire.fields import JsonObject

MAX_NESTED = 3


class Recogniser:
    """Call `feed` with each piece of a reply and `finish` once: they return what it holds, in order, and never raise.

    `tools` are those offered (name -> input schema): without any, no call is looked for. `eager` names the tools whose
    arguments are wanted as they come, and not in whole pairs. `is_thinking` says that the prompt opened thinking.
    """

    def __init__(
        self,
        tools: Mapping[str, JsonObject],
        form: Format,
        *,
        repair: Repair | None = None,
        eager: Collection[str] = (),
        is_thinking: bool = False,
    ) -> None:
        self._scan = Scan(tools, repair, eager)
        self._openers = _openers_of(form, "calls" if tools else "no calls")
        self._scan.reader.closers = self._openers.all_closers
        self._run = self._read_all(is_thinking=is_thinking)
        next(self._run)

    @property
    def call_at(self) -> int:
        """How many characters of the reply stand before the last call, or before what holds it."""
        return self._scan.call_at

    def feed(self, text: str) -> list[Out]:
        self._scan.reader.add(text)
        next(self._run)
        if not self._openers.search[self._place()].literals.words and self._scan.reader.is_empty:
            self._scan.let_blanks_go()
        return self._scan.take_found()

    def finish(self, *, is_cut: bool) -> list[Out]:
        """The rest. `is_cut` says that the end is not the model's own: a call that is still open is then incomplete."""
        self._scan.reader.end(is_cut=is_cut)
        next(self._run, None)
        self._scan.end_text()
        self._scan.reader.sink = ignore  # scan and reader hold each other: without this, until the collector comes
        return self._scan.take_found()

    def _read_all(self, *, is_thinking: bool) -> Reading[None]:
        if is_thinking:
            yield from read_thinking(self._scan, self._openers.thinking_end)
            self._scan.show()
        while (tag := (yield from self._find())) is not None:
            yield from self._read(tag)

    def _find(self) -> Reading[Tag | None]:
        """Let text pass up to the next opener; None at the end."""
        reader = self._scan.reader
        while True:
            search = self._openers.search[self._place()]
            match = search.stop.search(reader.text, reader.place)
            end = match.start() if match else len(reader.text)
            if end > reader.place:
                reader.take(end - reader.place)
            elif not (yield from reader.peek()):
                return None
            elif match and (opener := (yield from reader.stands(search.literals))):
                return self._openers.tags[opener]
            elif match:
                reader.take(1)

    def _place(self) -> Where:
        if self._scan.after != "text":
            return "start"
        return "line" if self._scan.has_blank_line else "anywhere"

    def _read(self, tag: Tag) -> Reading[None]:
        scan = self._scan
        scan.hold()
        num_calls = scan.num_calls
        try:
            yield from self._read_tag(tag)
            if not scan.is_plain:
                scan.drop()
        except Broken as broken:
            scan.give_up(broken)
        if scan.num_calls > num_calls and scan.after == "call":
            yield from self._read_closers()
        scan.show()

    def _read_tag(self, tag: Tag) -> Reading[None]:
        scan = self._scan
        scan.is_bare, scan.is_fenced, scan.is_pythonic = True, False, False
        for _ in range(MAX_NESTED):
            scan.is_bare = scan.is_bare and tag.is_bare
            scan.is_fenced = scan.is_fenced or tag.closer == _FENCE
            scan.is_pythonic = tag.is_pythonic or not scan.is_bare
            if tag.opener not in OPENERS:
                scan.reader.take(len(tag.opener))
            if tag.read is not tagged.read_body:
                break
            yield from scan.reader.blanks()
            if not (opener := (yield from scan.reader.stands(self._openers.inner))):
                break
            tag = self._openers.tags[opener]
        scan.may_stray = not scan.is_bare
        yield from tag.read(scan)

    def _read_closers(self) -> Reading[None]:
        """What closes a call from outside, in any order and number; the rest is text again."""
        scan = self._scan
        stray = _STRAY if scan.may_stray else ""
        while True:
            scan.hold()
            yield from scan.reader.blanks()
            closer = yield from scan.reader.stands(self._openers.closers)
            if not closer and scan.is_fenced:
                closer = yield from scan.reader.stands(_FENCES)
                scan.is_fenced = not closer
            if not closer and stray and (yield from scan.reader.peek()) == stray:
                closer, stray = stray, ""
            if not closer:
                return
            scan.reader.take(len(closer))
            scan.drop()


class _Search:
    """The openers that may stand somewhere, and the characters at which to look for one."""

    def __init__(self, tags: Collection[Tag], where: Where) -> None:
        self.literals = Literals(tag.opener for tag in tags if tag.where in _SCOPES[where])
        first = "".join(map(re.escape, sorted({word[0] for word in self.literals.words})))
        self.stop = re.compile(f"[{first}\\n]")


class _Openers:
    """What is looked for in replies of one format."""

    def __init__(self, form: Format, calls: Collection[Tag]) -> None:
        by_opener = {tag.opener: tag for tag in calls}
        strays = {tag.closer: stray(tag.closer) for tag in form.thinking}
        self.tags = strays | {tag.opener: tag for tag in (*form.thinking, *form.always)} | by_opener
        self.search = {where: _Search(self.tags.values(), where) for where in _SCOPES}
        self.inner = Literals(opener for opener in by_opener if opener not in OPENERS)
        closers = {tag.closer for tag in calls if tag.closer}
        self.closers = Literals(closers - {_FENCE})
        self.all_closers = Literals(closers)
        self.thinking_end = Literals(tag.closer for tag in form.thinking)


_FENCE = "```"
_FENCES = Literals((_FENCE,))
_STRAY = "}"
_SCOPES: Mapping[Where, Collection[Where]] = {
    "start": ("start", "line", "anywhere"),
    "line": ("line", "anywhere"),
    "anywhere": ("anywhere",),
}


@cache
def _openers_of(form: Format, looked_for: Literal["calls", "no calls"]) -> _Openers:
    return _Openers(form, (*CALLS, *form.calls) if looked_for == "calls" else ())
