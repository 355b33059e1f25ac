"""What has become of items, on its way into the database: many at once, each with its line in the ledger."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError, internal
from antiphon.encode.jsonl import errored_line
from antiphon.features.batches import queue
from antiphon.features.batches.queue import Held, Outcome
from antiphon.ledger.keeper import Keeper
from antiphon.ledger.record import Entry
from antiphon.ledger.store import add_entries
from antiphon.store.db import Database

log = logging.getLogger("antiphon.worker")

_NUM_TOGETHER = 256
_RETRY_S = (0.1, 5.0)


class Done(NamedTuple):
    """An item that has its outcome. `entry` is what it is charged."""

    outcome: Outcome
    entry: Entry | None


class Return(NamedTuple):
    """An item that is to be tried again, at a time; `num_attempts` is 1 if the engine has failed at it."""

    held: Held
    again_at: float
    num_attempts: int


class Writer:
    """`add` never waits. A result and its charge are one transaction; one whose lease was lost is neither."""

    def __init__(
        self, database: Database, keeper: Keeper, clock: Clock, written: Callable[[Sequence[Outcome]], None]
    ) -> None:
        self._database = database
        self._keeper = keeper
        self._clock = clock
        self._written = written
        self._pending: list[Done | Return] = []
        self._due = asyncio.Event()

    @property
    def num_pending(self) -> int:
        return len(self._pending)

    def add(self, one: Done | Return) -> None:
        self._pending.append(one)
        self._due.set()

    async def run(self) -> None:
        """Write until cancelled; ever more slowly while the database is away."""
        retry_s = _RETRY_S[0]
        while True:
            await self._due.wait()
            try:
                await self.flush()
                retry_s = _RETRY_S[0]
            except (ApiError, OSError):  # told by the database
                await sleep(self._clock, retry_s)
                retry_s = min(retry_s * 2, _RETRY_S[1])

    async def flush(self) -> None:
        """Raises 529 while the database is away: what was added stays."""
        while self._pending:
            block = self._pending[:_NUM_TOGETHER]
            await self._write_or_drop(block)
            del self._pending[: len(block)]
        self._due.clear()

    async def _write_or_drop(self, block: Sequence[Done | Return]) -> None:
        """What the database refuses must not hold up the others, nor be computed for ever: its result is an error."""
        try:
            await self._write(block)
        except (ApiError, OSError):
            raise
        except Exception:
            log.exception("%d outcomes of items cannot be written", len(block))
            for one in block if len(block) > 1 else _without_its_line(block[0]):
                await self._write_or_drop([one])

    async def _write(self, block: Sequence[Done | Return]) -> None:
        done = [one for one in block if isinstance(one, Done)]
        written: set[Held] = set()
        async with self._database.write() as connection:
            if done:
                outcomes = [one.outcome for one in done]
                written = await queue.finish(connection, outcomes, self._clock.now())
                if entries := [one.entry for one in done if one.entry and one.outcome.held in written]:
                    await add_entries(connection, entries)
            for again_at, num_attempts in {one[1:] for one in block if isinstance(one, Return)}:
                same = [one.held for one in block if isinstance(one, Return) and one[1:] == (again_at, num_attempts)]
                await queue.give_back(connection, same, again_at, num_attempts)
        for one in done:
            if one.entry:
                self._keeper.close(one.entry if one.outcome.held in written else one.entry.unbilled())
        self._written([one.outcome for one in done if one.outcome.held in written])


def _without_its_line(one: Done | Return) -> Sequence[Done]:
    """What is left of a success that cannot be written: an error, which is not charged."""
    if isinstance(one, Return) or one.outcome.kind != "succeeded":
        return ()
    line = errored_line(one.outcome.custom_id, internal())
    return (Done(one.outcome._replace(kind="errored", line=line), one.entry and one.entry.unbilled()),)
