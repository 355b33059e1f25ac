"""A picture of any kind becomes one that an engine takes: upright, opaque, RGB, no larger than it need be."""

import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from types import FrameType
from typing import Any

from PIL import Image, UnidentifiedImageError

from antiphon.media.child.colours import colours_of
from antiphon.media.child.frames import Frame
from antiphon.media.child.refusal import Refusal
from antiphon.turn.pixels import fitted

_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_FORMATS = ["PNG", "JPEG", "GIF", "WEBP"]
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = (5, 6, 7, 8)
_MAX_SCANS = 100
"""A progressive JPEG has about ten; each goes over the whole picture."""
_MAX_HEAD_CPU_S = 0.5
_JPEG_QUALITY = 90
_LOSSY = ("image/jpeg", "image/webp")


def run(data: bytes, fields: Mapping[str, Any]) -> Frame:
    """The picture, with `source_type` and the size that it had. `max_side` is checked before anything is decoded."""
    if not data:
        raise Refusal("empty")
    Image.MAX_IMAGE_PIXELS = None  # the sides are checked instead
    image = _opened(data)
    if max(image.size) > fields["max_side"]:
        raise Refusal("size", width=image.width, height=image.height)
    source_type, size = _TYPES[image.format or ""], image.size
    fitting = fitted(*size)
    image.draft("RGB", fitting)  # a JPEG can be decoded at a part of its size
    image.load()
    with _soon():
        orientation = _orientation(image)  # a PNG may tell it behind its pixels
    width, height = _turned(size, orientation)
    small = _upright(_shrunk(image, fitting), orientation)
    return framed(small, is_lossy=source_type in _LOSSY, source_type=source_type, source_size=[width, height])


def _opened(data: bytes) -> Image.Image:
    """The picture, before anything is decoded."""
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > _MAX_SCANS:
        raise Refusal("broken")
    try:
        with _soon():
            return Image.open(BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise Refusal("unknown") from error


@contextmanager
def _soon() -> Generator[None]:
    """What a file says of itself is read step by step, and may be made of millions of steps."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise Refusal("broken")

    signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_HEAD_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def framed(image: Image.Image, *, is_lossy: bool, **facts: Any) -> Frame:
    """An RGB picture, written as PNG or JPEG, and what is to be seen of it at a glance."""
    out = BytesIO()
    if is_lossy:
        image.save(out, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    else:
        image.save(out, "PNG", compress_level=1)
    data = out.getvalue()
    media_type = "image/jpeg" if is_lossy else "image/png"
    size = {"width": image.width, "height": image.height}
    told = {"media_type": media_type, **size, "digest": sha256(data).hexdigest(), "colours": colours_of(image)}
    return Frame({**told, **facts}, data)


def _shrunk(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    image = _plain(image)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return _on_white(image) if image.mode == "RGBA" else image


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _plain(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something shines through."""
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda grey: grey * (1 / 257)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Refusal:
        raise
    except Exception:  # whatever is wrong in what only describes the picture
        return 1


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation in _QUARTER_TURNS else size
