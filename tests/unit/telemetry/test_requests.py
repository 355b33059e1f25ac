"""The request log."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from antiphon.core.errors import OperatorError
from antiphon.core.secrets import new_key
from antiphon.telemetry import requests
from antiphon.telemetry.requests import RequestLog, find_request


def line(request_id: str = "req_1", **fields: object) -> dict[str, object]:
    return {"request_id": request_id, "model": "echo", "error": None} | fields


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_request_is_found_by_its_whole_id(tmp_path: Path):
    log = RequestLog(tmp_path)
    log.append([line("req_12", error="not req_1")])
    log.append([line("req_1")])
    log.close()
    found = find_request(tmp_path, "req_1")
    assert found is not None
    assert found["request_id"] == "req_1"
    assert [find_request(tmp_path, wanted) for wanted in ("", "req_", "echo", "model")] == [None] * 4


def test_a_torn_line_hides_no_other(tmp_path: Path):
    RequestLog(tmp_path).close()
    (tmp_path / "requests.jsonl").write_text(
        '{"request_id":"req_1"\n[]\n"req_1"\n{"request_id":"req_1","status":200}\n'
    )
    assert find_request(tmp_path, "req_1") == {"request_id": "req_1", "status": 200}


def test_a_clients_words_are_clipped(tmp_path: Path):
    log = RequestLog(tmp_path)
    log.append([line(model="m" * 10_000, error="e" * 10_000)])
    found = find_request(tmp_path, "req_1")
    log.close()
    assert found is not None
    assert (len(found["model"]), len(found["error"])) == (256, 500)


def test_a_full_file_makes_place_and_both_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "_MAX_BYTES", 100)
    log = RequestLog(tmp_path)
    before = num_open_files()
    for number in range(4):
        log.append([line(f"req_{number}")])
    assert num_open_files() == before
    log.close()
    assert find_request(tmp_path, "req_0") is None
    assert find_request(tmp_path, "req_2") is not None
    assert find_request(tmp_path, "req_3") is not None
    assert [mode(path) for path in tmp_path.iterdir()] == [0o600] * len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("step", ["open", "replace"])
def test_a_rotation_that_fails_leaves_the_log_where_it_was(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "_MAX_BYTES", 100)
    log = RequestLog(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(*((os, "open", fail) if step == "open" else (Path, "replace", fail)))
        log.append([line("req_0")])
        log.append([line("req_1")])
    reader, writer = os.pipe()  # takes the number of a file that was closed too early
    log.append([line("req_2")])
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    assert log.num_failures == 1
    assert all(find_request(tmp_path, f"req_{number}") for number in range(3))
    for number in range(3, 7):
        log.append([line(f"req_{number}")])
    assert log.num_failures == 1
    assert find_request(tmp_path, "req_6")
    log.close()


def test_a_full_disk_is_told_once_and_reaches_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    log = RequestLog(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(os, "write", fail)
        log.append([line("req_1")])
        log.append([line("req_2")])
    log.append([line("req_3")])
    log.close()
    assert log.num_failures == 2
    assert [record.getMessage().count("No space left") for record in caplog.records] == [1]
    assert find_request(tmp_path, "req_3") is not None


def test_nothing_is_written_after_the_end(tmp_path: Path):
    log = RequestLog(tmp_path)
    log.close()
    log.append([line()])
    log.close()
    assert (tmp_path / "requests.jsonl").read_bytes() == b""
    assert log.num_failures == 0


def test_only_the_owner_may_look(tmp_path: Path):
    logs = tmp_path / "data" / "logs"
    log = RequestLog(logs)
    log.append([line()])
    log.close()
    assert [mode(path) for path in (logs.parent, logs, logs / "requests.jsonl")] == [0o700, 0o700, 0o600]


def test_a_folder_that_cannot_be_made_is_the_operators_mistake(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="Not a directory"):
        RequestLog(tmp_path / "file" / "data" / "logs")
    (tmp_path / "requests.jsonl").mkdir()
    with pytest.raises(OperatorError, match="Is a directory"):
        find_request(tmp_path, "req_1")


def test_a_line_is_json(tmp_path: Path):
    log = RequestLog(tmp_path)
    log.append([line(model="\x1b[2J\n")])
    log.close()
    assert json.loads((tmp_path / "requests.jsonl").read_text())["model"] == "\x1b[2J\n"


def num_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("before", ["", "m" * 240])
def test_a_key_in_the_place_of_a_model_is_not_written(tmp_path: Path, before: str):
    key = new_key("api")
    log = RequestLog(tmp_path)
    log.append([line(model=before + key, asked=before + key, error=f"model: {key}")])
    log.close()
    written = (tmp_path / "requests.jsonl").read_text()
    assert written.count("sk-ant-phon1-...") >= 1
    assert key[13:20] not in written
    assert json.loads(written)["error"] == "model: sk-ant-phon1-..."
