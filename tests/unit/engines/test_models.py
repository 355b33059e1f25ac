"""Where a model's weights come from."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from antiphon.core.errors import OperatorError
from antiphon.engines.models import find_model
from tests.fixtures.web import answering

REPOSITORIES = {
    "org/tiny": {"Tiny-Q4_K_M.gguf": b"four bits", "Tiny-Q8_0.gguf": b"eight bits", "README.md": b"words"},
    "org/large": {
        "BF16/L-BF16.gguf": b"brain float",
        "F16/L-F16.gguf": b"half float",
        "L-IQ4_0.gguf": b"importance",
        "L-Q4_0.gguf": b"four bits",
        "Q8_0/L-Q8_0-00001-of-00002.gguf": b"first",
        "Q8_0/L-Q8_0-00002-of-00002.gguf": b"second",
    },
    "org/seeing": {
        "See-Q4_K_M.gguf": b"four bits",
        "mmproj-See-BF16.gguf": b"brain float",
        "mmproj-See-f16.gguf": b"half float",
        "other/mmproj-f16.gguf": b"of another model",
    },
}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as fetching one file asks for."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/api/models").removeprefix("/")
        repository, _, name = path.partition("/tree/")[0].partition("/resolve/main/")
        files = REPOSITORIES.get(repository, {})
        if name == "" and files:
            listing = [{"type": "file", "path": name, "oid": "0" * 40, "size": len(files[name])} for name in files]
            self._answer(200, json.dumps(listing).encode(), "application/json")
        elif name in files:
            self._answer(200, files[name], "application/octet-stream")
        else:
            self._answer(404, b"{}", "application/json")

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("x-repo-commit", "c" * 40)
        if status == 404:
            self.send_header("x-error-code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with answering(Hub) as url:
        yield url


SCRIPT = """
import asyncio, sys
from pathlib import Path
from antiphon.core.errors import OperatorError
from antiphon.engines.models import find_model

try:
    found = asyncio.run(find_model(sys.argv[1], Path(sys.argv[2])))
    print(found.name, *[path.read_text() for path in (found.path, found.projector) if path])
except OperatorError as error:
    print(error)
"""


def environment(hub: str, folder: Path) -> dict[str, str]:
    return dict(os.environ) | {"HF_ENDPOINT": hub, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}


def fetch(hub: str, spec: str, folder: Path) -> str:
    """The found model's name and content, or the sentence that the operator is told."""
    command = [sys.executable, "-c", SCRIPT, spec, str(folder)]
    done = subprocess.run(
        command, env=environment(hub, folder), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("hf:org/tiny", "tiny-q4_k_m four bits"),
        ("hf:org/tiny:q8_0", "tiny-q8_0 eight bits"),
        ("hf:org/tiny:Q2_K", "hf:org/tiny has no .gguf file for 'Q2_K'; it has: Tiny-Q4_K_M.gguf, Tiny-Q8_0.gguf."),
    ],
)
def test_a_file_of_a_hub_repository(hub: str, spec: str, told: str, tmp_path: Path):
    assert fetch(hub, spec, tmp_path) == told


def test_a_file_that_was_fetched_once_needs_no_hub(hub: str, tmp_path: Path):
    for place in (hub, "http://127.0.0.1:9"):
        assert fetch(place, "hf:org/tiny", tmp_path) == "tiny-q4_k_m four bits"


def test_a_repository_that_is_not_there_is_one_sentence(hub: str, tmp_path: Path):
    assert "The model hf:org/nothing cannot be fetched" in fetch(hub, "hf:org/nothing", tmp_path)


@pytest.mark.slow  # the hub's library tries again for a while
def test_a_hub_that_is_away_is_one_sentence(tmp_path: Path):
    assert "The model hf:org/tiny cannot be fetched" in fetch("http://127.0.0.1:9", "hf:org/tiny", tmp_path)


