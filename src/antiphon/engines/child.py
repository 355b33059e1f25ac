"""llama.cpp as a supervised child process: started and stopped with the server, restarted when it dies or hangs.

A native crash costs the calls that run at that moment one clean error each, never the server.
"""

import asyncio
import json
import logging
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError, OperatorError, overloaded
from antiphon.core.tasks import TaskGroup
from antiphon.engines.dialects.llamacpp import LlamaCpp
from antiphon.engines.gguf import Plan
from antiphon.engines.http import Upstream
from antiphon.engines.protocol import EngineModel
from antiphon.engines.runner import Config
from antiphon.engines.saved import SavedPrompts
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import Piece, Prompt, Wish

log = logging.getLogger("antiphon.engines")

_FIRST_DELAY_S, _LAST_DELAY_S = 0.5, 30.0
_HEALTHY_S = 60.0  # a child that lived this long was well: the back-off starts anew
_POLL_S = 0.1
_CHECK_S = 2.0
_HANG_S = 15.0  # without a sign of life, until a child counts as hung
_STOP_S = 5.0
_NUM_LOGS = 3
_SAVE_EVERY_S, _SAVE_IDLE_S = 5.0, 10.0
_LAST_SAVE_S = 10.0  # for all that is to outlive the server, when it ends


class ChildEngine:
    """The engine of one model file. `start` before use; `aclose` ends the child.

    With `saved` it moves prompts out of its slots and back; without, llama.cpp keeps what it likes.
    """

    def __init__(
        self,
        model_path: Path,
        data_dir: Path,
        clock: Clock,
        *,
        name: str,
        plan: Plan,
        binary: Path | None = None,
        projector: Path | None = None,
        saved: SavedPrompts | None = None,
    ) -> None:
        self._model_path = model_path
        self._log_path = data_dir / "logs" / "engine.log"
        self._clock = clock
        self._name = name
        self._plan = plan
        self._binary = binary
        self._projector = projector
        self.saved = saved
        self._tasks = TaskGroup()
        self._child: _Child | None = None
        self._has_old_log = True
        self._retry_s = _FIRST_DELAY_S
        self.num_restarts = 0

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._child.pid if self._child else None

    @property
    def num_unread(self) -> int:
        """Tokens of prompts that are still to be computed."""
        return self._child.engine.num_unread if self._child else 0

    async def start(self) -> None:
        """Return when the model can answer. Raises OperatorError, in one sentence, if it cannot be loaded."""
        if self.saved:
            self.saved.open()
        log.info("loading %s: %d slots of %d tokens each", self._name, self._plan.num_slots, self._plan.window)
        self._child = await self._launch()
        self._tasks.spawn(self._supervise(self._child), "engine supervisor")
        if self.saved and self.saved.is_lasting:
            self._tasks.spawn(self._save_idle(), "saved prompts")

    async def aclose(self) -> None:
        """End the child within 5 s, by force if need be."""
        await self._tasks.aclose()
        child, self._child = self._child, None
        if child:
            await self._save_last(child)
            await child.stop()
        if self.saved:
            self.saved.close()

    async def _save_idle(self) -> None:
        while True:
            await sleep(self._clock, _SAVE_EVERY_S)
            if self._child:
                await self._child.engine.save_idle(_SAVE_IDLE_S)

    async def _save_last(self, child: "_Child") -> None:
        if self.saved and self.saved.is_lasting:
            with suppress(ApiError, TimeoutError):
                async with asyncio.timeout(_LAST_SAVE_S):
                    await child.engine.save_idle(0.0)

    async def models(self) -> tuple[EngineModel, ...]:
        return await self._engine().models()

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        return await self._engine().prepare(model, chat)

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        async with aclosing(self._engine().generate(model, prompt, wish)) as bursts:
            async for pieces in bursts:
                yield pieces

    def _engine(self) -> LlamaCpp:
        if self._child is None:
            raise overloaded(max(1, round(self._retry_s)))
        return self._child.engine

    async def _supervise(self, child: "_Child") -> None:
        delay_s = _FIRST_DELAY_S
        while True:
            born_at = self._clock.monotonic()
            reason = await child.wait_for_end(self._clock)
            self._child = None
            await child.stop()
            if self._clock.monotonic() - born_at >= _HEALTHY_S:
                delay_s = _FIRST_DELAY_S
                self._has_old_log = True
            log.error("the engine %s (see %s); starting it again", reason, self._log_path)
            child, delay_s = await self._relaunch(delay_s)
            self._child = child

    async def _relaunch(self, delay_s: float) -> tuple["_Child", float]:
        """A new child, and how long to wait before the one after it."""
        while True:
            self._retry_s = delay_s
            await sleep(self._clock, delay_s)
            delay_s = min(_LAST_DELAY_S, delay_s * 2)
            try:
                child = await self._launch()
            except OperatorError as error:
                log.error("%s", error)
            else:
                log.info("the engine is back")
                self.num_restarts += 1
                return child, delay_s

    async def _launch(self) -> "_Child":
        """A child that can answer. Raises OperatorError, whatever went wrong."""
        try:
            return await self._spawn()
        except (ApiError, OSError, ValueError, LookupError, TypeError) as error:
            raise OperatorError(
                f"The engine cannot load {self._name}: {error or type(error).__name__} (see {self._log_path})."
            ) from error

    async def _spawn(self) -> "_Child":
        if self._has_old_log:  # all lives of a crash loop share a log: the first one tells most
            rotate(self._log_path)
            self._has_old_log = False
        child = await _Child.spawn(self._log_path, self._name, self._config())
        try:
            await child.wait_until_ready(self._clock, self.saved)
        except BaseException:
            await child.stop()
            raise
        return child

    def _config(self) -> Config:
        return {
            "model": str(self._model_path),
            "window": self._plan.window,
            "num_slots": self._plan.num_slots,
            "num_batch": self._plan.num_batch,
            "num_threads": self._plan.num_threads,
            "num_checkpoints": self._plan.num_checkpoints,
            "flash": self._plan.flash,
            "repacks": self._plan.repacks,
            "q8_keys": self._plan.q8_keys,
            "num_draft": self._plan.num_draft,
            "cache_mib": 0 if self.saved else self._plan.cache_mib,  # it would not ask whose a prompt was
            "save_folder": str(self.saved.folder) if self.saved else None,
            "key": secrets.token_urlsafe(32),
            "parent": os.getpid(),
            "binary": str(self._binary) if self._binary else None,
            "projector": str(self._projector) if self._projector else None,
        }


