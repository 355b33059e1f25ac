"""Row `photo`: one of 12 megapixels and 5 MB, new and seen before, and what others notice of it."""

import statistics
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import orjson
from PIL import Image

from antiphon.turn.pixels import fitted
from bench import load
from bench.processes import Child, exchange
from bench.report import Limit, Line, minus, over, percentile
from bench.session import READY_BODY, Bench, post

_SIZE = (4000, 3000)
_NUM_BYTES = 5_000_000
_NUM_SAME = 15
_SMALL = READY_BODY | {"model": "echo"}


def of_twelve_megapixels(bench: Bench) -> list[Line]:
    photo = _photo()
    path = bench.stage.folder / "photo.jpg"
    path.write_bytes(photo)
    size = " ".join(map(str, fitted(*_SIZE)))
    pillow = bench.stage.start(
        "pillow", [sys.executable, "-m", "bench.pillow"], 0, core=None, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    ours = bench.stage.antiphon("photo", "--fake", source=bench.options.source, core=None)
    ours.wait_until_ready(post("/v1/messages", orjson.dumps(_SMALL)))
    new: dict[str, list[float]] = {"pillow": [], "ours": []}
    same: dict[str, list[float]] = {"ours": []}
    p99: dict[str, list[float]] = {"alone": [], "beside": []}
    _post(ours, photo)  # starts the child
    pillow.talk(f"{path} {size}\n".encode())
    for _ in range(bench.options.rounds):
        new["pillow"].append(_timed_ms(lambda: pillow.talk(f"{path} {size}\n".encode())))
        new["ours"].append(_post(ours, _another(photo)))
        same["ours"].append(statistics.median(_post(ours, photo) for _ in range(_NUM_SAME)))
        p99["alone"].append(_p99_ms(bench, ours))
        with _photos(ours, photo):
            p99["beside"].append(_p99_ms(bench, ours))
    ours.stop()
    pillow.stop()
    return [
        Line(
            "photo",
            "a photo of 12 MP and 5 MB",
            "ms",
            new,
            over(new["ours"], new["pillow"]),
            "x",
            "ours/pillow",
            Limit(2),
        ),
        Line("photo", "the same photo again", "ms", same, same["ours"], "ms", "ours", Limit(15)),
        Line(
            "photo",
            "p99 of others, one connection, beside photos without a pause",
            "ms",
            p99,
            minus(p99["beside"], p99["alone"]),
            "ms",
            "beside-alone",
            Limit(5),
        ),
    ]


def _photo() -> bytes:
    """Noise like a sensor's over slow gradients, at the quality that makes it 5 MB."""
    noise = [Image.effect_noise(_SIZE, 28) for _ in range(3)]
    slopes = [Image.linear_gradient("L").resize(_SIZE).rotate(90 * turn) for turn in range(3)]
    bands = [Image.blend(slope, grain, 0.5) for slope, grain in zip(slopes, noise, strict=True)]
    image = Image.merge("RGB", bands)
    qualities = {quality: _jpeg(image, quality) for quality in range(60, 96, 5)}
    return min(qualities.values(), key=lambda data: abs(len(data) - _NUM_BYTES))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _another(photo: bytes) -> bytes:
    """The same picture in other bytes."""
    return photo + time.time_ns().to_bytes(8, "little")


def _request(photo: bytes) -> bytes:
    source = {"type": "base64", "media_type": "image/jpeg", "data": b64encode(photo).decode()}
    content: list[dict[str, Any]] = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]
    body = {"model": "echo", "max_tokens": 8, "messages": [{"role": "user", "content": content}]}
    return post("/v1/messages", orjson.dumps(body))


def _post(child: Child, photo: bytes) -> float:
    """Milliseconds until the reply is whole."""
    request = _request(photo)
    return _timed_ms(lambda: _ask(child, request))


def _ask(child: Child, request: bytes) -> None:
    reply = exchange(child.port, request, timeout_s=60)
    if not reply.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"bench: {reply[:1000]!r}")


def _timed_ms(do: Any) -> float:
    started = time.perf_counter()
    do()
    return (time.perf_counter() - started) * 1e3


def _p99_ms(bench: Bench, child: Child) -> float:
    request = post("/v1/messages", orjson.dumps(_SMALL))
    found = load.run(child.port, request, connections=1, seconds=bench.options.seconds)
    return percentile(found.total_s, 0.99) * 1e3


@contextmanager
def _photos(child: Child, photo: bytes) -> Generator[None]:
    """New photos, one after the other, as long as the block lasts. They are made before: that takes its own time."""
    requests = [_request(_another(photo)) for _ in range(20)]
    is_over = threading.Event()

    def send() -> None:
        for request in requests:
            if is_over.is_set():
                return
            _ask(child, request)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
