"""The watch over what is logged: silent on what may be, loud on keys and on prompts."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from antiphon.core.secrets import hint_of, new_key
from tests.fixtures.redaction import CANARY, leaks, leaks_in_print
from tests.fixtures.world import ADMIN_KEY, API_KEY, ask

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("secret", [new_key("api"), new_key("admin"), API_KEY, ADMIN_KEY, CANARY], ids=range(5))
def test_a_secret_is_a_leak(secret: str):
    line = f"INFO antiphon: got {secret!r}, and went on"
    assert leaks(f"one\n{line}\ntwo") == [line]
    assert leaks_in_print(line) == [line]


@pytest.mark.parametrize(
    "word", [hint_of(new_key("api")), hint_of(new_key("admin")), "sk-ant-phon1-", "hello canary"], ids=range(4)
)
def test_what_is_no_secret_is_no_leak(word: str):
    assert leaks(f"INFO antiphon: {word}") == []


def test_the_keys_of_a_first_start_may_be_printed_and_not_logged():
    shown = f"The admin key, shown this once: {new_key('admin')}\n  export ANTHROPIC_API_KEY={new_key('api')}\n"
    assert leaks_in_print(shown) == []
    assert len(leaks(shown)) == 2


def test_requests_carry_the_canary():
    assert CANARY in str(ask())


LEAKING = f"""
import logging
from antiphon.telemetry.requests import RequestLog

def test_log():
    logging.getLogger("antiphon.web").info("the key is %s", "{API_KEY}")

def test_trace():
    try:
        raise ValueError("cannot answer {CANARY}")
    except ValueError:
        logging.getLogger("antiphon.web").exception("it failed")

def test_request_log(tmp_path):
    log = RequestLog(tmp_path)
    log.append([{{"error": "{CANARY}"}}])
    log.close()

def test_print(tmp_path):
    (tmp_path / "printed.txt").write_text("{new_key("api")}")

def test_server(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "engine.log").write_text("{CANARY}")
"""
QUIET = """
import logging

def test_log(tmp_path):
    logging.getLogger("antiphon.web").info("nothing to see")
    (tmp_path / "printed.txt").write_text("ready")
"""


def run(tests: str) -> subprocess.CompletedProcess[str]:
    """A session of pytest of its own, under the watch. Not in this session's folder, where its leaks would be found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text(tests)
        (folder / "pytest.ini").write_text("[pytest]\n")
        options = ["-q", "-p", "tests.fixtures.redaction", "-c", name + "/pytest.ini", "--basetemp", name + "/temp"]
        command = [sys.executable, "-m", "pytest", *options, name + "/test_it.py"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_session_that_leaks_fails_and_names_the_tests():
    done = run(LEAKING)
    assert (done.returncode, "secrets are logged" in done.stdout) == (1, True), done.stdout
    for place in (
        "the log, in test_it.py::test_log",
        "the log, in test_it.py::test_trace",
        "requests.jsonl, in test_it.py::test_request_log",
        "test_print0/printed.txt",
        "test_server0/logs/engine.log",
    ):
        assert place in done.stdout


def test_a_session_that_does_not_leak_passes():
    done = run(QUIET)
    assert done.returncode == 0, done.stdout
