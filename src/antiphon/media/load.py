"""From a source to its bytes: sent along, uploaded before, or somewhere on the web."""

import asyncio
import logging
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from antiphon.core.scope import Scope
from antiphon.media import words
from antiphon.media.fetch import Fetcher, TooLong, Unreachable
from antiphon.media.files import FileReader, not_found
from antiphon.wire.content import Base64Image, Base64Pdf, FileSource, ImageBlock, UrlSource
from antiphon.wire.media import MAX_IMAGE_BYTES, Place, check_image_size

log = logging.getLogger("antiphon.media")

MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
_LONG = 65_536
"""Bytes that take long enough to digest that it is done beside the loop."""


class Loaded(NamedTuple):
    """`data` is a text where it is in base64. `digest` is of it as it is; `media_type` is what its owner says of it."""

    data: bytes | str
    digest: str
    media_type: str | None = None
    file_id: str | None = None


class Loader:
    def __init__(self, files: FileReader, fetcher: Fetcher) -> None:
        self._files = files
        self._fetcher = fetcher

    async def load(self, scope: Scope, place: Place) -> Loaded:
        """Raises the API's errors for what is not there, too large or out of reach."""
        match place.block.source:
            case Base64Image() | Base64Pdf() as source:
                return Loaded(source.data, source.digest, source.media_type)
            case FileSource(file_id=file_id):
                return await self._stored(scope, place, file_id)
            case UrlSource(url=url):
                return await self._fetched(place, url)
            case _:
                raise AssertionError("only what has to be read is loaded")

    async def _stored(self, scope: Scope, place: Place, file_id: str) -> Loaded:
        file = await self._files.read(scope, file_id)
        check_size(place, file.num_bytes)
        try:
            data = await asyncio.to_thread(file.path.read_bytes)
        except FileNotFoundError:  # it was deleted in this moment
            raise not_found(file_id) from None
        return Loaded(data, await _digest(data), file.media_type, file_id)

    async def _fetched(self, place: Place, url: str) -> Loaded:
        try:
            data = await self._fetcher.fetch(url, max_bytes(place))
        except TooLong as error:
            check_size(place, error.num_bytes)
            raise words.unreachable() from error
        except Unreachable as error:
            log.info("a URL was not fetched: %s", error)
            raise words.unreachable() from error
        return Loaded(data, await _digest(data))


async def digest_all(places: Sequence[Place]) -> None:
    """Have the digests of all that was sent along at hand; those of long texts are taken beside the loop."""
    sources = [place.block.source for place in places]
    long = [each for each in sources if isinstance(each, Base64Image | Base64Pdf) and len(each.data) > _LONG]
    if long:
        await asyncio.to_thread(lambda: [source.digest for source in long])


async def _digest(data: bytes) -> str:
    return sha256(data).hexdigest() if len(data) <= _LONG else await asyncio.to_thread(lambda: sha256(data).hexdigest())


def check_size(place: Place, num_bytes: int) -> None:
    if isinstance(place.block, ImageBlock):
        check_image_size(place, num_bytes)
    elif num_bytes > MAX_DOCUMENT_BYTES:
        raise words.too_large(place, num_bytes, MAX_DOCUMENT_BYTES)


def max_bytes(place: Place) -> int:
    return MAX_IMAGE_BYTES if isinstance(place.block, ImageBlock) else MAX_DOCUMENT_BYTES
