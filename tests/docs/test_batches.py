"""docs/how-to/batches.md, done as it says: its blocks in order, with the scripted models and with the default one."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_docs import blocks
from tests.fixtures.serving import Served, serving
from tests.fixtures.world import API_KEY

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "batches.md"


def follow(served: Served, folder: Path) -> list[dict[str, str]]:
    """Do what the page says; the rows of the CSV that comes of it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "ANTIPHON_DATA_DIR": str(served.log.parent)}
    environment |= {"ANTHROPIC_BASE_URL": served.url, "ANTHROPIC_API_KEY": API_KEY}
    python = [(block.line, [sys.executable, "-"], block.text) for block in blocks(PAGE, "python test")]
    bash = [(block.line, ["bash", "-euo", "pipefail"], block.text) for block in blocks(PAGE, "bash test")]
    assert (len(python), len(bash)) == (4, 1)
    for line, command, text in sorted(python + bash):
        done = subprocess.run(
            command, input=text, env=environment, cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{PAGE}:{line}: {done.stderr}"
    with (folder / "labelled.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def check(rows: list[dict[str, str]], folder: Path) -> None:
    assert len(rows) == 500
    assert {row["label"] for row in rows} <= {"positive", "negative"}
    assert len((folder / "answers.jsonl").read_text().splitlines()) == 500


@pytest.mark.slow
def test_500_lines_are_classified(tmp_path: Path):
    (tmp_path / "data").mkdir()
    with serving(tmp_path / "data", "--fake") as served:
        check(follow(served, tmp_path), tmp_path)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(1200)
def test_the_default_model_classifies_500_lines(tmp_path: Path, smollm2: Path):
    (tmp_path / "data").mkdir()
    with serving(tmp_path / "data", "--model", str(smollm2)) as served:
        rows = follow(served, tmp_path)
    check(rows, tmp_path)
