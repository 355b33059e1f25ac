"""Files on both databases: no row is ever without its bytes, and no bytes stay that no row needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Scope
from antiphon.features.files.service import Files, Upload
from antiphon.features.files.store import Wanted
from antiphon.store.blobfolder import BlobFolder
from antiphon.store.blobs import Draft
from tests.fixtures.databases import BACKENDS, Books, books

pytestmark = pytest.mark.parametrize("backend", BACKENDS)

TEXT = Upload("a.txt", "text/plain", is_downloadable=True)


@contextlib.asynccontextmanager
async def shelf(backend: str, folder: Path, **fields: int) -> AsyncGenerator[tuple[Files, Books], None]:
    clock = ManualClock()
    async with books(backend, clock) as own:
        yield Files(own.database, BlobFolder(folder), clock, fields.get("max_bytes", 10**12)), own


async def put(files: Files, scope: Scope, data: bytes, upload: Upload = TEXT) -> str:
    async with files.draft() as draft:
        await draft.write(data)
        return (await files.add(scope, draft, upload)).id


async def read(files: Files, scope: Scope, file_id: str) -> bytes:
    async with files.content(scope, file_id) as (_, pieces):
        return b"".join([piece async for piece in pieces])


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def test_a_file_that_is_made_while_another_of_its_bytes_is_deleted_keeps_them(backend: str, tmp_path: Path):
    async with shelf(backend, tmp_path) as (files, own):
        for _ in range(4):
            old = await put(files, own.scope, b"the same")
            made = await asyncio.gather(
                files.delete(own.scope, old), files.sweep(), *[put(files, own.scope, b"the same") for _ in range(3)]
            )
            for file_id in made[2:]:
                assert isinstance(file_id, str)
                assert await read(files, own.scope, file_id) == b"the same"
                await files.delete(own.scope, file_id)
            assert kept(tmp_path) == []


async def test_a_file_that_is_made_in_the_moment_of_removal_keeps_its_bytes(backend: str, tmp_path: Path):
    async with shelf(backend, tmp_path) as (files, own):
        old = await put(files, own.scope, b"the same")
        files._blobs = blobs = _SlowToRemove(tmp_path)
        deleting = asyncio.get_running_loop().create_task(files.delete(own.scope, old))
        await blobs.has_begun.wait()
        made = await put(files, own.scope, b"the same")
        await deleting
        assert await read(files, own.scope, made) == b"the same"


class _SlowToRemove(BlobFolder):
    """Between the look at the rows and the removal there is time for anything."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.has_begun = asyncio.Event()

    async def remove(self, digest: str) -> None:
        self.has_begun.set()
        await asyncio.sleep(0.3)
        await super().remove(digest)


async def test_a_row_that_cannot_be_made_leaves_no_bytes_that_a_sweep_does_not_find(backend: str, tmp_path: Path):
    async with shelf(backend, tmp_path) as (files, own):
        with pytest.raises(RuntimeError, match="the last moment"):
            await put_and_fail(files, own.scope)
        assert len(kept(tmp_path)) == 1
        await files.sweep()
        assert kept(tmp_path) == []
        assert not (await files.list(own.scope, Wanted(10))).rows


async def put_and_fail(files: Files, scope: Scope) -> None:
    async with files.draft() as draft:
        await draft.write(b"orphan")
        await files.add(scope, _Failing(draft), TEXT)


class _Failing:
    """A draft that is kept, and then the process comes to grief before the row is committed."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.write, self.seal = draft.write, draft.seal

    async def keep(self) -> None:
        await self._draft.keep()
        raise RuntimeError("the last moment")


async def test_a_sweep_leaves_what_is_needed_and_what_is_being_written(backend: str, tmp_path: Path):
    async with shelf(backend, tmp_path) as (files, own):
        stays = await put(files, own.scope, b"stays")
        async with files.draft() as draft:
            await draft.write(b"being written")
            await files.sweep()
            late = (await files.add(own.scope, draft, TEXT)).id
        await files.sweep()
        assert await read(files, own.scope, stays) == b"stays"
        assert await read(files, own.scope, late) == b"being written"


async def test_expired_files_take_no_room_and_are_forgotten_in_the_end(backend: str, tmp_path: Path):
    async with shelf(backend, tmp_path, max_bytes=10) as (files, own):
        clock = files._clock
        assert isinstance(clock, ManualClock)
        old = await put(files, own.scope, b"ten bytes!", TEXT._replace(expires_in_s=3600))
        with pytest.raises(ApiError) as refused:
            await put(files, own.scope, b"x")
        assert refused.value.details == {"error_code": "storage_quota_exceeded"}
        clock.advance(3600)
        await put(files, own.scope, b"ten other!")
        for days, code in ((0, {"error_code": "file_expired"}), (31, None)):
            clock.advance(days * 86_400)
            await files.sweep()
            with pytest.raises(ApiError) as refused:
                await files.retrieve(own.scope, old)
            assert (refused.value.kind, refused.value.details) == (Kind.NOT_FOUND, code)
        assert len(kept(tmp_path)) == 1


async def test_bytes_that_the_disk_has_lost_or_changed_are_our_fault_and_the_log_says_which(
    backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with shelf(backend, tmp_path) as (files, own):
        file_id = await put(files, own.scope, b"precious")
        (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
        for damage, words in ((lambda: path.write_bytes(b"something"), "damaged"), (path.unlink, "missing")):
            damage()
            with pytest.raises(ApiError) as told:
                await read(files, own.scope, file_id)
            assert told.value.kind is Kind.INTERNAL
            assert f"the bytes of file {file_id} are {words}: restore {path.name} from a backup." in caplog.text


async def test_what_reads_files_here_gets_a_path(backend: str, tmp_path: Path):
    async with shelf(backend, tmp_path) as (files, own):
        file_id = await put(files, own.scope, b"a document")
        found = await files.read(own.scope, file_id)
        assert (found.path.read_bytes(), found[1:]) == (b"a document", ("text/plain", "a.txt", 10))
        elsewhere = own.scope.__class__(own.scope.organization_id, "wrkspc_01other")
        with pytest.raises(ApiError) as unknown:
            await files.read(elsewhere, file_id)
        assert unknown.value.message == f"File `{file_id}` not found."
