"""The objects of one array of a body, found while its bytes come: nothing but the one that is being read is held."""

import re
from collections.abc import Iterator

from antiphon.core.errors import ApiError, Kind

_BETWEEN_MARKS = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_QUOTE, _OPENING = ord('"'), b"{["
_MAX_REST_BYTES = 16 * 1024 * 1024
_NUM_TAIL_BYTES = 256


class Splitter:
    """`feed` it a body in pieces: it returns the objects of the array `name` that have become whole.

    `rest` is the body with `{}` in the place of each: if it is valid JSON and each object is, so was the body.
    """

    def __init__(self, name: str, max_object_bytes: int) -> None:
        self.rest = bytearray()
        self._ends_in_name = re.compile(rb'"%b"\s*:\s*\Z' % re.escape(name.encode()))
        self._max_object_bytes = max_object_bytes
        self._object: bytearray | None = None
        self._depth = 0
        self._is_in_array = False
        self._is_in_string = False
        self._is_escaped = False

    def feed(self, data: bytes) -> list[bytes]:
        """Raises 413 for an object, or for a body without its objects, that is too large to be held."""
        found: list[bytes] = []
        start = 0
        for at in self._marks(data):
            if data[at] in _OPENING:
                start = self._open(data, start, at)
            else:
                self._depth -= 1
                if self._depth == 2 and self._object is not None:
                    found.append(bytes(self._object + data[start : at + 1]))
                    self._object, start = None, at + 1
                    self.rest += b"{}"
                self._is_in_array = self._is_in_array and self._depth > 1
        self._hold(data[start:])
        return found

    def _open(self, data: bytes, start: int, at: int) -> int:
        """Note the bracket at `at`; what is not held begins at the place that is returned."""
        self._depth += 1
        if self._depth == 2:
            self._hold(data[start:at])
            self._is_in_array = data[at] == _OPENING[1] and bool(
                self._ends_in_name.search(self.rest[-_NUM_TAIL_BYTES:])
            )
            return at
        if self._depth == 3 and self._is_in_array and data[at] == _OPENING[0]:
            self._hold(data[start:at])
            self._object = bytearray()
            return at
        return start

    def _hold(self, data: bytes) -> None:
        held, most = (self.rest, _MAX_REST_BYTES) if self._object is None else (self._object, self._max_object_bytes)
        held += data
        if len(held) > most:
            raise ApiError(Kind.TOO_LARGE, "Request exceeds the maximum size")

    def _marks(self, data: bytes) -> Iterator[int]:
        """The places of the brackets outside of strings."""
        at = 0
        if self._is_escaped and data:
            at, self._is_escaped = 1, False
        while at < len(data):
            if self._is_in_string:
                at = self._leave_string(data, at)
                continue
            at = _end_of(_BETWEEN_MARKS, data, at)
            if at < len(data):
                if data[at] == _QUOTE:  # of a string that goes on in the next piece
                    self._is_in_string = True
                else:
                    yield at
                at += 1

    def _leave_string(self, data: bytes, at: int) -> int:
        at = _end_of(_REST_OF_STRING, data, at)
        if at < len(data):
            self._is_in_string = data[at] != _QUOTE
            self._is_escaped = self._is_in_string  # a backslash, and it is the last byte
        return at + 1


def _end_of(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    assert found
    return found.end()
