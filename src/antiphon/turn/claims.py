"""Which words of a reply a citation is for: the sentence before its mark, which becomes a block of its own."""

import re
from typing import Any

from antiphon.turn.blocks import Blocks
from antiphon.turn.citations import Sources
from antiphon.turn.marks import Marked, MarkReader, Said
from antiphon.turn.stops import StopMatcher

MAX_HELD_CHARS = 400
"""A longer sentence is shown before it is known whether it is cited."""
_MAX_BOUNDARY = 64
_BOUNDARY = re.compile(
    r"(?:(?<!\A\d)(?<!\A\d\d)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\b[A-Z])"
    r"[.!?\u2026][\"'\u201d\u2019\u00bb)*]{0,4}[^\S\n]{1,40}|[\u3002\uff01\uff1f]|\n\s{0,40})(?=\S)"
)
_CLOSING = ".!?\u2026\u3002\uff01\uff1f,;:"
_BULLET = re.compile(r"\s*(?:[-*\u2022\u2013]|\d{1,3}[.)])\s*")
_FULL_STOP = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"'\u201d\u2019\u00bb)*]{0,4}\Z")


class Claims:
    """Feed it a reply's text. Sentences become blocks in the order of the text, and citations end a block.

    What begins a block is shown as it comes. After a sentence without citation, the next one is held back until it is
    known to which block it belongs. A mark at the beginning of a line or an item is for the sentence after it,
    unless the line holds nothing else; and so is one behind a sentence that had its mark before it. No block is blank.
    """

    def __init__(self, sources: Sources, blocks: Blocks, stops: StopMatcher) -> None:
        self._sources = sources
        self._blocks = blocks
        self._stops = stops
        self._marks = MarkReader()
        self._sentence = ""
        self._num_shown = 0
        self._begin()
        self.found_stop: str | None = None
        self.num_citations = 0

    def _begin(self) -> None:
        """No block of ours is open."""
        self._is_open = False
        self._is_cited = False
        self._has_uncited = False
        self._pending: list[dict[str, Any]] = []
        """Citations at the beginning of a line: what comes next says what they are for."""
        self._late: list[dict[str, Any]] = []
        """Citations for what was said: its full stop may still follow."""
        self._owed: list[dict[str, Any]] = []
        """Citations for the sentence that is being said."""

    def feed(self, text: str) -> None:
        """Up to the first stop sequence. Those are looked for in what the client sees, between two marks."""
        self._take(self._marks.feed(text))
        if self.found_stop is not None:
            self._conclude()

    def flush(self) -> None:
        """Show what was held back: the reply ends here, or something other than text follows."""
        if held := self._marks.flush():
            self._take([Said(held)])
        if self.found_stop is None:
            self._say(self._stops.flush())
        self._conclude()

    def _take(self, found: list[Said | Marked]) -> None:
        for out in found:
            if self.found_stop is not None:
                return
            if isinstance(out, Said):
                safe, self.found_stop = self._stops.feed(out.text)
                self._say(safe)
            else:
                self._say(self._stops.flush())
                self._mark(out)

    def _conclude(self) -> None:
        if cited := self._late + self._pending:
            self._cite(cited)
        elif self._sentence.strip():
            self._finish(len(self._sentence))
        self._sentence, self._num_shown = "", 0
        self._begin()

    def _say(self, text: str) -> None:
        if text and self._late:
            text = self._close_sentence(text)
        if text and self._pending:
            text = self._settle(text)
        place = len(self._sentence) - _MAX_BOUNDARY
        self._sentence += text
        while boundary := _BOUNDARY.search(self._sentence, max(place, _indent(self._sentence))):
            self._finish(boundary.end())
            place = 0
        if not self._has_uncited or self._owed or len(self._sentence) > MAX_HELD_CHARS:
            self._show(len(self._sentence))

    def _close_sentence(self, text: str) -> str:
        """What `text` is without the one character that closes the sentence, which late citations then end."""
        late, self._late = self._late, []
        if text[0] in _CLOSING and self._sentence.strip() and not _FULL_STOP.search(self._sentence):
            self._sentence, text = self._sentence + text[0], text[1:]
        self._cite(late)
        return text

    def _settle(self, text: str) -> str:
        """What `text`, which follows pending citations, is without the blank behind them."""
        pending, self._pending = self._pending, []
        if text[0] == "\n" and (self._is_open or self._sentence.strip()):
            self._cite(pending)
            return text
        is_in_line = self._sentence.rstrip(" ")[-1:] not in ("", "\n")
        if self._sentence.strip() and not _BULLET.fullmatch(self._sentence):
            self._finish(len(self._sentence))
        self._owed += pending
        return text if is_in_line else text.removeprefix(" ")

    def _mark(self, mark: Marked) -> None:
        citations = [citation for first, last in mark.spans for citation in self._sources.cite(first, last)]
        if self._pending or self._is_before_its_claim():
            self._pending += citations
        else:
            self._late += citations

    def _is_before_its_claim(self) -> bool:
        """Whether a mark here is, as far as can be told by now, for what comes next."""
        said = self._sentence.rstrip(" ")
        is_at_start = said.endswith("\n") or not (said or self._is_cited) or _BULLET.fullmatch(said)
        return bool(is_at_start or (self._owed and _FULL_STOP.search(said)))

    def _cite(self, citations: list[dict[str, Any]]) -> None:
        """End the sentence, or the block before it if nothing was said since, with `citations`."""
        if self._sentence.strip():
            if self._has_uncited and not self._num_shown:
                self._close()
            self._owed += citations
            self._finish(len(self._sentence))
        elif self._is_open:
            self._add(citations)

    def _finish(self, end: int) -> None:
        """The sentence ends here; what is left of the text begins the next one."""
        self._show(end)
        self._sentence, self._num_shown = self._sentence[end:], max(self._num_shown - end, 0)
        owed, self._owed = self._owed, []
        if owed:
            self._add(owed)
        else:
            self._has_uncited = True

    def _show(self, end: int) -> None:
        """The sentence so far. Its blanks wait for its first word: a block may end before them."""
        if end <= self._num_shown or not self._sentence[:end].strip():
            return
        if self._is_cited or (self._owed and self._has_uncited and not self._num_shown):
            self._close()
        self._blocks.add_claim(self._sentence[self._num_shown : end])
        self._is_open, self._num_shown = True, end

    def _close(self) -> None:
        self._blocks.close()
        self._is_open = self._is_cited = self._has_uncited = False

    def _add(self, citations: list[dict[str, Any]]) -> None:
        """To the open block, each once."""
        for i, citation in enumerate(citations):
            if citation not in citations[:i]:
                self._blocks.add_citation(citation)
                self.num_citations += 1
        self._is_cited, self._has_uncited = True, False


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())
