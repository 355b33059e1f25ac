"""One contract for blobs, over the folder and over its fake."""

import asyncio
import hashlib
import os
import stat
from pathlib import Path

import pytest

from antiphon.core.errors import ApiError, Kind
from antiphon.store.blobfolder import BlobFolder
from antiphon.store.blobs import Blobs, DamagedBlobError, MemoryBlobs, MissingBlobError

LARGE = os.urandom(1024) * 3000


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return BlobFolder(tmp_path / "blobs") if request.param == "folder" else MemoryBlobs(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path)


async def put(blobs: Blobs, data: bytes, size: int = 70_000) -> str:
    async with blobs.draft() as draft:
        for start in range(0, len(data), size):
            await draft.write(data[start : start + size])
        blob = await draft.seal()
        await draft.keep()
    assert blob.num_bytes == len(data)
    return blob.digest


async def read(blobs: Blobs, digest: str) -> bytes:
    async with blobs.reading(digest) as pieces:
        return b"".join([piece async for piece in pieces])


async def all_of(blobs: Blobs) -> list[str]:
    return sorted([digest async for some in blobs.digests() for digest in some])


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "one byte", "large"])
async def test_what_was_written_is_read_by_its_digest(blobs: Blobs, data: bytes):
    assert await put(blobs, data) == digest_of(data)
    assert await read(blobs, digest_of(data)) == data
    assert (await blobs.path_of(digest_of(data))).read_bytes() == data
    assert await all_of(blobs) == [digest_of(data)]


async def test_the_same_bytes_are_one_blob(blobs: Blobs):
    await asyncio.gather(*[put(blobs, LARGE) for _ in range(5)], put(blobs, b"other"))
    assert await all_of(blobs) == sorted([digest_of(LARGE), digest_of(b"other")])


async def test_a_draft_that_is_not_kept_is_nothing(blobs: Blobs):
    async with blobs.draft() as draft:
        await draft.write(LARGE)
        await draft.seal()
    with pytest.raises(RuntimeError):
        await fail_while_writing(blobs)
    assert await all_of(blobs) == []


async def fail_while_writing(blobs: Blobs) -> None:
    async with blobs.draft() as draft:
        await draft.write(LARGE)
        raise RuntimeError


async def test_a_blob_that_was_removed_is_missing(blobs: Blobs):
    digest = await put(blobs, LARGE)
    async with blobs.reading(digest) as pieces:
        await blobs.remove(digest)
        assert b"".join([piece async for piece in pieces]) == LARGE, "whoever reads it goes on"
    await blobs.remove(digest)
    with pytest.raises(MissingBlobError):
        await read(blobs, digest)
    with pytest.raises(MissingBlobError):
        await blobs.path_of(digest)


@pytest.mark.parametrize("name", ["0" * 64, "../secret.key", ""])
async def test_what_is_no_digest_is_missing(blobs: Blobs, name: str):
    with pytest.raises(MissingBlobError):
        await read(blobs, name)


async def test_a_draft_that_its_task_left_is_gone(folder: BlobFolder, tmp_path: Path):
    """Cancelled at any step, while a thread writes."""

    async def write() -> None:
        await put(folder, LARGE)

    for steps in range(40):
        task = asyncio.get_running_loop().create_task(write())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert list((tmp_path / "drafts").glob("*")) == []


async def test_a_damaged_blob_is_never_given_out_whole(folder: BlobFolder):
    path = await folder.path_of(await put(folder, LARGE))
    path.write_bytes(LARGE[:-1] + bytes([LARGE[-1] ^ 1]))
    given: list[bytes] = []
    with pytest.raises(DamagedBlobError):
        await give(folder, path.name, given)
    assert sum(map(len, given)) < len(LARGE)
    assert await put(folder, LARGE) == path.name
    assert await read(folder, path.name) == LARGE, "the same bytes again mend it"


async def give(blobs: Blobs, digest: str, given: list[bytes]) -> None:
    async with blobs.reading(digest) as pieces:
        async for piece in pieces:
            given.append(piece)


async def test_only_the_owner_reads_it(folder: BlobFolder, tmp_path: Path):
    path = await folder.path_of(await put(folder, b"x"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, tmp_path / "drafts")} == {0o700}


async def test_drafts_of_the_dead_are_cleared_and_those_of_the_living_are_not(folder: BlobFolder, tmp_path: Path):
    async with folder.draft() as draft:
        await draft.write(LARGE)
        (tmp_path / "drafts" / "dead").write_bytes(b"x")
        assert await folder.clear_drafts() == 1
        await draft.seal()
        await draft.keep()
    assert await read(folder, digest_of(LARGE)) == LARGE


async def test_a_disk_that_fails_is_an_overloaded_server(
    folder: BlobFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
):
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("antiphon.store.blobfolder.os.fsync", fail)
    with pytest.raises(ApiError) as caught:
        await put(folder, LARGE)
    assert caught.value.kind is Kind.OVERLOADED
    assert "No space left on device" in caplog.text
    assert list((tmp_path / "drafts").iterdir()) == []
    assert await all_of(folder) == []


async def test_bytes_are_on_the_disk_before_they_are_kept(folder: BlobFolder, monkeypatch: pytest.MonkeyPatch):
    """The file's bytes before its name, its name and its folder's before anybody hears of it."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def watched_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def watched_rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr("antiphon.store.blobfolder.os.fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    await put(folder, LARGE)
    assert steps == ["sync file", "rename", "sync folder", "sync folder"]
