"""The notation in which a model cites: the label of a chunk, behind what it says. `[s3]`, `[s3][s7]`, `[s3-5]`.

Models vary it, and `[s3, s7]` is read too. `[3]` is not: texts have footnotes of their own.
"""

import re
from typing import NamedTuple

_NUMBER = r"\s?[sS]?(\d{1,6})"
_ITEM = rf"{_NUMBER}(?:\s?[-\u2013]{_NUMBER})?"
_MARK = re.compile(rf" ?\[(?=\s?[sS]){_ITEM}(?:\s?[,;]{_ITEM}){{0,7}}\s?\]")
_ITEMS = re.compile(_ITEM)
_MAY_BECOME = re.compile(r"(?: ?\[(?:\s?[sS][sS\d\s,;\u2013-]{0,200}|\s)?| )\Z")


class Said(NamedTuple):
    text: str


class Marked(NamedTuple):
    """The (first, last) numbers of the chunks that are cited here."""

    spans: tuple[tuple[int, int], ...]


def label(first: int, last: int | None = None) -> str:
    """The label of a chunk, or of a run of them."""
    return f"[s{first}]" if last in (None, first) else f"[s{first}-{last}]"


class MarkReader:
    """Takes the marks out of a text, whatever its cut. A mark takes the one blank before it along."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> list[Said | Marked]:
        text = self._held + text
        found: list[Said | Marked] = []
        start = 0
        for mark in _MARK.finditer(text):
            found += [Said(text[start : mark.start()])] if mark.start() > start else []
            found.append(Marked(tuple(_spans(mark[0]))))
            start = mark.end()
        rest = text[start:]
        held = _MAY_BECOME.search(rest)
        cut = held.start() if held else len(rest)
        self._held = rest[cut:]
        return [*found, Said(rest[:cut])] if cut else found

    def flush(self) -> str:
        """The text that was kept back, once the reply has ended."""
        held, self._held = self._held, ""
        return held


def _spans(mark: str) -> list[tuple[int, int]]:
    return [(int(item[1]), int(item[2] or item[1])) for item in _ITEMS.finditer(mark)]
