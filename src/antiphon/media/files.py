"""The seam to uploaded files."""

from pathlib import Path
from typing import NamedTuple, Protocol

from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Scope


class StoredFile(NamedTuple):
    """`path` may be read until the request that asked for it is over."""

    path: Path
    media_type: str
    filename: str
    num_bytes: int


class FileReader(Protocol):
    async def read(self, scope: Scope, file_id: str) -> StoredFile:
        """Raises the API's 404 for a file that the workspace does not have."""
        ...


class NoFiles:
    """A server without files."""

    async def read(self, scope: Scope, file_id: str) -> StoredFile:
        raise not_found(file_id)


def not_found(file_id: str) -> ApiError:
    return ApiError(Kind.NOT_FOUND, f"File `{file_id}` not found.")
