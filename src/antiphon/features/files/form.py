"""The form that a file is uploaded in: its bytes go to a draft as they come."""

from contextlib import aclosing

from antiphon.core.errors import invalid
from antiphon.features.files.service import Upload
from antiphon.store.blobs import Draft
from antiphon.web.body import too_large
from antiphon.web.call import Call
from antiphon.web.multipart import PartHead, read_parts
from antiphon.wire.files import HEAD_BYTES, media_type_of, name_of, parse_upload

FORM_BYTES = 1024 * 1024
"""What a form may have beside its file."""
_MAX_FIELD_BYTES = 64 * 1024


async def read_upload(call: Call, draft: Draft) -> Upload:
    """Write the form's file to `draft`. Raises 413 for one that is too large, 400 for a form that is wrong."""
    settings = call.shared.settings
    reader = _FormReader(draft, settings.max_file_bytes)
    chunks = call.chunks(settings.max_file_bytes + FORM_BYTES)
    async with aclosing(chunks), aclosing(read_parts(chunks, call.header(b"content-type"))) as parts:
        async for found in parts:
            await reader.read(found)
    return reader.upload(strict=settings.strict, is_downloadable=settings.uploads_are_downloadable)


class _FormReader:
    def __init__(self, draft: Draft, max_bytes: int) -> None:
        self._draft = draft
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._head = b""
        self._file: PartHead | None = None
        self._fields: dict[str, str] = {}
        self._field: PartHead | None = None
        self._value = b""

    async def read(self, found: PartHead | bytes) -> None:
        if isinstance(found, PartHead):
            self._begin(found)
        elif self._field:
            self._value += found
            if len(self._value) > _MAX_FIELD_BYTES:
                raise too_large()
        else:
            await self._write(found)

    def _begin(self, part: PartHead) -> None:
        self._end_field()
        if part.name != "file":
            self._field = part
        elif self._file:
            raise invalid("file: only one file may be uploaded at a time")
        else:
            self._file = part

    def _end_field(self) -> None:
        if self._field:
            self._fields[self._field.name] = self._value.decode("utf-8", "replace")
        self._field, self._value = None, b""

    async def _write(self, data: bytes) -> None:
        self._num_bytes += len(data)
        if self._num_bytes > self._max_bytes:
            raise too_large()
        self._head += data[: HEAD_BYTES - len(self._head)]
        await self._draft.write(data)

    def upload(self, *, strict: bool, is_downloadable: bool) -> Upload:
        """What the form says, when it has been read."""
        self._end_field()
        if self._file is None:
            raise invalid("file: Field required")
        fields = parse_upload(self._fields, strict=strict)
        media_type = media_type_of(self._head, self._file.filename, self._file.media_type)
        name = name_of(self._file.filename, media_type)
        return Upload(name, media_type, fields.expires_in_seconds, is_downloadable)
