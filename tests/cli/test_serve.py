"""The command line, as an operator meets it."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, APIStatusError, AuthenticationError
from PIL import Image
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from antiphon.cli.main import app
from antiphon.telemetry.requests import RequestLog
from antiphon.web.server import Server
from tests.fixtures.databases import new_postgres_url
from tests.fixtures.images import png, said
from tests.fixtures.serving import Served, serving, wait_until
from tests.fixtures.world import ask, text_of


def antiphon(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) | variables
    command = [sys.executable, "-m", "antiphon", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_logs_finds_a_request_by_its_id_and_never_its_words(tmp_path: Path):
    with serving(tmp_path, "--fake") as server, server.sdk() as client:
        message = client.messages.create(
            model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "a secret thing"}]
        )
        found = antiphon("logs", "--request", message._request_id or "", "--data-dir", str(tmp_path), "--json")
        plain = antiphon("logs", "--request", message._request_id or "", "--data-dir", str(tmp_path))
    assert text_of(message) == "a secret thing"
    line = json.loads(found.stdout)
    assert (line["status"], line["model"], line["usage"]["output_tokens"]) == (200, "echo", 3)
    assert line["total_ms"] > 0
    assert "200" in plain.stdout
    for path in [*tmp_path.glob("logs/*"), tmp_path / "printed.txt"]:
        assert "secret" not in path.read_text()
        assert "sk-ant-phon1-of" not in path.read_text()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the memory of other systems is not ours to arrange")
def test_a_large_body_takes_the_memory_of_the_one_before(tmp_path: Path):
    """Page faults are counted: there were some 3000 for each such body."""
    content = [png(Image.effect_noise((2600, 2600), 100)), said("what is it?")]
    with serving(tmp_path, "--fake") as server, server.sdk() as client:

        def send(num_times: int) -> int:
            before = num_faults(server.pid)
            for _ in range(num_times):
                client.messages.create(**ask(content))
            return num_faults(server.pid) - before

        send(5)
        assert send(5) < 5 * 500


def num_faults(pid: int) -> int:
    """Pages of memory that the process had to be given so far."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


@pytest.mark.parametrize("wanted", ["req_nothing", "", "req_"])
def test_logs_of_an_unknown_request_fail_with_one_sentence(wanted: str, tmp_path: Path):
    _log_one(tmp_path)
    done = antiphon("logs", "--request", wanted, "--data-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"antiphon: No request {wanted!r} is in the log of {tmp_path}.\n"


def test_logs_let_no_escape_through_to_the_terminal(tmp_path: Path):
    _log_one(tmp_path, model="\x1b]0;evil\x07\x9b2J")
    done = antiphon("logs", "--request", "req_1", "--data-dir", str(tmp_path))
    assert done.returncode == 0
    assert r"\u001b]0;evil\u0007\u009b2J" in done.stdout
    assert all(sign.isprintable() for sign in done.stdout.replace("\n", ""))


def _log_one(data_dir: Path, **fields: str) -> None:
    log = RequestLog(data_dir / "logs")
    log.append([{"request_id": "req_1", **fields}])
    log.close()


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["--model", "/nowhere/model.gguf"], {}, "There is no model '/nowhere/model.gguf'"),
        (["--engine", "localhost:8000"], {}, "http://"),
        (["--fake"], {"ANTIPHON_MAX_WAIT_S": "soon"}, "max_wait_s"),
        (["--fake"], {"ANTIPHON_PORT": "99999"}, "port"),
        (["--fake"], {"ANTIPHON_ALIASES": "notjson"}, "aliases"),
        (["--fake"], {"ANTIPHON_ALIASES": "[]"}, "aliases"),
        (["--fake", "--data-dir", "/dev/null"], {}, "/dev/null"),
        (["--fake", "--data-dir", "/dev/null/data"], {}, "/dev/null/data"),
        (["--fake", "--data-dir", "/proc/data"], {}, "/proc/data"),
    ],
)
def test_an_operators_mistake_is_one_sentence(arguments, variables, says, tmp_path: Path):
    done = antiphon("serve", "--data-dir", str(tmp_path), *arguments, **{"ANTIPHON_PORT": "0"} | variables)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("antiphon: ")


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_a_projector_that_is_none_is_one_sentence(how: str, smollm2: Path, tmp_path: Path):
    (tmp_path / "eyes.toml").write_text(f'mmproj = "{smollm2}"')
    given = {"flag": ["--mmproj", str(smollm2)], "file": ["--config", str(tmp_path / "eyes.toml")]}.get(how, [])
    variables = {"ANTIPHON_MMPROJ": str(smollm2)} if how == "variable" else {}
    arguments = ["serve", "--model", str(smollm2), "--port", "0", "--data-dir", str(tmp_path), *given]
    done = antiphon(*arguments, **variables)
    assert done.returncode == 1
    assert f"antiphon: {smollm2} is a model, and no projector: give its mmproj file with --mmproj.\n" in done.stderr


def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03\x00\x00\x00 and no more")
    done = antiphon("serve", "--port", "0", "--data-dir", str(tmp_path), "--model", str(broken))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "broken.gguf" in done.stderr.splitlines()[-1]


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = antiphon("serve", "--fake", "--data-dir", str(tmp_path), "--port", port)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr


def test_a_damaged_key_file_is_one_sentence(tmp_path: Path):
    (tmp_path / "credentials.json").write_text("{")
    done = antiphon("serve", "--fake", "--data-dir", str(tmp_path), "--port", "0")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "is damaged" in done.stderr


