"""What a request's pictures and documents turned out to be, once they were fetched and read: plain values.

A picture stands in a turn's text as the mark, and in order in the turn's `pictures`. The mark is random for each
process, so that no text from outside can hold it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from antiphon.wire.content import Base64Image, Base64Pdf, FileSource, UrlSource

Source = Base64Image | Base64Pdf | UrlSource | FileSource


class Picture(NamedTuple):
    """An upright PNG or JPEG of a size that models take. `digest` is that of `data`."""

    digest: str
    media_type: str
    data: bytes
    width: int
    height: int


class Page(NamedTuple):
    """`picture` is there only for models that see."""

    text: str
    picture: Picture | None = None


class Document(NamedTuple):
    """A document that was read: a PDF's pages, or one page of plain text (`is_paged` False)."""

    pages: tuple[Page, ...]
    is_paged: bool
    file_id: str | None = None
    title: str | None = None


class Attachments(NamedTuple):
    """By `key_of` their source. A picture for a model that cannot see is a description in words."""

    mark: str = ""
    pictures: Mapping[str, Picture | str] = {}
    documents: Mapping[str, Document] = {}


NO_ATTACHMENTS = Attachments()


def key_of(source: Source) -> str:
    """The same for the same bytes, file or address."""
    match source:
        case Base64Image() | Base64Pdf():
            return f"{source.media_type}:{source.digest}"
        case UrlSource():
            return f"url:{source.url}"
        case FileSource():
            return f"file:{source.file_id}"
