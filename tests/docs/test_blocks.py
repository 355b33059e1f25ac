"""The examples of README, run as they stand, against the scripted models."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_docs import blocks
from tests.fixtures.serving import Served, serving
from tests.fixtures.world import API_KEY

README = Path(__file__).parents[2] / "README.md"
SHELL, PYTHON = ([block.text for block in blocks(README, f"{tag} test")] for tag in ("bash", "python"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    with serving(tmp_path_factory.mktemp("docs"), "--fake") as server:
        yield server


def run(command: list[str], text: str, served: Served) -> str:
    environment = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": served.url, "ANTHROPIC_API_KEY": API_KEY}
    done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_has_examples():
    assert len(SHELL) == 2
    assert len(PYTHON) == 1


@pytest.mark.parametrize("block", SHELL)
def test_curl(block: str, served: Served):
    printed = run(["bash", "-euo", "pipefail"], block, served)
    assert '"text":"Hello!"' in printed
    assert ("event: message_stop" in printed) == ('"stream": true' in block)


@pytest.mark.parametrize("block", PYTHON)
def test_python(block: str, served: Served):
    assert run([sys.executable, "-"], block, served) == "Name three rivers."
