"""kill -9 while files come and go: what was acknowledged is there with its bytes, and the next start clears the rest.

A seed decides what four clients do, and at which of its own events the server is killed (`fixtures/dying.py`). After
the last kill it is started once more and stopped in order; then the folder is compared with the books, and both with
the clients' own.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.crash.mortal import call_until_it_dies
from tests.fixtures.serving import Served, serving, wait_until
from tests.fixtures.world import API_KEY

NUM_CLIENTS = 4
NUM_LIVES = 2
MAX_EVENTS = 400
KEY = {"x-api-key": API_KEY, "anthropic-version": "2026-10-21"}
SHARED = b"what several clients upload " * 5_000


class Driver:
    """Clients that write down what the server has acknowledged."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.files: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.unsure: set[str] = set()

    async def run(self, served: Served) -> None:
        await call_until_it_dies(served, self._client, NUM_CLIENTS)

    async def _client(self, http: aiohttp.ClientSession) -> None:
        while True:
            if self.files and self.random.random() < 0.4:
                await self._delete(http)
            else:
                await self._upload(http)

    async def _upload(self, http: aiohttp.ClientSession) -> None:
        data = self.random.choice((SHARED, self.random.randbytes(self.random.randint(0, 3_000_000))))
        form = aiohttp.FormData()
        form.add_field("file", self._trickled(data), filename="a.bin", content_type="application/x-test")
        async with http.post("/v1/files", headers=KEY, data=form) as reply:
            made = await reply.json()
        assert reply.status == 200, made
        self.files[made["id"]] = hashlib.sha256(data).hexdigest()

    async def _trickled(self, data: bytes) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(data), 200_000):
            await asyncio.sleep(0)
            yield data[start : start + 200_000]

    async def _delete(self, http: aiohttp.ClientSession) -> None:
        file_id = self.random.choice(sorted(self.files))
        del self.files[file_id]
        self.unsure.add(file_id)  # until it is acknowledged
        async with http.delete(f"/v1/files/{file_id}", headers=KEY) as reply:
            assert reply.status == 200, await reply.text()
        self.unsure.discard(file_id)
        self.deleted.add(file_id)


def rows_of(folder: Path) -> dict[str, str]:
    """The digest of each file in the books."""
    with closing(sqlite3.connect(folder / "antiphon.db")) as books:
        return dict(books.execute("SELECT id, digest FROM files").fetchall())


def kept_in(folder: Path) -> dict[str, str]:
    """Each file that lies in the folder, and the digest of its bytes."""
    paths = [path for path in (folder / "files").rglob("*") if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def check(folder: Path, driver: Driver) -> None:
    rows, kept = rows_of(folder), kept_in(folder)
    assert driver.files.items() <= rows.items(), "a file that was acknowledged is gone"
    assert not driver.deleted & rows.keys(), "a file that was deleted is back"
    assert all(name == digest for name, digest in kept.items()), "a draft stayed, or a blob is damaged"
    assert set(rows.values()) == kept.keys(), "a row without bytes, or bytes without a row"
    num_unacknowledged = len(rows.keys() - driver.files.keys() - driver.unsure)
    assert num_unacknowledged <= NUM_CLIENTS * NUM_LIVES, "more files than uploads that were under way"


def live(folder: Path, seed: int) -> Driver:
    driver = Driver(seed)
    for _ in range(NUM_LIVES - 1):
        with serving(folder, "--fake", dies_after=driver.random.randint(5, MAX_EVENTS)) as served:
            asyncio.run(driver.run(served))
    with serving(folder, "--fake"):
        wait_until(lambda: set(kept_in(folder)) == set(rows_of(folder).values()), 20)
    return driver


def test_no_kill_loses_a_file_or_leaves_bytes_behind(tmp_path: Path):
    check(tmp_path, live(tmp_path, 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_no_kill_loses_a_file_or_leaves_bytes_behind_with_more_seeds(tmp_path: Path, seed: int):
    check(tmp_path, live(tmp_path, seed))
