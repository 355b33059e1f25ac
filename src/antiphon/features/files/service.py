"""Files of a workspace: rows in the database, and blobs that hold their bytes.

A blob is kept in the transaction that makes its row, and removed in one that has seen that no row needs it. Both hold
`Lock.BLOBS`, so that no file is ever without its bytes. What a crash leaves is a draft, or a blob without a row: the
sweep finds both.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, NamedTuple

from sqlalchemy import Row

from antiphon.core.clock import Clock, rfc3339, sleep
from antiphon.core.errors import ApiError, Kind, internal, invalid
from antiphon.core.ids import new_id
from antiphon.core.scope import Scope
from antiphon.features.files import store
from antiphon.features.files.store import Place, Wanted
from antiphon.media.files import StoredFile, not_found
from antiphon.store.blobs import Blob, Blobs, DamagedBlobError, Draft, MissingBlobError
from antiphon.store.db import Database, Lock
from antiphon.store.listing import Part
from antiphon.wire.admin import plain_id

log = logging.getLogger("antiphon.files")

_SWEEP_EVERY_S = 3600.0
_REMEMBERED_S = 30 * 86_400.0


class Upload(NamedTuple):
    """What is known of a file beside its bytes."""

    filename: str
    media_type: str
    expires_in_s: int | None = None
    is_downloadable: bool = False


class Files:
    """Each method acts in the workspace of `scope`, and raises 404 for a file that is not there."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock, max_bytes: int) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._max_bytes = max_bytes

    def draft(self) -> AbstractAsyncContextManager[Draft]:
        """Where the bytes of a file are written before it is added."""
        return self._blobs.draft()

    async def check_room(self, scope: Scope, num_bytes: int) -> None:
        """Raises 400 if so many more bytes than the organization has already are too many."""
        async with self._database.read() as connection:
            num_used = await store.num_bytes_of(connection, scope, self._clock.now())
        self._check(num_used + num_bytes)

    async def add(self, scope: Scope, draft: Draft, upload: Upload) -> Row[Any]:
        """The file is there for good when this returns."""
        blob = await draft.seal()
        now = self._clock.now()
        async with self._database.write() as connection:
            await self._database.hold(connection, Lock.BLOBS)
            self._check(await store.num_bytes_of(connection, scope, now) + blob.num_bytes)
            file_id = new_id("file")
            await store.add_file(connection, scope, id=file_id, **_columns(blob, upload, now))
            await draft.keep()
            return _known(await store.find_file(connection, scope, file_id), file_id)

    def _check(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            message = "The organization's files would take more storage than it may have: delete some."
            raise ApiError(Kind.INVALID_REQUEST, message, details={"error_code": "storage_quota_exceeded"})

    async def retrieve(self, scope: Scope, file_id: str) -> Row[Any]:
        async with self._database.read() as connection:
            row = _known(await store.find_file(connection, scope, plain_id(file_id)), file_id)
        if row.expires_at is not None and row.expires_at <= self._clock.now():
            message = f"File `{file_id}` has expired."
            raise ApiError(Kind.NOT_FOUND, message, details={"error_code": "file_expired"})
        return row

    async def list(self, scope: Scope, wanted: Wanted) -> Part:
        async with self._database.read() as connection:
            return await store.list_files(connection, scope, wanted, self._clock.now())

    async def find(self, scope: Scope, ids: Iterable[str]) -> Sequence[Row[Any]]:
        """Those of `ids` that there are."""
        async with self._database.read() as connection:
            return await store.find_files(connection, scope, ids, self._clock.now())

    async def place_of(self, scope: Scope, parameter: str, file_id: str) -> Place:
        """Where the file stands in its list. Raises 400, naming the parameter that it came in."""
        async with self._database.read() as connection:
            row = await store.find_file(connection, scope, plain_id(file_id))
        if row is None:
            raise invalid(f"{parameter}: {file_id[:100]} was not found")
        return row.created_at, row.id

    async def delete(self, scope: Scope, file_id: str) -> None:
        async with self._database.write() as connection:
            digest = await store.remove_file(connection, scope, plain_id(file_id))
        if digest is None:
            raise not_found(file_id)
        await self._clear([digest])

    async def read(self, scope: Scope, file_id: str) -> StoredFile:
        """The file's bytes, for whoever reads them here."""
        row = await self.retrieve(scope, file_id)
        async with self._found(scope, row):
            path = await self._blobs.path_of(row.digest)
        return StoredFile(path, row.mime_type, row.filename, row.size_bytes)

    @asynccontextmanager
    async def content(self, scope: Scope, file_id: str) -> AsyncGenerator[tuple[Row[Any], AsyncIterator[bytes]], None]:
        """The file and its bytes, for a client. Raises 400 if it may not be given out."""
        row = await self.retrieve(scope, file_id)
        if not row.is_downloadable:
            message = f"File `{file_id}` is not downloadable."
            raise ApiError(Kind.INVALID_REQUEST, message, details={"error_code": "file_not_downloadable"})
        async with self._found(scope, row), self._blobs.reading(row.digest) as pieces:
            yield row, pieces

    @asynccontextmanager
    async def _found(self, scope: Scope, row: Row[Any]) -> AsyncGenerator[None, None]:
        """A file may be deleted before its blob is opened; that there is none otherwise is the disk's fault."""
        try:
            yield
        except MissingBlobError:
            await self.retrieve(scope, row.id)
            log.error("the bytes of file %s are missing: restore %s from a backup.", row.id, row.digest)
            raise internal() from None
        except DamagedBlobError:
            log.error("the bytes of file %s are damaged: restore %s from a backup.", row.id, row.digest)
            raise internal() from None

    async def run(self) -> None:
        """Sweep, now and every hour."""
        while True:
            with suppress(ApiError):  # told by whoever could not; the next time is soon
                await self.sweep()
            await sleep(self._clock, _SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Remove what crashes and expiry have left."""
        if num_drafts := await self._blobs.clear_drafts():
            log.info("removed what %d uploads had left that broke off", num_drafts)
        async with self._database.write() as connection:
            await store.forget_expired(connection, self._clock.now() - _REMEMBERED_S)
        async for digests in self._blobs.digests():
            async with self._database.read() as connection:
                used = await store.used_digests(connection, digests, self._clock.now())
            await self._clear([digest for digest in digests if digest not in used])

    async def _clear(self, digests: Iterable[str]) -> None:
        """Remove those blobs that are no file's."""
        for digest in digests:
            async with self._database.write() as connection:
                await self._database.hold(connection, Lock.BLOBS)
                if not await store.used_digests(connection, [digest], self._clock.now()):
                    await self._blobs.remove(digest)


def _columns(blob: Blob, upload: Upload, now: float) -> dict[str, Any]:
    return {
        "filename": upload.filename,
        "mime_type": upload.media_type,
        "size_bytes": blob.num_bytes,
        "digest": blob.digest,
        "is_downloadable": upload.is_downloadable,
        "created_at": now,
        "expires_at": None if upload.expires_in_s is None else now + upload.expires_in_s,
    }


def _known(row: Row[Any] | None, file_id: str) -> Row[Any]:
    if row is None:
        raise not_found(file_id)
    return row


def describe(row: Row[Any], *, is_old: bool) -> dict[str, Any]:
    """The API's object for a file. In the beta's old shape it has a `scope`, which only agents' sessions set."""
    shown: dict[str, Any] = {
        "id": row.id,
        "type": "file",
        "filename": row.filename,
        "mime_type": row.mime_type,
        "size_bytes": row.size_bytes,
        "created_at": rfc3339(row.created_at),
        "downloadable": row.is_downloadable,
        "expires_at": None if row.expires_at is None else rfc3339(row.expires_at),
    }
    return shown | {"scope": None} if is_old else shown
