"""Text in pictures, with and without the extra that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines.pool import Pool
from antiphon.media.ocr import Ocr
from antiphon.media.sandbox import OCR_LIMITS, Sandbox
from antiphon.turn.attachments import Picture
from tests.fixtures.images import encoded, sign


def picture(text: str) -> Picture:
    image = sign(text)
    return Picture(text, "image/png", encoded(image), *image.size)


async def test_without_the_extra_nobody_can_tell_and_the_log_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "rapidocr.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sandbox = Sandbox(Pool(1, 10, 60, SystemClock()), OCR_LIMITS)
    try:
        ocr = Ocr(sandbox)
        assert [await ocr.read("w", picture(text)) for text in ("one", "two")] == [None, None]
    finally:
        await sandbox.aclose()
    assert caplog.text.count("install antiphon[ocr]") == 1
    assert sandbox.num_jobs == 1


async def test_lines_and_their_words_are_read_in_order_and_once():
    sandbox = Sandbox(Pool(1, 10, 60, SystemClock()), OCR_LIMITS)
    image = sign("TOTAL", size=(700, 260))
    image.paste(sign("42 EUR", size=(340, 110)), (360, 0))
    image.paste(sign("PAID", size=(340, 110)), (0, 130))
    two_lines = Picture("x", "image/png", encoded(image), *image.size)
    try:
        ocr = Ocr(sandbox)
        texts = [await ocr.read("w", two_lines) for _ in range(2)]
        blank = await ocr.read("w", picture(""))
    finally:
        await sandbox.aclose()
    assert texts == ["TOTAL  42 EUR\nPAID"] * 2
    assert blank == ""
    assert sandbox.num_jobs == 2
