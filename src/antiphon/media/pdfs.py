"""PDFs, read once: each page's text, and how it looks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from antiphon.media import words
from antiphon.media.child.frames import Frame
from antiphon.media.kept import Kept
from antiphon.media.load import Loaded
from antiphon.media.ocr import Ocr
from antiphon.media.sandbox import MIB, Job, Sandbox
from antiphon.turn.attachments import Page, Picture
from antiphon.turn.pixels import MAX_SIDE
from antiphon.wire.media import Place

_KEPT_BYTES = 128 * MIB
_PAGE_BYTES = 500
"""What a page takes beside its text and its picture."""
_NUM_READ = 16
_NUM_DRAWN = 4
"""Pages of one job: others get their turn in between."""
_MAX_READ_CPU_S = 1.2
_MAX_DRAWN_CPU_S = 1.8
_SCAN_SIDE = 1700
"""Pixels of a page whose text is to be read from its picture; one that is seen has as many as a model takes."""

Check = Callable[[Place, int], None]
"""Told the number of pages before they are read; raises the API's error for too many."""


class _Sheet(NamedTuple):
    text: str
    is_scan: bool


class _Work(NamedTuple):
    """What a document is read for."""

    workspace_id: str
    place: Place
    loaded: Loaded

    def job(self, pages: range, side: int | None = None) -> Job:
        fields = {"first": pages.start, "last": pages.stop, "side": side}
        cpu_s = _MAX_DRAWN_CPU_S if side else _MAX_READ_CPU_S
        return Job("pdf", self.loaded.data, cpu_s, fields, self.loaded.digest)


class Pdfs:
    def __init__(self, sandbox: Sandbox, ocr: Ocr) -> None:
        self._sandbox = sandbox
        self._ocr = ocr
        self._kept: Kept[tuple[str, str, bool, bool], tuple[Page, ...]] = Kept(_KEPT_BYTES)

    async def read(
        self, workspace_id: str, place: Place, loaded: Loaded, *, is_seen: bool, is_cited: bool, check: Check
    ) -> tuple[Page, ...]:
        """With a picture of each page if it `is_seen`.

        The text of a scan is read from its picture for who cannot see that, or wants to cite it.
        """
        reads_scans = is_cited or not is_seen
        key = (workspace_id, loaded.digest, is_seen, reads_scans)
        pages = self._kept.get(key)
        if pages is not None:
            check(place, len(pages))
            return pages
        work = _Work(workspace_id, place, loaded)
        sheets = await self._sheets(work, check)
        texts = [await self._text(work, number, sheet, reads_scans) for number, sheet in enumerate(sheets)]
        pictures = await self._pictures(work, sheets) if is_seen else [None] * len(sheets)
        pages = tuple(map(Page, texts, pictures))
        self._kept.put(key, pages, sum(map(_num_bytes, pages)))
        return pages

    async def _sheets(self, work: _Work, check: Check) -> list[_Sheet]:
        sheets: list[_Sheet] = []
        num_pages = 1
        while len(sheets) < num_pages:
            answer = await self._run(work, work.job(range(len(sheets), len(sheets) + _NUM_READ)))
            num_pages = answer.fields["num_pages"]
            check(work.place, num_pages)
            sheets += [_Sheet(page["text"], page["is_scan"]) for page in answer.fields["pages"]]
        return sheets

    async def _text(self, work: _Work, number: int, sheet: _Sheet, reads_scans: bool) -> str:
        if not (reads_scans and sheet.is_scan):
            return sheet.text
        (picture,) = _drawn(await self._run(work, work.job(range(number, number + 1), _SCAN_SIDE)))
        return await self._ocr.read(work.workspace_id, picture) or sheet.text

    async def _pictures(self, work: _Work, sheets: Sequence[_Sheet]) -> list[Picture | None]:
        pictures: list[Picture | None] = []
        for first in range(0, len(sheets), _NUM_DRAWN):
            pages = range(first, min(first + _NUM_DRAWN, len(sheets)))
            answer = await self._sandbox.run(work.workspace_id, work.job(pages, MAX_SIDE))
            if "refused" not in answer.fields:
                pictures += _drawn(answer)
            else:  # together they may have taken too long
                pictures += [await self._picture(work, page, sheets[page]) for page in pages]
        return pictures

    async def _picture(self, work: _Work, number: int, sheet: _Sheet) -> Picture | None:
        """None for a page that cannot be drawn, but has a text."""
        answer = await self._sandbox.run(work.workspace_id, work.job(range(number, number + 1), MAX_SIDE))
        if "refused" not in answer.fields:
            return _drawn(answer)[0]
        if sheet.text and not sheet.is_scan:
            return None
        raise words.refusal(work.place, answer)

    async def _run(self, work: _Work, job: Job) -> Frame:
        answer = await self._sandbox.run(work.workspace_id, job)
        if "refused" in answer.fields:
            raise words.refusal(work.place, answer)
        return answer


def _drawn(answer: Frame) -> list[Picture]:
    pictures: list[Picture] = []
    start = 0
    for page in answer.fields["pages"]:
        data = answer.data[start : start + page["num_bytes"]]
        start += page["num_bytes"]
        pictures.append(Picture(page["digest"], page["media_type"], data, page["width"], page["height"]))
    return pictures


def _num_bytes(page: Page) -> int:
    return len(page.text) + _PAGE_BYTES + (len(page.picture.data) if page.picture else 0)
