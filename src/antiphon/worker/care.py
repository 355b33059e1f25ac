"""What has to happen to batches by time: they end when they are canceled or too old, and what is not needed goes."""

from collections.abc import Mapping

from antiphon.core.clock import Clock
from antiphon.features.batches import queue
from antiphon.features.batches.service import KEPT_S
from antiphon.store.db import Database

_BLOCK = 1000
_DRAFT_S = 3600.0


class Care:
    """Each step is a short transaction, and does no harm where another worker does the same."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def ending(self) -> Mapping[str, str]:
        """The batches that are to end, and what becomes of their items: `canceled` or `expired`."""
        async with self._database.read() as connection:
            return dict(await queue.batches_to_end(connection, self._clock.now()))

    async def end(self, batch_id: str, kind: str) -> int:
        """End the items that nobody works on; how many there were."""
        num, num_ended = 0, _BLOCK
        while num_ended == _BLOCK:
            async with self._database.write() as connection:
                num_ended = await queue.end_items(connection, batch_id, kind, _BLOCK, self._clock.now())
            num += num_ended
        return num

    async def clear(self) -> None:
        """Take away what was deleted, what was kept long enough, and what was never finished."""
        now = self._clock.now()
        async with self._database.read() as connection:
            rows = await queue.batches_to_clear(connection, now - KEPT_S, now - _DRAFT_S)
        for row in rows:
            await self._clear(row.id, has_ended=row.state == "ended")

    async def _clear(self, batch_id: str, *, has_ended: bool) -> None:
        if has_ended:
            async with self._database.write() as connection:
                await queue.archive(connection, batch_id, self._clock.now())
        num_cleared = 1
        while num_cleared:
            async with self._database.write() as connection:
                num_cleared = await queue.clear(connection, batch_id, _BLOCK)
        if not has_ended:
            async with self._database.write() as connection:
                await queue.forget(connection, batch_id)
