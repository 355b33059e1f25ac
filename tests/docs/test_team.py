"""docs/how-to/team.md, done as it says: every block of it, in order, in one shell beside a running server."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.fixtures.serving import serving

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "team.md"
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_a_team_is_served_in_ten_minutes(tmp_path: Path):
    blocks = [(tag, option.strip(), text) for tag, option, text in _FENCE.findall(PAGE.read_text())]
    folder = tmp_path / "antiphon-team"
    folder.mkdir()
    ((_, _, settings),) = [block for block in blocks if block[1] == "file=team.toml"]
    ((_, _, start),) = [block for block in blocks if block[1] == "background"]
    (tmp_path / "team.toml").write_text(settings)
    assert start.split()[:2] == ["antiphon", "serve"]
    options = start.split()[2:]
    del options[options.index("--port") : options.index("--port") + 2]
    options[options.index("team.toml")] = str(tmp_path / "team.toml")
    with serving(folder, *options, keys=False) as served:
        assert "The admin key, shown this once: sk-ant-phonadm1-" in served.printed
        script = "".join(text for tag, option, text in blocks if tag == "bash" and not option)
        done = run(script.replace("http://127.0.0.1:8484", served.url), tmp_path)
    assert '"text":"Hello!"' in done
    usage = done[done.index('"text":"Hello!"') :]
    for word in ("research", "api_key.created", "workspace.created", "rate_limits.updated", "The database is whole."):
        assert word in usage, f"{word} is not in:\n{usage}"
    assert (tmp_path / "backup-of-today" / "antiphon.db").exists()


def run(script: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=script,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
