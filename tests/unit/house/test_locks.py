"""The lock files: complete, hashed, and naming no place."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = ["serve", "dev", "sdk0"]


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock_text(name), re.MULTILINE))


def test_what_the_package_needs_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    names = {re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in needed}
    assert names <= pins("serve").keys()


def test_tests_run_on_what_is_served():
    assert pins("serve").items() <= pins("dev").items()


def test_the_sdks_are_the_two_that_are_promised():
    assert pins("dev")["anthropic"].startswith("2.")
    assert pins("sdk0")["anthropic"].startswith("0.")


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_with_hashes(name: str):
    text = re.sub(r"^\s*#.*$", "", lock_text(name), flags=re.MULTILINE).replace("\\\n", " ")
    for requirement in filter(None, map(str.strip, text.splitlines())):
        assert re.match(r"[\w.-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", requirement)


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_host(name: str):
    assert not re.search(r"://|^\s*-(-index|-extra-index|-find-links|i|f)\b|@ ", lock_text(name), re.MULTILINE)
