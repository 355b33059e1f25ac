"""Where a model's weights come from."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from antiphon.core.errors import OperatorError
from antiphon.engines.models import find_model

FILES = {"Tiny-Q4_K_M.gguf": b"four bits", "Tiny-Q8_0.gguf": b"eight bits", "README.md": b"words"}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as fetching one file asks for."""

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]
        if self.path.startswith("/api/models/org/tiny"):
            listing = [{"type": "file", "path": name, "oid": "0" * 40, "size": len(FILES[name])} for name in FILES]
            self._answer(200, json.dumps(listing).encode(), "application/json")
        elif self.path.startswith("/org/tiny/resolve/") and name in FILES:
            self._answer(200, FILES[name], "application/octet-stream")
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(hub: str, spec: str, folder: Path) -> str:
    """The found model's name and content, or the sentence that the operator is told."""
    script = (
        "import sys; from pathlib import Path\n"
        "from antiphon.core.errors import OperatorError\n"
        "from antiphon.engines.models import find_model\n"
        "try:\n    found = find_model(sys.argv[1], Path(sys.argv[2]))\n"
        "    print(found.name, found.path.read_text())\n"
        "except OperatorError as error:\n    print(error)\n"
    )
    environment = dict(os.environ) | {"HF_ENDPOINT": hub, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", script, spec, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
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


def test_a_path_is_served_under_the_files_own_name(tmp_path: Path):
    (tmp_path / "Mine.gguf").write_bytes(b"")
    found = find_model(str(tmp_path / "Mine.gguf"), tmp_path)
    assert (found.name, found.path) == ("mine", tmp_path / "Mine.gguf")


@pytest.mark.parametrize("name", ["nothing", "/nowhere/x.gguf", "x.bin"])
def test_a_name_that_means_nothing_lists_what_would(name: str, tmp_path: Path):
    with pytest.raises(OperatorError, match="smollm2-135m-instruct"):
        find_model(name, tmp_path)
