"""The commands, as a user types them."""

import os
import subprocess
import sys
from pathlib import Path


def run(*arguments: str, folder: Path, fails: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """`antiphon ARGUMENTS --data-dir FOLDER`; asserts that it succeeds, or fails with 1 and no traceback."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")} | variables
    command = [sys.executable, "-m", "antiphon", *arguments, "--data-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done
