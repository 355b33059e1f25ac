"""The security corpus: whatever a file does to the child that reads it, there is an answer soon, within the limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines.pool import Pool
from antiphon.media.child.frames import Frame
from antiphon.media.sandbox import Job, Limits, Sandbox
from tests.fixtures.hostile import IMAGES, PDFS
from tests.fixtures.images import encoded, halves

LIMITS = Limits()
MAX_CPU_S = 2.0
MAX_WALL_S = 20.0
"""A busy machine is no finding."""


@pytest.fixture(scope="module")
async def sandbox() -> AsyncGenerator[Sandbox]:
    sandbox = Sandbox(Pool(1, 10, 60, SystemClock()), LIMITS)
    await sandbox.run("w", GOOD)
    yield sandbox
    await sandbox.aclose()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmPeak:")[2].split()[0]) * 1024


async def read(sandbox: Sandbox, job: Job) -> Frame:
    """The answer, once its cost is seen to be within the bounds. A child that died has been stopped by them."""
    (pid,) = sandbox.pids or [0]
    before, begun, num_killed = cpu_s(pid) if pid else 0.0, time.monotonic(), sandbox.num_killed
    async with asyncio.timeout(MAX_WALL_S):
        answer = await sandbox.run("w", job)
    if pid in sandbox.pids:
        assert cpu_s(pid) - before < MAX_CPU_S
        assert peak_bytes(pid) <= LIMITS.memory_bytes
    else:
        assert sandbox.num_killed - num_killed <= 1
        assert time.monotonic() - begun < MAX_CPU_S * 5
    return answer


READ = {
    "a png of 8000 by 8000 zeros",
    "a png whose pixels inflate for ever",
    "a jpeg whose exif is a loop",
    "a gif of many frames",
}
"""What is a picture all the same."""
FEW = ("a png with a bomb of text", "a jpeg whose exif is a loop", "a webp of 16383 by 16383", "a postscript program")
FEW_PDFS = ("a tree of pages that is a loop", "a table of places that leads to itself", "three quarters of a pdf")
GOOD = Job("image", encoded(halves()), 4, fields={"max_side": 8000})


def few_first(names: Iterable[str], few: Collection[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in few else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", few_first(IMAGES, FEW))
async def test_no_image_costs_more_than_it_may(sandbox: Sandbox, name: str):
    answer = await read(sandbox, GOOD._replace(data=IMAGES[name]()))
    assert ("refused" not in answer.fields) == (name in READ), answer.fields
    assert (await sandbox.run("w", GOOD)).fields["width"] == 60


@pytest.mark.parametrize("side", [None, 1568])
@pytest.mark.parametrize("name", few_first(PDFS, FEW_PDFS))
async def test_no_pdf_costs_more_than_it_may(sandbox: Sandbox, name: str, side: int | None):
    fields = {"first": 0, "last": 4, "side": side}
    answer = await read(sandbox, Job("pdf", PDFS[name](), 1.8 if side else 1.2, fields=fields))
    assert answer.fields.get("refused") in (None, "broken"), answer.fields
