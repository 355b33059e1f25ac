"""docs/how-to/files-and-citations.md, done as it says: every block, in order, in one folder."""

import os
import subprocess
import sys
from pathlib import Path

from scripts.check_docs import blocks
from tests.fixtures.serving import Served, serving
from tests.fixtures.world import API_KEY

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "files-and-citations.md"
SHELL, PYTHON = ([block.text for block in blocks(PAGE, f"{tag} test")] for tag in ("bash", "python"))


def test_files_and_citations_work_as_their_page_says(tmp_path: Path):
    (curl,) = SHELL
    upload, ask, stream = PYTHON
    folder = tmp_path / "data"
    folder.mkdir()
    with serving(folder, "--fake", ANTIPHON_ALIASES='{"claude-sonnet-5": "citer"}') as served:
        made = run(["bash", "-euo", "pipefail"], curl, served, tmp_path)
        assert '"filename":"rules.txt","mime_type":"text/plain"' in made
        listed = run([sys.executable, "-"], upload, served, tmp_path)
        assert listed.startswith("rules.txt text/plain 62\n")
        assert listed.count("rules.txt") == 3
        answer = run([sys.executable, "-"], ask, served, tmp_path)
        streamed = run([sys.executable, "-"], stream, served, tmp_path)
    assert answer == "The harbour opens at six.\n  [Harbour rules, 0] The harbour opens at six.\n"
    assert streamed == "Berths are free in winter.  <- https://intranet.example/berths\n"


def run(command: list[str], text: str, served: Served, folder: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": served.url, "ANTHROPIC_API_KEY": API_KEY}
    done = subprocess.run(
        command, input=text, env=environment, cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
