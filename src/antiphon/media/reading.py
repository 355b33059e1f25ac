"""What the pictures and documents of a request turn out to be."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from antiphon.core.scope import Scope
from antiphon.media import words
from antiphon.media.describe import described
from antiphon.media.load import Loader, digest_all
from antiphon.media.ocr import Ocr
from antiphon.media.pdfs import Pdfs
from antiphon.media.pictures import Pictures
from antiphon.turn.attachments import NO_ATTACHMENTS, Attachments, Document, Page, Picture, key_of
from antiphon.wire.content import ContentSource, DocumentBlock, ImageBlock, PlainText
from antiphon.wire.media import Place, check_number, check_pages, max_side, oversized

_NUM_AT_ONCE = 4
"""Sources of one request that are read at the same time."""


class Audience(NamedTuple):
    """The model that the request is for."""

    model: str
    window: int
    sees: bool


class Media:
    """`describes` says whether pictures are described to a model that cannot see; otherwise they are refused."""

    def __init__(self, loader: Loader, pictures: Pictures, pdfs: Pdfs, ocr: Ocr, *, describes: bool) -> None:
        self.loader = loader
        self.pictures = pictures
        self.pdfs = pdfs
        self.ocr = ocr
        self.describes = describes
        self._mark = f"<picture {secrets.token_hex(16)}>"

    async def read(self, scope: Scope, places: Sequence[Place], audience: Audience) -> Attachments:
        """Raises the API's error for the first source that cannot be read."""
        if not places:
            return NO_ATTACHMENTS
        check_number(places, audience.window)
        await digest_all(places)
        reading = _Reading(self, scope, places, audience)
        read = await reading.run()
        pictures = {key: found for key, found in read.items() if not isinstance(found, Document)}
        documents = {key: found for key, found in read.items() if isinstance(found, Document)}
        return Attachments(self._mark, pictures, documents)


class _Reading:
    """Of one request. The same source in several places is read once."""

    def __init__(self, media: Media, scope: Scope, places: Sequence[Place], audience: Audience) -> None:
        self._media = media
        self._scope = scope
        self._places = {_key(place): place for place in reversed(places)}
        self._num_images = sum(isinstance(place.block, ImageBlock) for place in places)
        self._num_pages: dict[str, int] = {}
        self._audience = audience
        self._max_side = max_side(places)
        self._turn = asyncio.Semaphore(_NUM_AT_ONCE)
        self._has_failed = False

    async def run(self) -> dict[str, Picture | str | Document]:
        keys = list(reversed(self._places))
        found = await asyncio.gather(*(self._one(self._places[key]) for key in keys), return_exceptions=True)
        read: dict[str, Picture | str | Document] = {}
        too_large = [error.place for error in found if isinstance(error, words.TooLarge)]
        for key, result in zip(keys, found, strict=True):
            if isinstance(result, words.TooLarge):
                raise oversized(too_large, self._max_side)
            if isinstance(result, BaseException):
                raise result
            read[key] = result
        return read

    async def _one(self, place: Place) -> Picture | str | Document:
        """They begin in order, so the first that fails is always the same one; what has not begun then does not."""
        async with self._turn:
            if self._has_failed:
                return ""
            try:
                return await (self._image(place) if isinstance(place.block, ImageBlock) else self._document(place))
            except words.TooLarge:
                raise
            except BaseException:
                self._has_failed = True
                raise

    async def _image(self, place: Place) -> Picture | str:
        media, audience, workspace_id = self._media, self._audience, self._scope.workspace_id
        if not (audience.sees or media.describes):
            raise words.cannot_see(place, audience.model)
        loaded = await media.loader.load(self._scope, place)
        seen = await media.pictures.read(workspace_id, place, loaded, self._max_side)
        if audience.sees:
            return seen.picture
        return described(seen, await media.ocr.read(workspace_id, seen.picture))

    async def _document(self, place: Place) -> Document:
        assert isinstance(place.block, DocumentBlock)
        loaded = await self._media.loader.load(self._scope, place)
        if loaded.media_type == "text/plain" and isinstance(loaded.data, bytes):
            return Document((Page(loaded.data.decode("utf-8", "replace")),), is_paged=False, file_id=loaded.file_id)
        sees, citations = self._audience.sees, place.block.citations
        is_cited = bool(citations and citations.enabled)
        pages = await self._media.pdfs.read(
            self._scope.workspace_id, place, loaded, is_seen=sees, is_cited=is_cited, check=self._check_pages
        )
        return Document(pages, is_paged=True, file_id=loaded.file_id)

    def _check_pages(self, place: Place, num_pages: int) -> None:
        self._num_pages[_key(place)] = num_pages
        check_pages(place, sum(self._num_pages.values()), self._num_images, self._audience.window)


def _key(place: Place) -> str:
    source = place.block.source
    assert not isinstance(source, PlainText | ContentSource)
    return key_of(source)
