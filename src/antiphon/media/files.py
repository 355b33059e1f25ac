"""The seam to uploaded files."""

from pathlib import Path
from typing import NamedTuple, Protocol

from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Scope


class StoredFile(NamedTuple):
    """`path` is to be read at once, and left alone: when the file is deleted it is gone."""

    path: Path
    media_type: str
    filename: str
    num_bytes: int


class FileReader(Protocol):
    async def read(self, scope: Scope, file_id: str) -> StoredFile:
        """Raises the API's 404 for a file that the workspace does not have."""
        ...


def not_found(file_id: str) -> ApiError:
    return ApiError(Kind.NOT_FOUND, f"File `{file_id[:100]}` not found.")
