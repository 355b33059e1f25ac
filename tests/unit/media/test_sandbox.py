"""The children that read files: limited, killable, and without anything worth stealing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from antiphon.core.clock import SystemClock
from antiphon.core.errors import ApiError, Kind
from antiphon.engines.pool import Pool
from antiphon.media.sandbox import MIB, Job, Limits, Sandbox
from tests.fixtures.images import encoded, halves

GOOD = Job("image", encoded(halves()), 4, fields={"max_side": 8000})


@asynccontextmanager
async def opened(num_children: int = 1, limits: Limits | None = None) -> AsyncGenerator[Sandbox]:
    sandbox = Sandbox(Pool(num_children, 10, 60, SystemClock()), limits or Limits())
    try:
        yield sandbox
    finally:
        await sandbox.aclose()


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while is_running(pid):
            await asyncio.sleep(0.02)


async def test_a_child_is_started_when_there_is_work_and_stays():
    async with opened() as sandbox:
        assert sandbox.pids == []
        for _ in range(3):
            assert (await sandbox.run("w", GOOD)).fields["width"] == 60
        (pid,) = sandbox.pids
    await gone(pid)


async def test_what_needs_more_memory_than_there_is_is_broken_and_the_next_is_read():
    large = GOOD._replace(data=encoded(Image.new("L", (7000, 7000))))
    async with opened(limits=Limits(memory_bytes=160 * MIB)) as sandbox:
        assert (await sandbox.run("w", large)).fields == {"refused": "broken"}
        assert (await sandbox.run("w", GOOD)).fields["width"] == 60


async def test_what_takes_more_processor_time_than_it_may_is_ended_by_the_kernel():
    large = GOOD._replace(data=encoded(Image.new("L", (7000, 7000))), cpu_s=0.05)
    async with opened() as sandbox:
        await sandbox.run("w", GOOD)
        (pid,) = sandbox.pids
        assert (await sandbox.run("w", large)).fields == {"refused": "broken"}
        await gone(pid)
        assert (await sandbox.run("w", GOOD)).fields["width"] == 60
    assert sandbox.num_killed == 1


async def test_one_that_stands_still_is_killed():
    async with opened(limits=Limits(wall_s=3)) as sandbox:
        await sandbox.run("w", GOOD)
        (pid,) = sandbox.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ApiError) as raised:
            await sandbox.run("w", GOOD)
        assert raised.value.kind is Kind.OVERLOADED  # nobody's file is to blame
        await gone(pid)
        assert (await sandbox.run("w", GOOD)).fields["width"] == 60


async def test_one_that_died_in_the_meantime_is_no_problem_of_the_next():
    async with opened() as sandbox:
        await sandbox.run("w", GOOD)
        (pid,) = sandbox.pids
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
        assert (await sandbox.run("w", GOOD)).fields["width"] == 60


async def test_one_that_died_unseen_by_the_loop_is_reaped_by_it(caplog: pytest.LogCaptureFixture):
    async with opened() as sandbox:
        await sandbox.run("w", GOOD)
        (pid,) = sandbox.pids
        os.kill(pid, signal.SIGKILL)
        while is_running(pid):
            time.sleep(0.01)  # noqa: ASYNC251 the loop must not hear of it yet
        assert (await sandbox.run("w", GOOD)).fields["width"] == 60
        await asyncio.sleep(0.1)
    assert "asyncio" not in {record.name for record in caplog.records}  # it would tell of a child it cannot find


async def test_children_work_and_die_where_the_kernel_cannot_be_asked(monkeypatch: pytest.MonkeyPatch):
    """As on macOS before Python 3.13."""
    monkeypatch.delattr(os, "waitid")
    async with opened() as sandbox:
        for _ in range(2):
            assert (await sandbox.run("w", GOOD)).fields["width"] == 60
        (pid,) = sandbox.pids
    await gone(pid)


async def test_whoever_leaves_takes_the_work_along():
    async with opened() as sandbox:
        await sandbox.run("w", GOOD)
        (pid,) = sandbox.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await sandbox.run("w", GOOD)
        await gone(pid)
        assert (await sandbox.run("w", GOOD)).fields["width"] == 60


async def test_no_more_children_work_than_may():
    async with opened(num_children=2) as sandbox:
        answers = await asyncio.gather(*(sandbox.run(f"w{number}", GOOD) for number in range(8)))
        assert len(sandbox.pids) <= 2
    assert [answer.fields["width"] for answer in answers] == [60] * 8


async def test_a_child_has_no_secret_and_may_write_no_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANTIPHON_SECRET_KEY", "very secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    async with opened() as sandbox:
        await sandbox.run("w", GOOD)
        (pid,) = sandbox.pids
        assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
        limits = {
            line[:26].strip(): line[26:].split()[0] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
        }
    assert limits["Max file size"] == limits["Max core file size"] == "0"
    assert int(limits["Max address space"]) == Limits().memory_bytes


PARENT = """
import asyncio, os
from antiphon.core.clock import SystemClock
from antiphon.engines.pool import Pool
from antiphon.media.sandbox import Job, Limits, Sandbox

async def main():
    sandbox = Sandbox(Pool(1, 1, 60, SystemClock()), Limits())
    await sandbox.run("w", Job("image", b"x", 4, fields={"max_side": 1}))
    print(sandbox.pids[0], flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


async def test_a_child_does_not_outlive_its_parent():
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    told, _ = await asyncio.wait_for(parent.communicate(), 60)
    await gone(int(told))
