"""Where the sentences of a text begin and end."""

import re

MAX_CHARS = 2_000
"""No sentence is longer: a text without full stops is cut at a blank."""

_BLOCK_END = r"\n[^\S\n]*\n|\n(?=[^\S\n]*(?:[-*\u2022\u2013]|\d{1,3}[.)])[^\S\n])|(?<=\|)[^\S\n]*\n|\n(?=[^\S\n]*\|)"
"""A blank line, a line before an item of a list, and both ends of a row of a table."""
_CLOSERS = r"[\"'\u201d\u2019\u00bb)\]]{0,4}"
_FULL_STOP = rf"[.!?\u2026]{{1,9}}{_CLOSERS}(?=\s)|[\u3002\uff01\uff1f]{{1,9}}{_CLOSERS}"
_BOUNDARY = re.compile(f"{_BLOCK_END}|{_FULL_STOP}")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'\u201c\u2018])(?:[A-Za-z]|Mrs?|Ms|Dr|Prof|St|Mt|Sr|Jr|vs|cf|al|Nr|Art|Fig|Figs|Eq|Vol|Ch|pp?|ca|approx"
    r"|Inc|Ltd|Corp|Gen|Col|Capt|Lt|Sgt|Rev|Hon|Gov|Sen|Rep|Jan|Feb|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
    r"|z\.B|d\.h|u\.a|bzw|e\.g|i\.e|a\.m|p\.m|U\.S|U\.K)\.$"
)
_NEXT_IS_SMALL = re.compile(r"\s+[a-zß-öø-ÿ]")


def spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order, without the white space around it: no other character is left out."""
    found: list[tuple[int, int]] = []
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        if boundary[0][0] == "." and _goes_on(text, boundary):
            continue
        found += _cut(text, start, boundary.end())
        start = boundary.end()
    return found + _cut(text, start, len(text))


def _goes_on(text: str, stop: re.Match[str]) -> bool:
    """Whether a single full stop only ends an abbreviation, or the next word is not a beginning."""
    if stop[0] != ".":
        return False
    if _NEXT_IS_SMALL.match(text, stop.end()):
        return True
    before = text[max(stop.start() - 12, 0) : stop.end()]
    return bool(_ABBREVIATION.search(before)) and not before.endswith(" I.")


def _cut(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span without its margins, in parts of at most `MAX_CHARS`; none for white space."""
    parts: list[tuple[int, int]] = []
    while True:
        start, end = _trim(text, start, end)
        if start == end:
            return parts
        stop = end
        if end - start > MAX_CHARS:
            stop = _blank_before(text, start, start + MAX_CHARS)
        parts.append(_trim(text, start, stop))
        start = stop


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _blank_before(text: str, start: int, end: int) -> int:
    """The last place before `end` where a word ends; `end` itself in a run without blanks."""
    blank = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
    return blank if blank > start else end
