"""Bytes that are too many for the database. A blob is named by its SHA-256, written once and never changed.

What is being written is a draft. It becomes a blob in one step; of a draft that does not, nothing stays.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol


class Blob(NamedTuple):
    digest: str
    """In hex: its name."""
    num_bytes: int


class MissingBlobError(Exception):
    """There is no such blob."""


class DamagedBlobError(Exception):
    """Its bytes are not those of its name."""


class Draft(Protocol):
    async def write(self, data: bytes) -> None: ...

    async def seal(self) -> Blob:
        """The end of the bytes. They are on the disk now, whatever happens."""
        ...

    async def keep(self) -> None:
        """Make the sealed draft a blob, which is on the disk now, whatever happens. It may have been one before."""
        ...


class Blobs(Protocol):
    """What cannot be written or read for want of room or rights is `overloaded`, and the log says why."""

    def draft(self) -> AbstractAsyncContextManager[Draft]:
        """A new draft; one that was not kept is gone when the block ends."""
        ...

    def reading(self, digest: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of a blob, in pieces. Raises MissingBlobError, and DamagedBlobError before the last piece."""
        ...

    async def path_of(self, digest: str) -> Path:
        """A file that holds the blob, to be read and left alone. Raises MissingBlobError."""
        ...

    async def remove(self, digest: str) -> None:
        """Whoever reads it now may go on. One that is not there is no matter."""
        ...

    def digests(self) -> AsyncGenerator[list[str], None]:
        """Those of all blobs, some at a time."""
        ...

    async def clear_drafts(self) -> int:
        """Remove what processes that have died were writing; how many drafts that were."""
        ...


class MemoryBlobs:
    """Blobs for as long as the process lives, for tests. `folder` is for those that are asked for as files."""

    def __init__(self, folder: Path) -> None:
        self._blobs: dict[str, bytes] = {}
        self._folder = folder

    @asynccontextmanager
    async def draft(self) -> AsyncGenerator[Draft, None]:
        yield _MemoryDraft(self._blobs)

    @asynccontextmanager
    async def reading(self, digest: str) -> AsyncGenerator[AsyncIterator[bytes], None]:
        yield _told(self._find(digest))

    async def path_of(self, digest: str) -> Path:
        path = self._folder / digest
        path.write_bytes(self._find(digest))
        return path

    def _find(self, digest: str) -> bytes:
        if digest not in self._blobs:
            raise MissingBlobError(digest)
        return self._blobs[digest]

    async def remove(self, digest: str) -> None:
        self._blobs.pop(digest, None)

    async def digests(self) -> AsyncGenerator[list[str], None]:
        yield list(self._blobs)

    async def clear_drafts(self) -> int:
        return 0


class _MemoryDraft:
    def __init__(self, blobs: dict[str, bytes]) -> None:
        self._blobs = blobs
        self._data = b""

    async def write(self, data: bytes) -> None:
        self._data += data

    async def seal(self) -> Blob:
        return Blob(hashlib.sha256(self._data).hexdigest(), len(self._data))

    async def keep(self) -> None:
        self._blobs[(await self.seal()).digest] = self._data


async def _told(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
