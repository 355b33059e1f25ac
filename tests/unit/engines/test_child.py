"""The supervisor, over a stand-in for the user's own `llama-server` that starts at once and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from antiphon.core.clock import SystemClock
from antiphon.core.errors import ApiError, Kind, OperatorError
from antiphon.engines import child as supervisor
from antiphon.engines.child import ChildEngine, last_words, rotate
from antiphon.engines.gguf import Plan
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Wish

PLAN = Plan(window=512, num_slots=2, num_batch=32, num_threads=1, cache_mib=0)
CHAT = Chat((ChatTurn("user", "hi"),))
SOURCE = Path(__file__).parents[3] / "src"

SERVER = r"""
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

folder = Path(__file__).parent
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
KEY = Path(flags["--api-key-file"]).read_text().strip()
(folder / "argv").write_text(repr(sys.argv))
if (folder / "broken").exists():
    print("0.00.044.478 E llama_model_load: error loading model: tensor 'x' is missing", file=sys.stderr)
    sys.exit(1)

class Handler(BaseHTTPRequestHandler):
    def answer(self, data, status=200):
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            self.answer({"status": "ok"}, 200 if (folder / "loaded").exists() else 503)
        elif self.headers["authorization"] != "Bearer " + KEY:
            self.answer({}, 401)
        elif self.path == "/props":
            (folder / "environment").write_text(json.dumps(dict(os.environ)))
            if (folder / "garbage").exists():
                self.answer([])
            self.answer({"default_generation_settings": {"n_ctx": 512}, "total_slots": 2})
        else:
            self.answer({"data": [{"id": "x"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/apply-template":
            self.answer({"prompt": " ".join(m["content"] for m in body["messages"])})
        elif self.path == "/tokenize":
            self.answer({"tokens": [1, 2]})
        else:
            self.send_response(200)
            self.end_headers()
            for number in range(1000):
                line = json.dumps({"content": "a", "tokens_predicted": number + 1, "stop": False})
                self.wfile.write(b"data: " + line.encode() + b"\n\n")
                time.sleep(0.05)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(flags["--port"])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setattr(supervisor, "_FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(supervisor, "_CHECK_S", 0.2)
    monkeypatch.setattr(supervisor, "_HANG_S", 0.5)
    monkeypatch.setattr(supervisor, "_STOP_S", 0.5)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "llama-server"
    path.write_text(f"#!{sys.executable}\n{SERVER}")
    path.chmod(0o755)
    (tmp_path / "loaded").touch()
    return path


@asynccontextmanager
async def running(binary: Path) -> AsyncGenerator[ChildEngine]:
    engine = ChildEngine(
        binary.parent / "tiny.gguf", binary.parent / "data", SystemClock(), name="tiny", plan=PLAN, binary=binary
    )
    try:
        await engine.start()
        yield engine
    finally:
        await engine.aclose()


async def until(is_true: Callable[[], object], limit_s: float = 10) -> None:
    async with asyncio.timeout(limit_s):
        while not is_true():
            await asyncio.sleep(0.02)


def command_lines() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def children_of(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True, check=True).stdout
    rows = [row.split() for row in listing.splitlines()[1:]]
    return [int(row[0]) for row in rows if int(row[1]) == pid and row[2] != "ps"]


async def test_a_started_child_answers_and_a_closed_one_is_gone(binary: Path):
    async with running(binary) as engine:
        assert (await engine.models())[0].window == 512
        assert (await engine.prepare("tiny", CHAT)).num_tokens == 2
        pid = engine.pid
        assert pid
        pids = [pid, *children_of(pid)]
    assert engine.pid is None
    await until(lambda: not any(map(is_alive, pids)))


async def test_the_key_is_on_no_command_line_in_no_file_and_in_no_log(binary: Path):
    async with running(binary) as engine:
        assert engine._child
        key = engine._child._key
        shown = command_lines()
    files = [path.read_text(errors="replace") for path in binary.parent.rglob("*") if path.is_file()]
    assert len(key) > 30
    assert key not in shown
    assert not any(key in text for text in files)


async def test_a_model_that_cannot_be_loaded_is_one_sentence_with_the_reason(binary: Path):
    (binary.parent / "broken").touch()
    with pytest.raises(OperatorError, match="cannot load tiny: error loading model: tensor 'x' is missing"):
        async with running(binary):
            pass


async def test_start_waits_until_the_model_is_loaded(binary: Path):
    (binary.parent / "loaded").unlink()
    engine = ChildEngine(
        binary.parent / "tiny.gguf", binary.parent / "data", SystemClock(), name="tiny", plan=PLAN, binary=binary
    )
    starting = asyncio.ensure_future(engine.start())
    try:
        await asyncio.sleep(0.6)
        assert not starting.done()
        with pytest.raises(ApiError) as refused:
            await engine.models()
        assert refused.value.kind is Kind.OVERLOADED
        (binary.parent / "loaded").touch()
        await asyncio.wait_for(starting, 10)
    finally:
        await engine.aclose()


async def test_a_start_that_is_given_up_leaves_no_child(binary: Path):
    (binary.parent / "loaded").unlink()
    engine = ChildEngine(
        binary.parent / "tiny.gguf", binary.parent / "data", SystemClock(), name="tiny", plan=PLAN, binary=binary
    )
    before = set(children_of(os.getpid()))
    starting = asyncio.ensure_future(engine.start())
    await until(lambda: set(children_of(os.getpid())) - before)
    await asyncio.sleep(0.3)
    starting.cancel()
    await asyncio.wait([starting])
    await engine.aclose()
    await until(lambda: not set(children_of(os.getpid())) - before)


async def test_a_binary_of_the_user_is_given_the_projector(binary: Path):
    engine = ChildEngine(
        binary.parent / "tiny.gguf",
        binary.parent / "data",
        SystemClock(),
        name="tiny",
        plan=PLAN,
        binary=binary,
        projector=binary.parent / "mmproj.gguf",
    )
    await engine.start()
    await engine.aclose()
    assert f"'--mmproj', '{binary.parent / 'mmproj.gguf'}'" in (binary.parent / "argv").read_text()


async def test_a_killed_child_costs_one_clean_error_and_comes_back(binary: Path):
    async with running(binary) as engine:
        prompt = await engine.prepare("tiny", CHAT)
        bursts = engine.generate("tiny", prompt, Wish(9))
        assert await anext(bursts)
        first = engine.pid
        assert first
        os.kill(first, signal.SIGKILL)
        with pytest.raises(ApiError) as failed:
            async for _ in bursts:
                pass
        assert failed.value.kind is Kind.INTERNAL
        await until(lambda: engine.pid != first)
        await until(lambda: engine.pid)
        assert (await engine.prepare("tiny", CHAT)).num_tokens == 2


async def test_while_the_child_is_away_calls_are_told_when_to_come_back(binary: Path):
    async with running(binary) as engine:
        assert engine.pid
        (binary.parent / "loaded").unlink()
        os.kill(engine.pid, signal.SIGKILL)
        await until(lambda: engine.pid is None)
        with pytest.raises(ApiError) as refused:
            await engine.prepare("tiny", CHAT)
        with pytest.raises(ApiError):
            await anext(engine.generate("tiny", None, Wish(9)))  # type: ignore[arg-type]
    assert refused.value.kind is Kind.OVERLOADED
    assert int(refused.value.headers["retry-after"]) >= 1


async def test_a_child_that_hangs_is_replaced(binary: Path):
    async with running(binary) as engine:
        first = engine.pid
        assert first
        bursts = engine.generate("tiny", await engine.prepare("tiny", CHAT), Wish(9))
        await anext(bursts)
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(ApiError):
            async for _ in bursts:
                pass
        await until(lambda: engine.pid not in (None, first))
    assert not is_alive(first)


async def test_a_child_that_keeps_failing_is_tried_ever_more_slowly(binary: Path, caplog: pytest.LogCaptureFixture):
    async with running(binary) as engine:
        (binary.parent / "broken").touch()
        assert engine.pid
        os.kill(engine.pid, signal.SIGKILL)
        started_at = time.monotonic()
        await until(lambda: sum("cannot load" in record.message for record in caplog.records) == 3)
        assert time.monotonic() - started_at > 0.05 + 0.1 + 0.2
        (binary.parent / "broken").unlink()
        await until(lambda: engine.pid)


@pytest.mark.parametrize("problem", ["garbage", "no room for a log"])
async def test_whatever_goes_wrong_on_the_way_back_the_engine_is_tried_again(
    binary: Path, problem: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    async with running(binary) as engine:
        assert engine.pid
        with pytest.MonkeyPatch.context() as patch:
            if problem == "garbage":
                (binary.parent / "garbage").touch()
            else:
                patch.setattr(engine, "_log_path", Path("/proc/nowhere/engine.log"))
            os.kill(engine.pid, signal.SIGKILL)
            await until(lambda: sum("cannot load" in record.message for record in caplog.records) == 2)
        (binary.parent / "garbage").unlink(missing_ok=True)
        await until(lambda: engine.pid)
        assert (await engine.prepare("tiny", CHAT)).num_tokens == 2


@pytest.mark.parametrize("problem", ["garbage", "no binary"])
async def test_whatever_goes_wrong_at_the_start_is_one_sentence(binary: Path, problem: str):
    (binary.parent / "garbage").touch()
    if problem == "no binary":
        binary.unlink()
    with pytest.raises(OperatorError, match="The engine cannot load tiny: "):
        async with running(binary):
            pass


async def test_a_crash_loop_keeps_its_first_log(binary: Path, caplog: pytest.LogCaptureFixture):
    async with running(binary) as engine:
        log = binary.parent / "data" / "logs" / "engine.log"
        log.write_text("the first words\n")
        (binary.parent / "broken").touch()
        assert engine.pid
        os.kill(engine.pid, signal.SIGKILL)
        await until(lambda: sum("cannot load" in record.message for record in caplog.records) == 3)
        text = log.read_text()
        (binary.parent / "broken").unlink()
    assert text.startswith("the first words\n")
    assert text.count("tensor 'x' is missing") >= 3


async def test_logs_are_the_owner_s_alone(binary: Path):
    async with running(binary):
        log = binary.parent / "data" / "logs" / "engine.log"
        assert (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_the_child_is_told_no_secret(binary: Path, monkeypatch: pytest.MonkeyPatch):
    secrets = ["ANTIPHON_API_KEY", "ANTIPHON_HOST", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "X_SECRET"]
    for name in [*secrets, "GGML_DEBUG"]:
        monkeypatch.setenv(name, "hidden")
    async with running(binary):
        environment = json.loads((binary.parent / "environment").read_text())
    assert [name for name, value in environment.items() if value == "hidden"] == ["GGML_DEBUG"]


async def test_a_stop_that_is_cancelled_ends_the_child_all_the_same(binary: Path):
    async with running(binary) as engine:
        assert engine._child
        pid = engine._child.pid
        os.kill(pid, signal.SIGSTOP)
        stopping = asyncio.ensure_future(engine._child.stop())
        await asyncio.sleep(0.1)
        stopping.cancel()
        await asyncio.wait([stopping])
        await until(lambda: not is_alive(pid), 0.3)


PARENT = """
import asyncio, sys
from pathlib import Path
from antiphon.core.clock import SystemClock
from antiphon.engines.child import ChildEngine
from antiphon.engines.gguf import Plan

async def main():
    binary = Path(sys.argv[1])
    plan = Plan(512, 2, 32, 1, 0)
    engine = ChildEngine(binary.parent / "m", binary.parent / "data", SystemClock(), name="m", plan=plan, binary=binary)
    await engine.start()
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start_parent(binary: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PARENT, str(binary)], stdout=subprocess.PIPE)


@pytest.mark.parametrize("when", ["loading", "running"])
async def test_no_child_outlives_a_parent_that_was_killed(binary: Path, when: str):
    if when == "loading":
        (binary.parent / "loaded").unlink()
    parent = start_parent(binary)
    try:
        await until(lambda: children_of(parent.pid))
        (child,) = children_of(parent.pid)
        await until(lambda: (binary.parent / "argv").exists())
        if when == "running":
            assert parent.stdout
            assert parent.stdout.readline() == b"up\n"
        pids = [child, *children_of(child)]
        assert len(pids) == 2, "the child and its watcher"
    finally:
        parent.kill()
        parent.communicate()
    await until(lambda: not any(map(is_alive, pids)), limit_s=5)


def test_the_last_logs_are_kept(tmp_path: Path):
    path = tmp_path / "logs" / "engine.log"
    for number in range(6):
        rotate(path)
        path.write_text(str(number))
    assert {each.name: each.read_text() for each in path.parent.iterdir()} == {
        "engine.log": "5",
        "engine.log.1": "4",
        "engine.log.2": "3",
        "engine.log.3": "2",
    }


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "it ended without a word"),
        ("0.00.1 W x: careful\nTraceback\nOSError: no such thing.\n", "OSError: no such thing"),
        ("0.00.044.478 E llama_model_load: the file is cut\n0.00.1 E srv    load_model: failed\n", "the file is cut"),
    ],
)
def test_the_reason_is_the_log_s_first_error(tmp_path: Path, log: str, words: str):
    (tmp_path / "engine.log").write_text(log)
    assert last_words(tmp_path / "engine.log") == words
