"""The request log: one line of JSON for each answered request, never a word of its content."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_MAX_BYTES = 64 * 1024 * 1024


class RequestLog:
    """Appends to `requests.jsonl`; a full file becomes `requests.1.jsonl`, in place of the one before."""

    def __init__(self, logs_dir: Path) -> None:
        logs_dir.mkdir(parents=True, exist_ok=True)
        self._path = logs_dir / "requests.jsonl"
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size

    def append(self, line: dict[str, Any]) -> None:
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        self._size += os.write(self._file, data)
        if self._size > _MAX_BYTES:
            os.close(self._file)
            self._path.replace(_previous(self._path))
            self._open()

    def close(self) -> None:
        os.close(self._file)


def find_request(logs_dir: Path, request_id: str) -> dict[str, Any] | None:
    """The logged line of `request_id`, or None."""
    path = logs_dir / "requests.jsonl"
    wanted = request_id.encode()
    return next((orjson.loads(line) for line in _lines(_previous(path), path) if wanted in line), None)


def _lines(*paths: Path) -> Iterator[bytes]:
    for path in paths:
        if path.exists():
            with path.open("rb") as file:
                yield from file


def _previous(path: Path) -> Path:
    return path.with_name("requests.1.jsonl")
