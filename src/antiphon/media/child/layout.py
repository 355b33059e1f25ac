"""From the places of a page's characters to its text, in the order in which a person reads it.

Most files hold their text in that order already, so it is kept, but for columns that a file tells line by line.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from statistics import mean
from typing import NamedTuple

_WIDE = 1.2
"""A gap of so many times the letters' height is one between columns, not between words."""
_LEAST_LINES = 3
_LEAST_WORDS = 2.5
"""Fewer words than these in each line of a column are the cells of a table: those belong to their rows."""


class Char(NamedTuple):
    """White space has no place."""

    text: str
    left: float = 0.0
    bottom: float = 0.0
    right: float = 0.0
    top: float = 0.0


class Run(NamedTuple):
    """Text that stands together in one line."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def height(self) -> float:
        return self.top - self.bottom


def is_spread(boxes: Sequence[Run]) -> bool:
    """Whether some that follow each other stand side by side, with a wide gap between them: columns, or a table."""
    return any(_share_a_line(a, b) and b.left - a.right > _WIDE * a.height for a, b in pairwise(boxes))


def text_of(chars: Iterable[Char]) -> str:
    return "\n".join(_ordered(_lines(_runs(chars))))


def _runs(chars: Iterable[Char]) -> Iterator[Run]:
    """Characters that follow each other in the file and on the page."""
    run: Run | None = None
    has_blank = False
    for char in chars:
        if char.text.isspace():
            has_blank = True
            continue
        if run and _goes_on(run, char):
            run = _joined(run, char, " " if has_blank else "")
        else:
            if run:
                yield run
            run = Run(*char)
        has_blank = False
    if run:
        yield run


def _goes_on(run: Run, char: Char) -> bool:
    return _share_a_line(run, char) and -run.height / 2 < char.left - run.right < _WIDE * run.height


def _share_a_line(a: Run | Char, b: Run | Char) -> bool:
    low, high = max(a.bottom, b.bottom), min(a.top, b.top)
    return high - low > 0.3 * min(a.top - a.bottom, b.top - b.bottom) or a.bottom <= b.bottom <= b.top <= a.top


def _joined(run: Run, other: Run | Char, blank: str) -> Run:
    return Run(
        f"{run.text}{blank}{other.text}",
        min(run.left, other.left),
        min(run.bottom, other.bottom),
        max(run.right, other.right),
        max(run.top, other.top),
    )


def _lines(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs that follow each other from left to right at one height."""
    lines: list[list[Run]] = []
    for run in runs:
        if lines and _share_a_line(lines[-1][-1], run) and run.left >= lines[-1][-1].right:
            lines[-1].append(run)
        else:
            lines.append([run])
    return lines


def _ordered(lines: Sequence[list[Run]]) -> Iterator[str]:
    """Line by line; where several columns are told that way, column by column."""
    start = 0
    while start < len(lines):
        end = start + 1
        while end < len(lines) and len(_columns(lines[start : end + 1])) > 1:
            end += 1
        block = lines[start:end]
        columns = _columns(block)
        if len(columns) > 1 and all(map(_is_prose, columns)):
            yield from (run.text for column in columns for run in column)
        else:
            yield from ("  ".join(run.text for run in line) for line in block)
        start = end


def _columns(lines: Sequence[list[Run]]) -> list[list[Run]]:
    """The runs between the gaps that go through all lines, if the first line has such gaps too."""
    if len(lines[0]) < 2:
        return []
    columns: list[list[Run]] = []
    right = float("-inf")
    for run in sorted((run for line in lines for run in line), key=lambda run: run.left):
        if run.left > right:
            columns.append([])
        columns[-1].append(run)
        right = max(right, run.right)
    return [sorted(column, key=lambda run: -run.bottom) for column in columns]


def _is_prose(column: Sequence[Run]) -> bool:
    heights = [key for key, _ in groupby(column, key=lambda run: round(run.bottom))]
    return len(heights) >= _LEAST_LINES and mean(len(run.text.split()) for run in column) >= _LEAST_WORDS