def test_a_repository_s_projector_is_fetched_with_its_model(hub: str, tmp_path: Path):
    for place in (hub, "http://127.0.0.1:9"):
        assert fetch(place, "hf:org/seeing", tmp_path) == "see-q4_k_m four bits half float"
    assert sorted(path.name for path in tmp_path.rglob("*.gguf")) == ["See-Q4_K_M.gguf", "mmproj-See-f16.gguf"]


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([], None),
        (["mmproj-mine.gguf"], "mmproj-mine.gguf"),
        (["MMPROJ.gguf", "readme.txt"], "MMPROJ.gguf"),
        (["mmproj-a.gguf", "mmproj-b.gguf"], None),
        (["mmproj-mine.gguf", "Other.gguf"], None),
        (["Other.gguf"], None),
    ],
)
async def test_a_projector_beside_a_file_is_taken_where_it_can_belong_to_no_other(
    others: list[str], found: str | None, tmp_path: Path
):
    for name in ("Mine-00001-of-00002.gguf", "Mine-00002-of-00002.gguf", *others):
        (tmp_path / name).write_bytes(b"")
    model = await find_model(str(tmp_path / "Mine-00001-of-00002.gguf"), tmp_path)
    assert (model.projector and model.projector.name) == found


async def test_a_path_is_served_under_the_files_own_name(tmp_path: Path):
    (tmp_path / "Mine.gguf").write_bytes(b"")
    found = await find_model(str(tmp_path / "Mine.gguf"), tmp_path)
    assert (found.name, found.path) == ("mine", tmp_path / "Mine.gguf")


@pytest.mark.parametrize("name", ["nothing", "/nowhere/x.gguf", "x.bin"])
async def test_a_name_that_means_nothing_lists_what_would(name: str, tmp_path: Path):
    with pytest.raises(OperatorError, match="smollm2-135m-instruct"):
        await find_model(name, tmp_path)


@pytest.mark.parametrize(
    ("quant", "told"),
    [("F16", "l-f16 half float"), ("Q4_0", "l-q4_0 four bits"), ("bf16", "l-bf16 brain float")],
)
def test_a_quant_means_whole_parts_of_a_name_and_its_file_is_kept_wherever_it_lies(
    hub: str, quant: str, told: str, tmp_path: Path
):
    for place in (hub, "http://127.0.0.1:9"):
        assert fetch(place, f"hf:org/large:{quant}", tmp_path) == told


def test_a_split_model_is_fetched_whole_and_only_then_there(hub: str, tmp_path: Path):
    for _ in range(2):
        assert fetch(hub, "hf:org/large:q8_0", tmp_path) == "l-q8_0 first"
        second = tmp_path / "models" / "org--large" / "Q8_0" / "L-Q8_0-00002-of-00002.gguf"
        assert second.read_bytes() == b"second"
        second.unlink()


def test_a_folder_that_cannot_be_written_is_one_sentence(hub: str, tmp_path: Path):
    (tmp_path / "models").write_text("a file")
    assert f"The model hf:org/tiny cannot be kept in {tmp_path / 'models'}: File exists." in fetch(
        hub, "hf:org/tiny", tmp_path
    )


@pytest.fixture
def slow_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `pip` that writes half a file, tells its process id, and goes on for ever."""
    place = tmp_path / "slow" / "pip"
    place.mkdir(parents=True)
    script = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "(Path(sys.argv[sys.argv.index('-d') + 1]) / 'half.whl').write_text('half')\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    (place / "__main__.py").write_text(script)
    (place / "__init__.py").touch()
    source = Path(__file__).parents[3] / "src"
    monkeypatch.setenv("PYTHONPATH", f"{place.parent}{os.pathsep}{source}")
    return tmp_path / "pid"


async def test_a_fetch_that_is_given_up_ends_at_once_and_leaves_nothing(slow_pip: Path, tmp_path: Path):
    fetching = asyncio.ensure_future(find_model("smollm2-135m-instruct", tmp_path))
    async with asyncio.timeout(20):
        while not (slow_pip.exists() and slow_pip.read_text()):
            await asyncio.sleep(0.02)
    fetching.cancel()
    async with asyncio.timeout(2):
        await asyncio.wait([fetching])
    assert fetching.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(int(slow_pip.read_text()), 0)
    assert list((tmp_path / "models").iterdir()) == []
