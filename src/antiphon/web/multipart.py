"""multipart/form-data as it comes (RFC 7578): part after part, and nothing is collected but what comes at once."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from antiphon.core.errors import ApiError, invalid

_MAX_PARTS = 100
_MAX_HEAD_BYTES = 8 * 1024


class PartHead(NamedTuple):
    """Where a part begins: its field's name, and what the client says of its content."""

    name: str
    filename: str | None
    media_type: str | None


Found = PartHead | bytes


async def read_parts(chunks: AsyncIterator[bytes], content_type: str | None) -> AsyncGenerator[Found, None]:
    """Each part's head, then its bytes. Raises 400 for what is no form, or breaks off."""
    reader = _Reader(_boundary_of(content_type))
    async for chunk in chunks:
        for found in reader.feed(chunk):
            yield found
    if not reader.is_whole:
        raise _broken()


def _boundary_of(content_type: str | None) -> bytes:
    kind, parameters = parse_options_header(content_type)
    if kind.lower() != b"multipart/form-data":
        raise invalid("content-type: a file is uploaded as multipart/form-data")
    if not (boundary := parameters.get(b"boundary")):
        raise invalid("content-type: multipart/form-data needs a boundary")
    return boundary


class _Reader:
    def __init__(self, boundary: bytes) -> None:
        self.is_whole = False
        self._num_parts = 0
        self._found: list[Found] = []
        self._name = b""
        self._value = b""
        self._head: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._more_name,
                    "on_header_value": self._more_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_head,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
                max_header_size=_MAX_HEAD_BYTES,
            )
        except FormParserError as error:
            raise _broken() from error

    def feed(self, chunk: bytes) -> list[Found]:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _broken() from error
        found, self._found = self._found, []
        return found

    def _begin(self) -> None:
        self._head = {}
        self._num_parts += 1
        if self._num_parts > _MAX_PARTS:
            raise invalid(f"The form has more than {_MAX_PARTS} parts.")

    def _more_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _more_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._head[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_head(self) -> None:
        _, parameters = parse_options_header(self._head.get(b"content-disposition"))
        filename, media_type = parameters.get(b"filename"), self._head.get(b"content-type")
        self._found.append(PartHead(_text(parameters.get(b"name")) or "", _text(filename), _text(media_type)))

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _end(self) -> None:
        self.is_whole = True


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _broken() -> ApiError:
    return invalid("The request body is not a valid multipart/form-data form.")
