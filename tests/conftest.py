"""What every test shares: no network but loopback, no settings from outside, and the real models."""

import hashlib
import ipaddress
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import fetch_models
from tests.fixtures import redaction

ROOT = Path(__file__).parents[1]


ALONE = {
    Path("cli"),
    Path("crash"),
    Path("faults"),
    Path("real"),
    Path("clients/test_counts.py"),
    Path("clients/test_toolsearch.py"),
    Path("contract/test_engine.py"),
    Path("contract/test_ledger_reports.py"),
    Path("unit/engines/test_child.py"),
    Path("unit/turn/schema/test_check.py"),
    Path("unit/wire/test_conversation.py"),
}
"""Folders and files of tests that measure time, or start what uses all cores."""


class NetworkBlockedError(RuntimeError):
    pass


def _is_loopback(host: object) -> bool:
    if host is None:  # getaddrinfo's word for "any address of this machine"
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name in ("", "localhost")


def _block_network(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: it sees what patched functions would miss, such as asyncio's own and bound copies."""
    if not event.startswith("socket."):
        return
    if event == "socket.getaddrinfo" or event == "socket.gethostbyname":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    if not _is_loopback(host):
        raise NetworkBlockedError(f"a test reached for {host}: only loopback is open in tests")


def pytest_configure(config: pytest.Config) -> None:
    # The developer's own keys, settings and proxies must not decide whether a test passes.
    for name in list(os.environ):
        is_ours = name.startswith(("ANTIPHON_", "ANTHROPIC_")) and name != "ANTIPHON_TEST_MODELS"
        if is_ours or name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            del os.environ[name]
    sys.addaudithook(_block_network)
    config.pluginmanager.register(redaction)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(ROOT / "tests")
        if ALONE & {place, *place.parents}:
            item.add_marker("alone")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio's own loop: uvloop's connects past the audit hook. Tests that start the real server run on uvloop."""
    return "asyncio"


@pytest.fixture(scope="session")
def models_dir() -> Path:
    return fetch_models.folder()


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The default model's file."""
    return _model("smollm2")


@pytest.fixture(scope="session")
def qwen05() -> Path:
    """A model that knows tools; for tests marked `full`."""
    return _model("qwen05")


@pytest.fixture(scope="session")
def qwen15() -> Path:
    """A model that knows tools well enough for an agent; for tests marked `full`."""
    return _model("qwen15")


@pytest.fixture(scope="session")
def smollm2_projector(smollm2: Path) -> Path:
    """It makes the default model see colours, and shapes not well; quick to build."""
    return _projector(smollm2, num_examples=40)


@pytest.fixture(scope="session")
def smollm2_good_projector(smollm2: Path) -> Path:
    """It makes the default model see colours, shapes and digits; for tests marked `slow`."""
    return _projector(smollm2, num_examples=300)


@pytest.fixture(scope="session")
def qwen05_projector(qwen05: Path) -> Path:
    """It makes the model see colours, shapes and digits."""
    return _projector(qwen05, num_examples=300)


def _projector(model: Path, num_examples: int) -> Path:
    """Built once for each version of the script that builds it, and kept beside the model."""
    from scripts import make_mmproj

    version = hashlib.sha256(Path(make_mmproj.__file__).read_bytes()).hexdigest()[:8]
    path = model.with_name(f"{model.stem}-mmproj-{num_examples}-{version}.gguf")
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        make_mmproj.build(model, part, num_examples=num_examples)
        part.rename(path)
    return path


def _model(name: str) -> Path:
    if not fetch_models.is_there(name):
        pytest.fail(f"{fetch_models.path_of(name)} is missing: run python scripts/fetch_models.py {name}")
    return fetch_models.path_of(name)


@pytest.fixture(scope="session")
def sdk0_python() -> Path:
    """The Python of the environment that holds the last 0.x SDK; it runs scripts, never pytest."""
    python = ROOT / ".venv-sdk0" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{python} is missing: run make sdk0")
    return python
