"""`antiphon batch` and `antiphon worker`, beside a running server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from antiphon.cli.main import app
from tests.fixtures.serving import Served, serving, wait_until
from tests.fixtures.world import API_KEY, ask


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    with serving(tmp_path_factory.mktemp("batch"), "--fake") as server:
        yield server


def run(*arguments: str, folder: Path, fails: bool = False) -> Any:
    """`antiphon ARGUMENTS --data-dir FOLDER`; asserts that it succeeds, or fails with 1."""
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(folder)])
    assert done.exit_code == (1 if fails else 0), done.output
    return done


def folder_of(served: Served) -> Path:
    return served.log.parent


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def results_in(path: Path) -> dict[str, Any]:
    return {line["custom_id"]: line for line in map(json.loads, path.read_text().splitlines())}


def test_run_sends_waits_and_writes_the_results(served: Served, tmp_path: Path):
    native = {"custom_id": "native", "params": ask("as the API has it")}
    file = write(tmp_path / "p.jsonl", {"prompt": "just a prompt"}, native, {"custom_id": "bad", "params": {}})
    told = json.loads(run("batch", "run", str(file), "--json", folder=folder_of(served)).stdout)
    assert told["counts"] == {"succeeded": 2, "errored": 1, "canceled": 0, "expired": 0}
    results = results_in(Path(told["output"]))
    texts = {name: results[name]["result"]["message"]["content"][0]["text"] for name in ("line-1", "native")}
    assert texts == {"line-1": "just a prompt", "native": "as the API has it"}
    assert results["bad"]["result"]["error"]["error"]["message"] == "model: Field required"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl", "p.jsonl.results.jsonl"]


def test_run_shows_how_far_it_is(served: Served, tmp_path: Path):
    file = write(tmp_path / "p.jsonl", {"prompt": "x"})
    done = run("batch", "run", str(file), folder=folder_of(served))
    assert "1/1" in done.stderr
    assert "1 succeeded" in done.stdout


def test_lines_of_openais_batches_are_taken_and_answered_in_their_form(served: Served, tmp_path: Path):
    chat = {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": chat}
    wrong = line | {"custom_id": "b", "body": chat | {"model": "nobody"}}
    output = tmp_path / "out.jsonl"
    file = write(tmp_path / "o.jsonl", line, wrong)
    run("batch", "run", str(file), "--output", str(output), folder=folder_of(served))
    results = results_in(output)
    body = results["a"]["response"]["body"]
    assert body["choices"][0]["message"]["content"] == "hello"
    assert body["usage"]["prompt_tokens"] == 3
    assert results["b"]["error"] == {"code": "not_found_error", "message": "model: nobody"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", ":1: "),
        ('{"custom_id": "x"}', "a line has `custom_id` and `params`, or `prompt`"),
        ('{"custom_id": "x", "url": "/v1/embeddings", "body": {}}', "only lines for /v1/chat/completions are taken"),
        ("", "holds no request"),
    ],
)
def test_a_wrong_line_is_one_sentence_and_nothing_is_sent(served: Served, tmp_path: Path, line: str, words: str):
    file = tmp_path / "p.jsonl"
    file.write_text(line)
    before = run("batch", "list", "--json", folder=folder_of(served)).stdout
    assert words in run("batch", "run", str(file), folder=folder_of(served), fails=True).stderr
    assert run("batch", "list", "--json", folder=folder_of(served)).stdout == before


def test_what_was_interrupted_goes_on_and_is_not_sent_twice(served: Served, tmp_path: Path):
    lines = [{"custom_id": f"i{n}", "params": ask(model="slow", max_tokens=300)} for n in range(40)]
    file = write(tmp_path / "p.jsonl", *lines)
    command = [sys.executable, "-m", "antiphon", "batch", "run", str(file), "--data-dir", str(folder_of(served))]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    state = tmp_path / "p.jsonl.batch.json"
    wait_until(state.exists, 30)
    (batch_id,) = json.loads(state.read_text())["batches"]
    wait_until(lambda: batch_id in run("batch", "list", folder=folder_of(served)).stdout, 30)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 130
    assert f"antiphon batch cancel {batch_id}" in said
    told = json.loads(run("batch", "run", str(file), "--json", folder=folder_of(served)).stdout)
    assert told["batches"] == [batch_id]
    assert len(results_in(Path(told["output"]))) == 40
    assert not state.exists()


def test_a_file_that_has_changed_is_not_taken_for_the_old_one(served: Served, tmp_path: Path):
    file = write(tmp_path / "p.jsonl", {"prompt": "x"})
    (tmp_path / "p.jsonl.batch.json").write_text(json.dumps({"file": "another", "batches": []}))
    assert "has changed" in run("batch", "run", str(file), folder=folder_of(served), fails=True).stderr


def test_list_cancel_and_results(served: Served):
    with served.sdk() as client:
        params: Any = ask(model="slow", max_tokens=100_000)
        made = client.messages.batches.create(requests=[{"custom_id": "one", "params": params}])
    shown = json.loads(run("batch", "list", "--json", folder=folder_of(served)).stdout)
    assert shown[0]["id"] == made.id
    assert "has no available results" in run("batch", "results", made.id, folder=folder_of(served), fails=True).stderr
    run("batch", "cancel", made.id, folder=folder_of(served))
    deadline = time.monotonic() + 30
    while True:
        (one,) = [
            b for b in json.loads(run("batch", "list", "--json", folder=folder_of(served)).stdout) if b["id"] == made.id
        ]
        if one["processing_status"] == "ended":
            break
        assert time.monotonic() < deadline
    printed = run("batch", "results", made.id, folder=folder_of(served)).stdout
    assert json.loads(printed) == {"custom_id": "one", "result": {"type": "canceled"}}
    assert "not found" in run("batch", "cancel", "msgbatch_no", folder=folder_of(served), fails=True).stderr


@pytest.mark.slow
def test_a_worker_of_its_own_runs_what_its_server_does_not(tmp_path: Path):
    assert "--engine URL" in run("worker", folder=tmp_path, fails=True).stderr
    assert "start `antiphon serve` first" in run("worker", "--fake", folder=tmp_path, fails=True).stderr
    with serving(tmp_path, "--fake", ANTIPHON_BATCH_WORKER="false") as server, server.sdk() as client:
        made = client.messages.batches.create(requests=[{"custom_id": "one", "params": ask()}])  # type: ignore[list-item]
        command = [sys.executable, "-m", "antiphon", "worker", "--fake", "--data-dir", str(tmp_path)]
        worker = subprocess.Popen(command, env=os.environ | {"ANTIPHON_API_KEY": API_KEY}, stdout=subprocess.PIPE)
        try:
            wait_until(lambda: client.messages.batches.retrieve(made.id).processing_status == "ended", 30)
        finally:
            worker.terminate()
            assert worker.wait(30) == 0
            worker.communicate()
