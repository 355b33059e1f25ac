"""How a prompt's tokens are told: read from the cache, written to it, or neither."""

from collections.abc import Sequence
from typing import NamedTuple


class Counts(NamedTuple):
    """The tokens of a prompt: together they are all of it."""

    input: int = 0
    creation_5m: int = 0
    creation_1h: int = 0
    read: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Kept(NamedTuple):
    """What a prompt's breakpoints cover, in tokens from its start: all of it, and what of it is kept for an hour.

    `num_expected` are those that an earlier call has kept, as far as we know. `tells_all` reports what the engine had
    of a prompt without breakpoints, too.
    """

    num_tokens: int = 0
    num_1h: int = 0
    num_expected: int = 0
    tells_all: bool = False

    def split(self, num_input: int, num_reused: int) -> Counts:
        """The counts of a prompt of `num_input` tokens, of which the engine did not compute `num_reused` again."""
        if not self.num_tokens:
            read = min(num_reused, num_input) if self.tells_all else 0
            return Counts(num_input - read, read=read)
        covered = min(self.num_tokens, num_input)
        num_1h = min(self.num_1h, covered)
        read = min(self.num_expected, num_reused, covered)
        return Counts(num_input - covered, covered - max(num_1h, read), max(0, num_1h - read), read)

    def written(self) -> "Kept":
        """For the next prompt of the same reply, which begins with this one."""
        return self._replace(num_expected=self.num_tokens)


NOTHING_KEPT = Kept()


def num_common(a: Sequence[object], b: Sequence[object]) -> int:
    """How many leading items `a` and `b` share."""
    low, high = 0, min(len(a), len(b))
    while low < high:  # slices are compared much faster than item by item
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
