"""The request log: one line of JSON for each answered request, never a word of its content."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson

from antiphon.core.errors import OperatorError
from antiphon.telemetry.logs import without_keys

log = logging.getLogger("antiphon.telemetry")

_MAX_BYTES = 64 * 1024 * 1024
_MARK = b"sk-ant-"
_MAX_CHARS = {"asked": 256, "model": 256, "error": 500}
"""What may hold a client's own words is clipped."""


class RequestLog:
    """Appends to `requests.jsonl`; a full file becomes `requests.1.jsonl`, in place of the one before.

    Raises OperatorError if the file cannot be opened; from then on nothing that befalls it reaches a request.
    """

    def __init__(self, logs_dir: Path) -> None:
        self._path = logs_dir / "requests.jsonl"
        self.num_failures = 0
        self._is_closed = False
        try:
            for folder in (logs_dir.parent, logs_dir):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise OperatorError(
                f"Cannot write to {logs_dir} ({error.strerror}): choose another folder with --data-dir."
            ) from error

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size

    def append(self, lines: Sequence[dict[str, Any]]) -> None:
        """Never fails: what cannot be written is counted, and told once. Nothing is written after `close`."""
        if self._is_closed:
            return
        try:
            self._size += os.write(self._file, b"".join(map(_bytes_of, lines)))
            if self._size > _MAX_BYTES:
                self._rotate()
        except OSError as error:
            self._note(error, len(lines))

    def _rotate(self) -> None:
        full, self._size = self._file, 0  # where this fails, the old file goes on for as much again
        with suppress(FileNotFoundError):
            self._path.replace(_previous(self._path))
        self._open()
        os.close(full)

    def _note(self, error: OSError, num_lost: int) -> None:
        is_news = not self.num_failures
        self.num_failures += num_lost
        if is_news:
            log.error("the request log %s cannot be written (%s): lines are lost", self._path, error.strerror)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            os.close(self._file)


def _bytes_of(line: dict[str, Any]) -> bytes:
    """A client may send a key where a model's name belongs: of that no more than its kind is written."""
    written = orjson.dumps(_clipped(line), option=orjson.OPT_APPEND_NEWLINE)
    return without_keys(written.decode()).encode() if _MARK in written else written


def _clipped(line: dict[str, Any]) -> dict[str, Any]:
    long = [name for name in _MAX_CHARS if len(line.get(name) or "") > _MAX_CHARS[name]]
    if not long:
        return line
    return line | {name: without_keys(line[name][: 2 * _MAX_CHARS[name]])[: _MAX_CHARS[name]] for name in long}


def find_request(logs_dir: Path, request_id: str) -> dict[str, Any] | None:
    """The logged line of `request_id`, or None. Raises OperatorError if the log cannot be read."""
    path = logs_dir / "requests.jsonl"
    wanted = request_id.encode()
    try:
        found = (_parse(line) for line in _lines(_previous(path), path) if wanted in line)
        return next((line for line in found if line.get("request_id") == request_id), None)
    except OSError as error:
        raise OperatorError(f"Cannot read the log in {logs_dir} ({error.strerror}).") from error


def _parse(line: bytes) -> dict[str, Any]:
    """A line that a full disk or a crash has torn counts as empty."""
    try:
        value: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _lines(*paths: Path) -> Iterator[bytes]:
    for path in paths:
        if path.exists():
            with path.open("rb") as file:
                yield from file


def _previous(path: Path) -> Path:
    return path.with_name("requests.1.jsonl")
