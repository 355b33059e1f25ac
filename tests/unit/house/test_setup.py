"""The commands' own set-up: what happens on a machine that lacks something."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_a_machine_without_python_is_told_so_in_one_sentence(tmp_path: Path):
    done = subprocess.run(
        [ROOT / "scripts" / "venv", tmp_path / "venv", "requirements/sdk0.txt"],
        env={**os.environ, "PYTHON": "/nonexistent/python"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("antiphon needs Python 3.11 or newer")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "venv").exists()


def test_help_lists_every_command():
    done = subprocess.run(["make", "--directory", ROOT, "help"], capture_output=True, text=True, check=True)
    assert {"serve", "test", "check", "bench", "fmt", "lock"} <= set(done.stdout.split())
