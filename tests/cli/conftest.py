"""What the tests of the commands have in common."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from antiphon.store.db import Database, url_of
from antiphon.store.served import Served, tell_served
from tests.fixtures.world import _first_start


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder after its first start, of a server that has been ready."""
    folder = shutil.copytree(_first_start(), tmp_path / "data")
    asyncio.run(_tell(folder))
    return folder


async def _tell(folder: Path) -> None:
    database = Database(url_of(folder, None))
    await tell_served(database, Served(["echo", "lorem"], {"mine": "lorem"}, {"requests_per_minute": 77}))
    await database.aclose()
