"""The seam to uploaded files."""

from pathlib import Path
from typing import NamedTuple, Protocol

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