def test_settings_come_from_flags_then_variables_then_the_file(tmp_path: Path):
    config = tmp_path / "antiphon.toml"
    config.write_text(
        'api_key = "from-file"\nengine = "http://127.0.0.1:9/file"\n[aliases]\n"claude-x" = "lorem"\nmine = "lorem"\n'
    )
    question: Any = [{"role": "user", "content": "hi"}]
    variables: Any = {"ANTIPHON_API_KEY": "from-variable", "ANTIPHON_ENGINE": "http://127.0.0.1:9/variable"}
    with serving(tmp_path, "--config", str(config), "--fake", keys=False, **variables) as server:
        with server.sdk(api_key="from-file") as client, pytest.raises(AuthenticationError):
            client.models.list()
        with server.sdk(api_key="from-variable") as client:
            names = [
                client.messages.create(model=m, max_tokens=2, messages=question).model for m in ("claude-x", "mine")
            ]
    assert names == ["lorem", "lorem"]


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path):
    config = tmp_path / "antiphon.toml"
    config.write_text("modle = 'x'\n")
    done = antiphon("serve", "--fake", "--config", str(config), "--data-dir", str(tmp_path), "--port", "0")
    assert done.returncode == 1
    assert done.stderr == "antiphon: There is no setting modle: see docs/reference/settings.md.\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"api_key = = 'a secret'", "Invalid value"), (b"a = '\xff'", "TOML"), (b"api_key = ['a secret']", "api_key")],
)
@pytest.mark.parametrize("command", [["serve", "--fake", "--port", "0"], ["logs", "--request", "req_1"]])
def test_a_wrong_file_of_settings_is_one_sentence(command: list[str], text: bytes, says: str, tmp_path: Path):
    config = tmp_path / "antiphon.toml"
    config.write_bytes(text)
    done = antiphon(*command, "--config", str(config), "--data-dir", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert says in done.stderr
    assert "secret" not in done.stderr


def test_a_variable_that_is_no_setting_yet_is_ignored(tmp_path: Path):
    with serving(tmp_path, "--fake", ANTIPHON_RATE_LIMITS__REQUESTS_PER_MINUTE="50", ANTIPHON_MODLE="x") as server:
        assert "ready" in server.printed


def test_a_bad_request_leaves_no_line_on_the_terminal(tmp_path: Path):
    with serving(tmp_path, "--fake") as server:
        address = server.url.removeprefix("http://").split(":")
        with socket.create_connection((address[0], int(address[1])), 10) as client:
            client.sendall(b"\x00\x01 no HTTP\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 400")
        assert "Invalid HTTP" not in server.printed


def test_a_server_that_dies_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def die(self: Server) -> None:
        raise RuntimeError("uvicorn is gone")

    monkeypatch.setattr(Server, "serve", die)
    arguments = ["serve", "--fake", "--port", "0", "--data-dir", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "antiphon: The server has ended by itself: the error above says why."


def test_the_keys_and_the_ready_line_come_through_a_pipe_at_once(tmp_path: Path):
    command = [sys.executable, "-m", "antiphon", "serve", "--fake", "--port", "0", "--data-dir", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.terminate()
    assert lines[0].startswith("The admin key, shown this once: sk-ant-phonadm1-")
    assert lines[3].startswith("  export ANTHROPIC_API_KEY=sk-ant-phon1-")
    assert lines[4].startswith("ready: http://")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_in_good_order(number: int, tmp_path: Path):
    with serving(tmp_path, "--fake") as server:
        started_at = time.monotonic()
        server.kill(number)
        assert server.process.wait(10) == 0
        assert time.monotonic() - started_at < 3
        assert "Traceback" not in server.printed


def _stream_and_kill(server: Served, client: Anthropic, parts: list[str]) -> None:
    question: Any = [{"role": "user", "content": "hi"}]
    with client.messages.stream(model="slow", max_tokens=5000, messages=question) as stream:
        for part in stream.text_stream:
            parts.append(part)
            if len(parts) == 3:
                server.kill(signal.SIGTERM)


def test_sigterm_under_load_ends_a_stream_with_an_error_event(tmp_path: Path):
    with serving(tmp_path, "--fake", ANTIPHON_DRAIN_S="0.3") as server, server.sdk() as client:
        parts: list[str] = []
        with pytest.raises(APIStatusError, match="Overloaded"):
            _stream_and_kill(server, client, parts)
        assert "".join(parts).startswith("lorem ipsum")
        wait_until(lambda: server.process.poll() is not None, 10)
        assert server.process.returncode == 0


def test_keys_that_cannot_be_printed_are_told_of(tmp_path: Path):
    command = [sys.executable, "-m", "antiphon", "serve", "--fake", "--port", "0", "--data-dir", str(tmp_path)]
    ours = ("ANTIPHON_", "PYTHONUNBUFFERED")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=environment, check=False
        )
    assert done.returncode == 1
    assert "`antiphon keys create --admin --name NAME` makes another." in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("wrong", [{"database": "nowhere"}, {"username": "nobody_x"}])
def test_a_database_that_lets_nobody_in_is_one_sentence(wrong: dict[str, str], tmp_path: Path):
    url = make_url(new_postgres_url()).set(**wrong).render_as_string(hide_password=False)  # type: ignore[arg-type]
    arguments = ["--fake", "--data-dir", str(tmp_path), "--port", "0"]
    done = antiphon("serve", *arguments, ANTIPHON_DATABASE_URL=url)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "see the" in done.stderr
    assert done.stderr.splitlines()[-1] == "antiphon: The database cannot be used: the error above says why."
