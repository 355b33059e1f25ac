"""Which items to hold back: those whose prompt begins like one that is being computed, until that is in the cache."""

from collections import OrderedDict
from collections.abc import Iterable

from antiphon.wire.batch import NUM_CHARS_PER_LEVEL, NUM_LEVEL_CHARS

_MIN_LEVELS = 3
"""Two kilobytes, some 500 tokens: computing less than that twice costs less than to wait."""
_MAX_KNOWN = 10_000
_BEHIND_THE_END = "0" * NUM_CHARS_PER_LEVEL


class Prefixes:
    """Beginnings of prompts that the engine has computed. Places are those of `NewItem`."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def ahead_of(self, place: str, computing: Iterable[str]) -> str | None:
        """Which of those that are `computing` will spare `place` work that it would not be spared now."""
        own = _beginnings(place)
        shared, nearest = max(((_num_shared(own, _beginnings(other)), other) for other in computing), default=(0, ""))
        return None if shared < _MIN_LEVELS or own[shared - 1] in self._known else nearest

    def note_computed(self, place: str) -> None:
        for beginning in _beginnings(place):
            self._known[beginning] = None
            self._known.move_to_end(beginning)
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def _beginnings(place: str) -> list[str]:
    """The digests of the first level, of the first two, and so on."""
    levels = [place[at : at + NUM_CHARS_PER_LEVEL] for at in range(0, NUM_LEVEL_CHARS, NUM_CHARS_PER_LEVEL)]
    num_levels = next((i for i, level in enumerate(levels) if level == _BEHIND_THE_END), len(levels))
    return [place[: (i + 1) * NUM_CHARS_PER_LEVEL] for i in range(num_levels)]


def _num_shared(own: list[str], other: list[str]) -> int:
    return sum(1 for a, b in zip(own, other, strict=False) if a == b)
