"""PDFs, read once: each page's text, and how it looks."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from antiphon.media import words
from antiphon.media.child.frames import Frame
from antiphon.media.kept import Kept
from antiphon.media.load import Loaded
from antiphon.media.ocr import Ocr
from antiphon.media.sandbox import MIB, Job, Sandbox
from antiphon.turn.attachments import Page, Picture
from antiphon.wire.media import Place

_KEPT_BYTES = 128 * MIB
_PAGE_BYTES = 500
"""What a page takes beside its text and its picture."""
_NUM_AT_ONCE = 8
"""Pages of one job: others get their turn in between."""

Check = Callable[[Place, int], None]
"""Told the number of pages before they are read; raises the API's error for too many."""


class _Sheet(NamedTuple):
    text: str
    picture: Picture | None
    is_scan: bool


class Pdfs:
    def __init__(self, sandbox: Sandbox, ocr: Ocr) -> None:
        self._sandbox = sandbox
        self._ocr = ocr
        self._kept: Kept[tuple[str, str, bool], tuple[Page, ...]] = Kept(_KEPT_BYTES)

    async def read(
        self, workspace_id: str, place: Place, loaded: Loaded, *, is_seen: bool, check: Check
    ) -> tuple[Page, ...]:
        """With a picture of each page if it `is_seen`. The text of a scan is read from its picture."""
        key = (workspace_id, loaded.digest, is_seen)
        pages = self._kept.get(key)
        if pages is not None:
            check(place, len(pages))
            return pages
        async with aclosing(self._sheets(workspace_id, place, loaded, is_seen, check)) as sheets:
            pages = tuple([await self._page(workspace_id, sheet, is_seen=is_seen) async for sheet in sheets])
        self._kept.put(key, pages, sum(map(_num_bytes, pages)))
        return pages

    async def _sheets(
        self, workspace_id: str, place: Place, loaded: Loaded, is_seen: bool, check: Check
    ) -> AsyncGenerator[_Sheet, None]:
        first, num_pages = 0, 1
        while first < num_pages:
            fields = {"first": first, "last": first + _NUM_AT_ONCE, "seen": is_seen}
            answer = await self._sandbox.run(workspace_id, Job("pdf", loaded.data, loaded.is_base64, fields))
            if "refused" in answer.fields:
                raise words.refusal(place, answer)
            num_pages = answer.fields["num_pages"]
            if not first:
                check(place, num_pages)
            for sheet in _sheets_in(answer):
                yield sheet
            first += _NUM_AT_ONCE

    async def _page(self, workspace_id: str, sheet: _Sheet, *, is_seen: bool) -> Page:
        text = sheet.text
        if sheet.is_scan and sheet.picture:
            text = await self._ocr.read(workspace_id, sheet.picture) or text
        return Page(text, sheet.picture if is_seen else None)


def _sheets_in(answer: Frame) -> list[_Sheet]:
    sheets: list[_Sheet] = []
    start = 0
    for page in answer.fields["pages"]:
        data = answer.data[start : start + page["num_bytes"]]
        start += page["num_bytes"]
        sheets.append(_Sheet(page["text"], _picture(page, data) if data else None, page["is_scan"]))
    return sheets


def _picture(page: dict[str, object], data: bytes) -> Picture:
    return Picture(
        str(page["digest"]), str(page["media_type"]), data, int(str(page["width"])), int(str(page["height"]))
    )


def _num_bytes(page: Page) -> int:
    return len(page.text) + _PAGE_BYTES + (len(page.picture.data) if page.picture else 0)
