"""Children that read what strangers send: their memory and time are limited, and each may be killed at any moment."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Protocol

from antiphon.core.errors import overloaded
from antiphon.media.child.frames import HEAD, Frame, packed

log = logging.getLogger("antiphon.media")

MIB = 1024 * 1024
_BUFFER_BYTES = MIB
_INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "TMPDIR", "SYSTEMROOT")


class Gate(Protocol):
    """Who may send a job now: bounded, and fair between workspaces."""

    async def acquire(self, workspace_id: str) -> None: ...

    def release(self) -> None: ...


class Limits(NamedTuple):
    """Of one child. `wall_s` is for one job: far longer than what it may compute, for a machine may be busy."""

    memory_bytes: int = 1536 * MIB
    wall_s: float = 60.0


OCR_LIMITS = Limits(memory_bytes=6 * 1024 * MIB, wall_s=180.0)
"""It only reads pictures that another child has made, with libraries that map much more memory than they use."""


class Job(NamedTuple):
    """`data` that is a text is in base64: it is decoded where it costs nobody's time.

    `cpu_s` of processor time is all that it may take. A child whose last job had the same `key` has the data already.
    """

    name: str
    data: bytes | str
    cpu_s: float
    fields: Mapping[str, Any] = {}
    key: str = ""


class Sandbox:
    """Children are started when there is work for them, and stay. One that dies of a job takes no other with it."""

    def __init__(self, gate: Gate, limits: Limits) -> None:
        self._gate = gate
        self._limits = limits
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self.num_jobs = 0
        self.num_killed = 0

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._children]

    async def run(self, workspace_id: str, job: Job) -> Frame:
        """The child's answer; a child that dies of the job has found it broken.

        Raises `overloaded` when too many jobs wait, and when the machine is too busy for this one: what computes for
        too long is ended by the kernel long before. Leaving the call kills the work.
        """
        await self._gate.acquire(workspace_id)
        self.num_jobs += 1
        try:
            async with self._child() as child, asyncio.timeout(self._limits.wall_s):
                answer = await child.ask(job)
        except TimeoutError as error:
            self.num_killed += 1
            log.warning("a job of kind %s took over %g s: this machine is too busy", job.name, self._limits.wall_s)
            raise overloaded() from error
        except (OSError, EOFError) as error:
            self.num_killed += 1
            log.warning("a child died of a job of kind %s (%s)", job.name, type(error).__name__)
            return Frame({"refused": "broken"})
        finally:
            self._gate.release()
        if raised := answer.fields.pop("raised", None):
            log.info("a job of kind %s was broken: %s", job.name, raised)
        return answer

    @asynccontextmanager
    async def _child(self) -> AsyncGenerator["_Child", None]:
        """A child that nobody else asks. It is kept only if it has answered."""
        child = await self._take()
        try:
            yield child
        except BaseException:
            self._drop(child)
            raise
        if child.is_spent:
            self._drop(child)
        else:
            self._idle.append(child)

    async def _take(self) -> "_Child":
        while self._idle:
            child = self._idle.pop()
            if child.is_running:
                return child
            self._drop(child)
        return await self._start()

    def _drop(self, child: "_Child") -> None:
        self._children.discard(child)
        child.kill()

    async def _start(self) -> "_Child":
        child = await _Child.start(self._limits)
        self._children.add(child)
        return child

    async def aclose(self) -> None:
        for child in self._children:
            child.kill()
        for child in list(self._children):
            await child.wait()
        self._children.clear()
        self._idle.clear()


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process = process
        self._to, self._from = process.stdin, process.stdout
        self.is_spent = False
        self._key = ""

    @classmethod
    async def start(cls, limits: Limits) -> "_Child":
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}  # noqa: TID251 no settings
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "antiphon.media.child.main",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
            limit=_BUFFER_BYTES,
        )
        child = cls(process)
        child._to.write(packed(Frame({"memory_bytes": limits.memory_bytes})))
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """By the kernel's own word: asyncio learns a little later that a process has ended."""
        if self._process.returncode is not None:
            return False
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: asyncio's word has to do
            return True
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        return False

    async def ask(self, job: Job) -> Frame:
        """Raises OSError or EOFError if it dies of it."""
        is_same, is_base64 = bool(job.key) and job.key == self._key, isinstance(job.data, str)
        fields = {"job": job.name, "is_base64": is_base64, "cpu_s": job.cpu_s, "is_same": is_same, **job.fields}
        data = b"" if is_same else job.data.encode() if isinstance(job.data, str) else job.data
        self._key = job.key
        self._to.write(packed(Frame(fields, data)))
        self._to.write(data)
        await self._to.drain()
        num_fields, num_data = HEAD.unpack(await self._from.readexactly(HEAD.size))
        answer = json.loads(await self._from.readexactly(num_fields))
        self.is_spent = answer.pop("is_last", False)
        return Frame(answer, await self._from.readexactly(num_data))

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self.is_running:  # asyncio's own `kill` would reap one that has ended, and its watcher would miss it
                os.kill(self.pid, signal.SIGKILL)
        self._to.close()

    async def wait(self) -> None:
        await self._process.wait()
