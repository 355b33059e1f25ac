"""Whose turn it is: workspaces take turns, and in each of them its batches do."""

from collections.abc import Iterable
from itertools import count
from typing import NamedTuple


class Waiting(NamedTuple):
    """A batch that has items, and whose it is."""

    workspace_id: str
    batch_id: str


class Turns:
    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._numbers = count(1)

    def next(self, waiting: Iterable[Waiting]) -> Waiting | None:
        """The batch that has waited longest in the workspace that has; of new ones, the first."""
        return min(waiting, key=self._rank, default=None)

    def _rank(self, one: Waiting) -> tuple[int, int]:
        return self._served.get(one.workspace_id, 0), self._served.get(one.batch_id, 0)

    def serve(self, one: Waiting) -> None:
        """Note that it has had its turn."""
        self._served[one.workspace_id] = self._served[one.batch_id] = next(self._numbers)

    def keep_only(self, waiting: Iterable[Waiting]) -> None:
        """Forget whoever waits no more."""
        names = {name for one in waiting for name in one}
        self._served = {name: number for name, number in self._served.items() if name in names}
