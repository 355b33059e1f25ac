"""Blobs as files of a folder, which several servers may share."""

import asyncio
import fcntl
import hashlib
import logging
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from antiphon.core.errors import overloaded
from antiphon.core.ids import new_id
from antiphon.store.blobs import Blob, DamagedBlobError, Draft, MissingBlobError

log = logging.getLogger("antiphon.store")

_PIECE_BYTES = 1024 * 1024
_SHARD = re.compile(r"[0-9a-f]{2}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobFolder:
    """Blobs, each in a file of its name, and drafts, each locked by whoever writes it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def draft(self) -> AsyncGenerator[Draft, None]:
        draft = _Draft(self._folder)
        try:
            await draft.begin()
            yield draft
        finally:
            await draft.close()

    @asynccontextmanager
    async def reading(self, digest: str) -> AsyncGenerator[AsyncIterator[bytes], None]:
        with _told(self._folder):
            file = await asyncio.to_thread(_open, self._place(digest))
        try:
            yield self._pieces(file, digest)
        finally:
            file.close()

    async def _pieces(self, file: BinaryIO, digest: str) -> AsyncGenerator[bytes, None]:
        hashed = hashlib.sha256()
        piece = await self._next(file, hashed.update)
        while piece:
            following = await self._next(file, hashed.update)
            if not following and hashed.hexdigest() != digest:
                raise DamagedBlobError(digest)
            yield piece
            piece = following

    async def _next(self, file: BinaryIO, look: Callable[[bytes], None]) -> bytes:
        def read() -> bytes:
            piece = file.read(_PIECE_BYTES)
            look(piece)
            return piece

        with _told(self._folder):
            return await asyncio.to_thread(read)

    async def path_of(self, digest: str) -> Path:
        path = self._place(digest)
        with _told(self._folder):
            if not await asyncio.to_thread(path.exists):
                raise MissingBlobError(digest)
        return path

    async def remove(self, digest: str) -> None:
        with _told(self._folder):
            await asyncio.to_thread(self._place(digest).unlink, missing_ok=True)

    async def digests(self) -> AsyncGenerator[list[str], None]:
        for shard in await self._names("", _SHARD):
            yield await self._names(shard, _DIGEST)

    async def _names(self, folder: str, pattern: re.Pattern[str]) -> list[str]:
        with _told(self._folder):
            return await asyncio.to_thread(_names, self._folder / folder, pattern)

    async def clear_drafts(self) -> int:
        with _told(self._folder):
            return await asyncio.to_thread(_clear, self._folder / "drafts")

    def _place(self, digest: str) -> Path:
        return _place(self._folder, digest)


class _Draft:
    """Threads write it, one at a time; a cancelled step goes on, and `close` waits for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "drafts" / new_id("draft")
        self._file: BinaryIO = BytesIO()
        self._hash = hashlib.sha256()
        self._num_bytes = 0
        self._held: list[bytes] = []
        self._num_held = 0
        self._step: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        self._begin_step(self._open)
        await self._settle()

    def _open(self) -> None:
        self._file = _locked(self._path)

    async def write(self, data: bytes) -> None:
        self._held.append(data)
        self._num_held += len(data)
        if self._num_held >= _PIECE_BYTES:
            await self._settle()
            self._begin_step(self._take())

    def _take(self) -> Callable[[], None]:
        held, self._held = self._held, []
        self._num_bytes += self._num_held
        self._num_held = 0
        return lambda: self._put(held)

    def _put(self, held: list[bytes]) -> None:
        for data in held:
            self._hash.update(data)
        self._file.writelines(held)

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    async def seal(self) -> Blob:
        for step in (self._take(), self._flush):
            await self._settle()
            self._begin_step(step)
        await self._settle()
        return Blob(self._hash.hexdigest(), self._num_bytes)

    async def keep(self) -> None:
        self._begin_step(lambda: _settle_in(self._folder, self._path, self._hash.hexdigest()))
        await self._settle()

    def _begin_step(self, step: Callable[[], None]) -> None:
        self._step = asyncio.get_running_loop().run_in_executor(None, step)

    async def _settle(self) -> None:
        if self._step:
            await asyncio.wait({self._step})  # which leaves it alone when this task is cancelled
            step, self._step = self._step, None
            with _told(self._folder):
                step.result()

    async def close(self) -> None:
        if self._step:
            await asyncio.wait({self._step})
            self._step.exception()  # whoever waited for it was told
        await asyncio.to_thread(self._remove)

    def _remove(self) -> None:
        for step in (self._path.unlink, self._file.close):
            with suppress(OSError):  # a blob has left its draft's place; what stays is found by a sweep
                step()


def _locked(path: Path) -> BinaryIO:
    """A new file, locked."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # nobody took it for a dead one's before it was locked
            return file
        file.close()


def _settle_in(folder: Path, draft: Path, digest: str) -> None:
    place = _place(folder, digest)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    draft.rename(place)
    for changed in (place.parent, folder):
        _sync(changed)


def _sync(folder: Path) -> None:
    """What stands in `folder` stands there after a power failure too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _place(folder: Path, digest: str) -> Path:
    if not _DIGEST.fullmatch(digest):
        raise MissingBlobError(digest)
    return folder / digest[:2] / digest


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise MissingBlobError(path.name) from error


def _names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    if not folder.exists():
        return []
    return sorted(path.name for path in folder.iterdir() if pattern.fullmatch(path.name))


def _clear(drafts: Path) -> int:
    num_cleared = 0
    for path in drafts.iterdir() if drafts.exists() else ():
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            num_cleared += 1
    return num_cleared


@contextmanager
def _told(folder: Path) -> Generator[None]:
    """Turn what befalls a disk into one answer for the client, and one sentence for the operator."""
    try:
        yield
    except OSError as error:
        log.error("%s cannot be used (%s): see that its disk has room, and that this server owns it.", folder, error)
        raise overloaded() from error
