"""Message Batches: how they are made, shown, canceled and deleted. Who works on them is `worker`."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Row

from antiphon.core.clock import Clock, rfc3339
from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.core.ids import new_id
from antiphon.core.scope import Principal, Scope
from antiphon.encode.jsonl import unasked_line
from antiphon.features.batches import store
from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database
from antiphon.store.listing import Part, Wanted
from antiphon.wire.batch import BatchReader, NewItem
from antiphon.wire.versions import Version

LIFETIME_S = 86_400.0
KEPT_S = 29 * 86_400.0
"""How long results are kept, from when the batch was made."""

_BLOCK_BYTES = 1024 * 1024
_NUM_RESULTS_AT_ONCE = 128


class Author(NamedTuple):
    """Who makes a batch, and how its requests are meant."""

    principal: Principal
    version: Version
    betas: Collection[str] = ()
    client: str = ""

    def as_values(self) -> dict[str, Any]:
        principal = self.principal
        return {
            "key_id": principal.key_id,
            "user_id": principal.member.user_id if principal.member else "",
            "client": self.client,
            "allowed_models": json.dumps(sorted(principal.models)),
            "version": str(self.version),
            "betas": json.dumps(sorted(self.betas)),
        }


class Batches:
    """`wake` is called when there is something to do for a worker."""

    def __init__(self, database: Database, clock: Clock, wake: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._wake = wake

    async def create(
        self, author: Author, chunks: AsyncIterator[bytes], *, strict: bool = False, batch_id: str | None = None
    ) -> Row[Any]:
        """Make a batch of a body that comes in pieces. Raises 400 and 413: then nothing is left of it."""
        draft = _Draft(self._database, author, batch_id or new_id("msgbatch"), self._clock.now())
        reader = BatchReader(strict=strict)
        try:
            async for chunk in chunks:
                await draft.add(reader.feed(chunk))
            reader.close()
            row = await draft.publish(self._clock.now(), reader.num_requests)
        except BaseException:
            await draft.discard()
            raise
        self._wake()
        return row

    async def retrieve(self, scope: Scope, batch_id: str) -> Row[Any]:
        """Raises 404 for a batch that is not the workspace's, as all methods do."""
        async with self._database.read() as connection:
            return _known(await store.find_batch(connection, scope, batch_id), batch_id)

    async def list(self, scope: Scope, wanted: Wanted) -> Part:
        async with self._database.read() as connection:
            return await store.list_batches(connection, scope, wanted)

    async def cancel(self, scope: Scope, batch_id: str) -> Row[Any]:
        """Begin to end it. One that has ended, or ends already, stays as it is."""
        async with self._database.write() as connection:
            batch = _known(await store.hold_batch(connection, scope, batch_id), batch_id)
            if batch.state == "in_progress":
                change = {"state": "canceling", "cancel_initiated_at": self._clock.now()}
                batch = await _changed(connection, scope, batch_id, **change)
        self._wake()
        return batch

    async def delete(self, scope: Scope, batch_id: str) -> None:
        """Raises 400 for one that has not ended."""
        async with self._database.write() as connection:
            batch = _known(await store.hold_batch(connection, scope, batch_id), batch_id)
            if batch.state != "ended":
                raise invalid("In progress batches cannot be deleted. Consider canceling the batch instead.")
            await store.change_batch(connection, scope, batch_id, state="deleted")
        self._wake()

    async def results(self, scope: Scope, batch_id: str) -> AsyncGenerator[bytes, None]:
        """Blocks of lines, one line for each request. Raises 404 where there are none yet, or none any more."""
        batch = await self.retrieve(scope, batch_id)
        if batch.state != "ended" or batch.archived_at is not None:
            raise ApiError(Kind.NOT_FOUND, f"Message Batch {batch_id} has no available results.")
        last, num_sent = "", 0
        while num_sent < batch.num_requests:
            async with self._database.read() as connection:
                rows = await store.read_results(connection, scope, batch_id, last, _NUM_RESULTS_AT_ONCE)
            if not rows:  # deleted meanwhile
                raise ApiError(Kind.NOT_FOUND, f"Message Batch {batch_id} not found.")
            last, num_sent = rows[-1].custom_id, num_sent + len(rows)
            yield "".join([row.line or unasked_line(row.custom_id, row.kind) for row in rows]).encode()


class _Draft:
    """A batch that is being made. Its rows are written in blocks: neither it nor the database's lock is held long."""

    def __init__(self, database: Database, author: Author, batch_id: str, now: float) -> None:
        self._database = database
        self._author = author
        self._scope = author.principal.scope
        self._id = batch_id
        self._began_at = now
        self._items: list[NewItem] = []
        self._num_bytes = 0
        self._has_begun = False

    async def add(self, items: list[NewItem]) -> None:
        self._items += items
        self._num_bytes += sum(len(item.text) for item in items)
        if self._num_bytes >= _BLOCK_BYTES:
            async with self._database.write() as connection:
                await self._write(connection)
            self._has_begun = True

    async def _write(self, connection: AsyncConnection) -> None:
        if not self._has_begun:
            values = self._author.as_values()
            await store.begin_batch(connection, self._scope, self._id, self._began_at, **values)
        if self._items:
            await store.add_items(connection, self._id, self._items)
        self._items, self._num_bytes = [], 0

    async def publish(self, now: float, num_requests: int) -> Row[Any]:
        """From here on it is there."""
        times = {"created_at": now, "expires_at": now + LIFETIME_S}
        async with self._database.write() as connection:
            await self._write(connection)
            facts = {"state": "in_progress", "num_requests": num_requests} | times
            return await _changed(connection, self._scope, self._id, **facts)

    async def discard(self) -> None:
        """Leave what was written to be swept up."""
        if self._has_begun:
            with suppress(ApiError):  # told by the database; what lies about is swept up later
                async with self._database.write() as connection:
                    await store.change_batch(connection, self._scope, self._id, state="deleted")


async def _changed(connection: AsyncConnection, scope: Scope, batch_id: str, **values: Any) -> Row[Any]:
    await store.change_batch(connection, scope, batch_id, **values)
    return _known(await store.find_batch(connection, scope, batch_id), batch_id)


def _known(batch: Row[Any] | None, batch_id: str) -> Row[Any]:
    if batch is None:
        raise ApiError(Kind.NOT_FOUND, f"Message Batch {batch_id[:100]} not found.")
    return batch


def describe(batch: Row[Any], root: str) -> dict[str, Any]:
    """The API's MessageBatch; `root` is the URL of the server."""
    has_results = batch.state == "ended" and batch.archived_at is None
    counts = {name: getattr(batch, f"num_{name}") for name in store.COUNTS}
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": batch.state,
        "request_counts": {"processing": batch.num_requests - sum(counts.values())} | counts,
        "created_at": rfc3339(batch.created_at),
        "expires_at": rfc3339(batch.expires_at),
        "ended_at": _time(batch.ended_at),
        "cancel_initiated_at": _time(batch.cancel_initiated_at),
        "archived_at": _time(batch.archived_at),
        "results_url": f"{root}/v1/messages/batches/{batch.id}/results" if has_results else None,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
