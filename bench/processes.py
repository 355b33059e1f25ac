"""The processes of a measurement: pinned to a core, waited for, and always ended by their own id."""

import ctypes
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

REPO = Path(__file__).parent.parent
GATEWAY_CORE = 0
LOAD_CORE = 1
KEY = f"sk-ant-phon1-{secrets.token_hex(16)}"
_DEADLINE_S = 120.0
_PR_SET_PDEATHSIG = 1
_TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """A running process that listens on `port`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self._process = process
        self._log = log

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rss_bytes(self) -> int:
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def begin_peak(self) -> int:
        """What it takes now; `peak_bytes` counts from here on."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        return self.rss_bytes

    @property
    def peak_bytes(self) -> int:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    @property
    def cpu_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def talk(self, line: bytes) -> bytes:
        """Write `line` to its standard input, and read one line of its standard output."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def check(self) -> None:
        if (code := self._process.poll()) is not None:
            raise SystemExit(f"bench: {self.name} ended with {code}:\n{self._log.read_text()[-2000:]}")

    def wait_until_ready(self, request: bytes) -> None:
        """Until `request` is answered with 200."""
        deadline = time.monotonic() + _DEADLINE_S
        while not _is_ok(self.port, request):
            self.check()
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"bench: {self.name} is not ready after {_DEADLINE_S:.0f} s:\n{self._log.read_text()[-2000:]}"
                )
            time.sleep(0.002)

    def stop(self) -> None:
        if self._process.stdin:  # an engine's watcher waits for its end
            self._process.stdin.close()
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


class Stage:
    """`with Stage() as stage`: what is started on it has ended when the block is left."""

    def __enter__(self) -> "Stage":
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="antiphon-bench-")))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def data_dir(self, tuned: Path | None) -> Path:
        """A new data folder, with what `antiphon tune` has kept in `tuned`, if that is given."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        if tuned:
            shutil.copy2(tuned, folder / "tuned.json")
        return folder

    def start(
        self,
        name: str,
        arguments: list[str],
        port: int,
        *,
        core: int | None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Child:
        """Run `arguments`. It is not ready yet."""
        log = self.folder / f"{name}-{port}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                arguments,
                stdin=stdin,
                stdout=stdout or out,
                stderr=out,
                cwd=REPO,
                env={**_clean_environment(), **(env or {})},
                preexec_fn=lambda: _begin(core),
            )
        child = Child(name, process, port, log)
        self._stack.callback(child.stop)
        return child

    def python(self, name: str, module: str, port: int, *arguments: str, core: int) -> Child:
        return self.start(name, [sys.executable, "-m", module, str(port), *arguments], port, core=core)

    def antiphon(
        self, name: str, *arguments: str, source: Path, core: int | None, module: str = "antiphon", **env: str
    ) -> Child:
        """`antiphon serve` of `source`, as it comes: with keys, metrics and the request log."""
        port = free_port()
        serve = [sys.executable, "-m", module, "serve", "--port", str(port)]
        folder = ["--data-dir", str(self.folder / f"data-{name}-{port}")]
        own = {"ANTIPHON_API_KEY": KEY, "PYTHONPATH": str(source), **env}
        return self.start(name, [*serve, *folder, *arguments], port, core=core, env=own)


def _clean_environment() -> dict[str, str]:
    """Of no setting of ours; and bytecode is kept, as it is wherever a server is installed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


def _begin(core: int | None) -> None:
    """In the child: on its core, or on all of them, and gone when the bench is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    settle(core)


def settle(core: int | None) -> None:
    """Keep this process on one core; None sets it free."""
    num_cores = os.cpu_count() or 1
    os.sched_setaffinity(0, range(num_cores) if core is None else {core % num_cores})


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def exchange(port: int, request: bytes, timeout_s: float = 10.0) -> bytes:
    """One request on a connection of its own, and its whole reply, head and all."""
    from bench.load import whole_of

    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(request)
        reply = data = connection.recv(1 << 16)
        is_whole = whole_of(data)
        while not is_whole(data):
            data = connection.recv(1 << 20)
            if not data:
                raise ConnectionError("the reply was cut")
            reply += data
        return reply


def _is_ok(port: int, request: bytes) -> bool:
    try:
        return exchange(port, request).startswith(b"HTTP/1.1 200")
    except (OSError, ValueError):
        return False
