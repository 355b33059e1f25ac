"""Pages of a PDF: their text, and how they look (pypdfium2, a binding of PDFium)."""

import ctypes
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image

from antiphon.media.child.frames import Frame
from antiphon.media.child.image import framed
from antiphon.media.child.layout import Char, Run, is_spread, text_of
from antiphon.media.child.refusal import Refusal
from antiphon.turn.pixels import MAX_SIDE, fitted

_PASSWORD_ERROR = 4
_DPI = 72
_MAX_SCALE = 4.0
_MAX_CHARS = 200_000
_FEW_CHARS = 8
"""A page with less text, and with a picture, is a scan."""
_HYPHENS = dict.fromkeys((0x02, 0xFFFE, 0x00))
"""How PDFium tells those of a word that goes on in the next line."""


def run(data: bytes, fields: Mapping[str, Any]) -> Frame:
    """Pages from `first` up to `last`: their text, or pictures whose longer side has `side` pixels at most."""
    if not data:
        raise Refusal("empty")
    with _opened(data) as document:
        if not (num_pages := len(document)):
            raise Refusal("broken")
        numbers = range(fields["first"], min(fields["last"], num_pages))
        pages = [_page(document, number, fields.get("side")) for number in numbers]
    told = [{**page.fields, "num_bytes": len(page.data)} for page in pages]
    return Frame({"num_pages": num_pages, "pages": told}, b"".join(page.data for page in pages))


def _opened(data: bytes) -> Any:
    pdfium: Any = importlib.import_module("pypdfium2")
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        raise Refusal("encrypted" if error.err_code == _PASSWORD_ERROR else "broken") from error


def _page(document: Any, number: int, side: int | None) -> Frame:
    page = document[number]
    try:
        if side:
            return framed(_drawn(page, side), is_lossy=False)
        text = _text(page)
        return Frame({"text": text, "is_scan": len(text) < _FEW_CHARS and _has_objects(page)})
    finally:
        page.close()


def _has_objects(page: Any) -> bool:
    raw: Any = importlib.import_module("pypdfium2.raw")
    return raw.FPDFPage_CountObjects(page) > 0


def _drawn(page: Any, side: int) -> Image.Image:
    width, height = page.get_size()
    scale = min(_MAX_SCALE, side / max(width, height))
    wide, high = (
        fitted(max(1, round(width * scale)), max(1, round(height * scale))) if side <= MAX_SIDE else (side, side)
    )
    image: Image.Image = page.render(scale=min(scale, wide / width, high / height), may_draw_forms=False).to_pil()
    image = image.convert("RGB")
    image.thumbnail((wide, high))
    return image


def _text(page: Any) -> str:
    textpage = page.get_textpage()
    try:
        if textpage.count_chars() <= _MAX_CHARS and is_spread(list(_boxes(textpage))):
            text = text_of(_chars(textpage))
        else:
            text = textpage.get_text_range().replace("\r\n", "\n").translate(_HYPHENS)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    finally:
        textpage.close()


def _boxes(textpage: Any) -> Iterator[Run]:
    for index in range(textpage.count_rects()):
        yield Run("", *textpage.get_rect(index))


def _chars(textpage: Any) -> Iterator[Char]:
    raw: Any = importlib.import_module("pypdfium2.raw")
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    for index in range(textpage.count_chars()):
        code = raw.FPDFText_GetUnicode(textpage, index)
        text = "-" if code in _HYPHENS else chr(code)
        if text.isspace():
            yield Char(" ")
        elif raw.FPDFText_GetCharBox(textpage, index, left, right, bottom, top):
            yield Char(text, left.value, bottom.value, right.value, top.value)
