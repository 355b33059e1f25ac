"""Whatever a form holds and however its bytes are cut, its parts are what was put in."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.errors import ApiError
from antiphon.web.multipart import PartHead, read_parts

BOUNDARY = b"XX"
CONTENT_TYPE = "multipart/form-data; boundary=XX"
TRAPS = [b"\r\n", b"\r\n--X", b"\r\n--XY", b"--XX", b"\r", b"\n", b"-", b"--", b"\r\n--", b"\r\n\r\n--XX"[:6]]
contents = st.lists(st.sampled_from(TRAPS) | st.binary(max_size=30), max_size=8).map(b"".join)
contents = contents.filter(lambda data: b"\r\n--XX" not in b"\r\n" + data + b"\r")
names = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n\x00', exclude_categories=["Cc"]), max_size=8)
forms = st.lists(st.tuples(names, st.none() | names.filter(bool), contents), min_size=1, max_size=4)
places = st.lists(st.integers(0, 400), max_size=8)


def form_of(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    body = b""
    for name, filename, data in parts:
        more = "" if filename is None else f'; filename="{filename}"'
        body += b"--XX\r\n" + f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
    return body + b"--XX--\r\n"


def cut(body: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(body)) for place in at} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(ends)]


def read(pieces: list[bytes]) -> list[tuple[str, str | None, bytes]]:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece

    async def collect() -> list[tuple[str, str | None, bytes]]:
        found: list[tuple[str, str | None, bytes]] = []
        async for part in read_parts(chunks(), CONTENT_TYPE):
            if isinstance(part, PartHead):
                found.append((part.name, part.filename, b""))
            else:
                name, filename, data = found[-1]
                found[-1] = (name, filename, data + part)
        return found

    return asyncio.run(collect())


@given(forms, places)
def test_the_parts_of_a_form_are_what_was_put_in_however_it_is_cut(
    parts: list[tuple[str, str | None, bytes]], at: list[int]
):
    assert read(cut(form_of(parts), at)) == parts


@given(forms, places, st.integers(1, 60))
def test_a_form_that_breaks_off_is_refused(parts: list[tuple[str, str | None, bytes]], at: list[int], num_lost: int):
    body = form_of(parts)
    whole = body[: max(len(body) - 2 - num_lost, 0)]
    assert status_of(cut(whole, at)) == 400


@given(st.binary(max_size=300) | st.builds(lambda a, b: form_of([("f", None, a)])[:40] + b, contents, st.binary()))
def test_any_bytes_are_a_form_or_a_400(body: bytes):
    assert status_of([body]) in (200, 400)


def status_of(pieces: list[bytes]) -> int:
    try:
        read(pieces)
    except ApiError as error:
        return error.kind.status
    return 200
