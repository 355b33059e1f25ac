"""Reads the text in a picture (rapidocr, whose models lie in its wheel)."""

import importlib
from collections.abc import Iterable, Mapping
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image

from antiphon.media.child.frames import Frame
from antiphon.media.child.refusal import Refusal

_LEAST_SCORE = 0.6
_PARAMS = {
    "Global.log_level": "critical",
    "Global.use_cls": False,  # text that stands on its head
    "Det.limit_type": "max",
    "Det.limit_side_len": 1600,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


class _Word(NamedTuple):
    text: str
    left: float
    top: float
    bottom: float


def run(data: bytes, fields: Mapping[str, Any]) -> Frame:
    """The lines from top to bottom, joined by newlines."""
    image = Image.open(BytesIO(data), formats=["PNG", "JPEG"]).convert("RGB")
    return Frame({"text": "\n".join(_lines(_words(image)))})


@cache
def _reader() -> Any:
    try:
        rapidocr: Any = importlib.import_module("rapidocr")
        importlib.import_module("onnxruntime")
    except ImportError as error:
        raise Refusal("no_ocr") from error
    return rapidocr.RapidOCR(params=_PARAMS)


def _words(image: Image.Image) -> list[_Word]:
    numpy: Any = importlib.import_module("numpy")
    found = _reader()(numpy.asarray(image)[:, :, ::-1])
    if found.txts is None:
        return []
    return [
        _Word(text, min(x for x, _ in box), min(y for _, y in box), max(y for _, y in box))
        for text, score, box in zip(found.txts, found.scores, found.boxes.tolist(), strict=True)
        if score >= _LEAST_SCORE
    ]


def _lines(words: Iterable[_Word]) -> list[str]:
    """Words whose middle lies within the height of a line's first one stand in that line."""
    lines: list[list[_Word]] = []
    for word in sorted(words, key=lambda word: word.top + word.bottom):
        middle = (word.top + word.bottom) / 2
        if lines and lines[-1][0].top <= middle <= lines[-1][0].bottom:
            lines[-1].append(word)
        else:
            lines.append([word])
    return ["  ".join(word.text for word in sorted(line, key=lambda word: word.left)) for line in lines]
