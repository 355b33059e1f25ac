"""What the Files API takes, and what a file is (Files API, "Upload File", "List Files")."""

import re
from collections.abc import Mapping, Sequence
from mimetypes import MimeTypes
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from antiphon.core.errors import invalid
from antiphon.wire import errors
from antiphon.wire.admin import Id, parse_query
from antiphon.wire.fields import WireModel

OLD_SHAPE = "files-api-2025-04-14"
HEAD_BYTES = 4096
"""So much of a file is looked at to tell what it is."""
_MAX_IDS = 100
_MAX_NAME = 255
_BAD_IN_NAME = re.compile(r"[<>:\"|?*\\/\x00-\x1f\x7f-\x9f]")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")
_ANYTHING = "application/octet-stream"
_MAGIC = {
    b"%PDF-": "application/pdf",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_TYPES = MimeTypes()  # the tables of Python itself: what the machine has would make a file's type its own


class UploadFields(WireModel):
    """What a form holds beside its file."""

    expires_in_seconds: Annotated[int, Field(ge=3600, le=7_776_000)] | None = None


class FileQuery(WireModel):
    ids: Annotated[list[Id], AfterValidator(lambda ids: list(dict.fromkeys(ids)))] | None = None
    scope_id: Id | None = None


def parse_upload(fields: Mapping[str, str], *, strict: bool) -> UploadFields:
    """Raises ApiError 400 in the API's words."""
    try:
        return UploadFields.model_validate(dict(fields), extra="forbid" if strict else "ignore")
    except ValidationError as error:
        raise errors.from_validation(error) from None


def parse_file_query(query: Mapping[str, Sequence[str]]) -> FileQuery:
    """Raises ApiError 400 in the API's words."""
    found = parse_query(FileQuery, query)
    if found.ids is not None and ("page" in query or "limit" in query):
        raise invalid("ids: `ids` may not be given together with `page` or `limit`")
    if found.ids is not None and len(found.ids) > _MAX_IDS:
        raise invalid(f"ids: List should have at most {_MAX_IDS} items after validation, not {len(found.ids)}")
    return found


def media_type_of(head: bytes, filename: str | None, declared: str | None) -> str:
    """What a file is: by what the client says, else by its name, else by how it begins."""
    said = (declared or "").partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(said) and said != _ANYTHING:
        return said
    return _TYPES.guess_type(filename or "")[0] or _look(head)


def _look(head: bytes) -> str:
    for magic, media_type in _MAGIC.items():
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "text/plain" if head and _is_text(head) else _ANYTHING


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) < HEAD_BYTES or error.start < len(head) - 3:  # else only its last character is cut
            return False
        text = head[: error.start].decode()
    return not re.search(r"[\x00-\x08\x0e-\x1f]", text)


def name_of(filename: str | None, media_type: str) -> str:
    """The name that a file is kept by: the last part of a path, or `unnamed`. Raises ApiError 400."""
    name = re.split(r"[/\\]", filename or "")[-1]
    if not name:
        known = media_type != _ANYTHING
        return "unnamed" + ((known and _TYPES.guess_extension(media_type)) or "")
    if len(name) > _MAX_NAME or _BAD_IN_NAME.search(name):
        bad = '< > : " | ? * \\ / or control characters'
        raise invalid(f"file: the filename must have 1-{_MAX_NAME} characters, and none of {bad}")
    return name