class _Child:
    """One life of the child process, and the connection to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, log_path: Path, log_start: int, name: str, key: str
    ) -> None:
        self._process = process
        self._log_path = log_path
        self._log_start = log_start
        self._name = name
        self._key = key
        self._upstream: Upstream | None = None
        self.engine: LlamaCpp

    @classmethod
    async def spawn(cls, log_path: Path, name: str, config: Config) -> "_Child":
        with log_path.open("ab") as log_file:
            log_start = log_file.tell()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "antiphon.engines.runner",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,
                env=without_secrets(os.environ),  # noqa: TID251 no settings of ours: what the engine's libraries need
            )
        assert process.stdin
        process.stdin.write(json.dumps(config).encode() + b"\n")
        return cls(process, log_path, log_start, name, config["key"])

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_until_ready(self, clock: Clock, saved: SavedPrompts | None = None) -> None:
        """Raises OperatorError if the process ends before it can answer. Loading takes as long as it takes."""
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if line:
            self._upstream = Upstream(json.loads(line)["url"], self._key)
            self.engine = LlamaCpp(self._upstream, name=self._name, clock=clock, saved=saved)
        while line and self._process.returncode is None:
            if await self._is_healthy():
                await self.engine.models()
                return
            await sleep(clock, _POLL_S)
        reason = last_words(self._log_path, self._log_start)
        raise OperatorError(f"The engine cannot load {self._name}: {reason} (see {self._log_path}).")

    async def wait_for_end(self, clock: Clock) -> str:
        """How the process ended, in a word or two; one that hangs counts as ended."""
        seen_at = clock.monotonic()
        while self._process.returncode is None:
            await sleep(clock, _CHECK_S)
            if await self._is_healthy():
                seen_at = clock.monotonic()
            elif clock.monotonic() - seen_at >= _HANG_S:
                return "does not answer any more"
        return f"ended with code {self._process.returncode}"

    async def _is_healthy(self) -> bool:
        assert self._upstream
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(_CHECK_S):
                return await self._upstream.status_of("/health") == 200
        return False

    async def stop(self) -> None:
        """End the process within 5 s, by force if need be, and by force at once if this is cancelled."""
        try:
            if self._upstream:
                await self.engine.aclose()
            self._kill(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._kill(signal.SIGKILL)
        await self._process.wait()

    def _kill(self, number: int) -> None:
        """The whole group: the watcher outlives its engine for a moment, and keeps the group's number taken."""
        with suppress(ProcessLookupError, PermissionError):  # macOS's answer for a group of zombies
            os.killpg(self._process.pid, number)


_SECRET = re.compile(r"(ANTIPHON|ANTHROPIC)_.*|.*_(KEY|TOKEN|SECRET)", re.IGNORECASE)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for native code that needs none of our secrets, nor anyone's."""
    return {name: value for name, value in environment.items() if not _SECRET.fullmatch(name)}


def rotate(path: Path) -> None:
    """Make room for a new log at `path`, and keep the last few: `engine.log.1` is the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # somebody else's folder, such as a mounted one
        path.parent.chmod(0o700)
    for number in range(_NUM_LOGS - 1, -1, -1):
        older = path.with_name(f"{path.name}.{number}") if number else path
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.touch(mode=0o600)


_LOG_LINE = re.compile(r"\S+ E .*?:\s+(.*)")


def last_words(path: Path, start: int = 0) -> str:
    """What the log says, from byte `start` on, of why an engine did not start: its first error, or its last line."""
    lines = path.read_bytes()[start:].decode(errors="replace").splitlines()[-200:]
    errors = [match[1] for line in lines if (match := _LOG_LINE.match(line))]
    return (errors or lines[-1:] or ["it ended without a word"])[0].strip().rstrip(".")
