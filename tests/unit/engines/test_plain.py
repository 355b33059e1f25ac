"""The plain dialect against a small server that says what it is told to say."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp.test_utils
import orjson
import pytest
from aiohttp import web

from antiphon.core.clock import rfc3339
from antiphon.core.errors import ApiError, Kind
from antiphon.engines.dialects.plain import Plain
from antiphon.engines.http import Upstream
from antiphon.turn.pieces import Piece, Prompt, Stop, Wish

PROMPT = Prompt({"model": "m", "messages": []}, 3, is_exact=False)
ROW = {"id": "m", "created": 7}


def event(data: Any) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else orjson.dumps(data)) + b"\n\n"


def token(text: Any, reason: str | None = None) -> bytes:
    return event({"choices": [{"delta": {"content": text}, "finish_reason": reason}]})


@asynccontextmanager
async def serving(*, reply: bytes = b"", listing: Any = None) -> AsyncGenerator[Plain]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=reply if request.method == "POST" else orjson.dumps(listing))

    app = web.Application()
    app.router.add_route("*", "/v1/{path:.*}", answer)
    server = aiohttp.test_utils.TestServer(app)
    await server.start_server()
    engine = Plain(Upstream(str(server.make_url("/"))), num_slots=8)
    try:
        yield engine
    finally:
        await engine.aclose()
        await server.close()


async def answer(reply: bytes, wish: Wish = Wish(9)) -> list[Piece]:  # noqa: B008 it is frozen
    async with serving(reply=reply) as engine:
        return [piece async for burst in engine.generate("m", PROMPT, wish) for piece in burst]


@pytest.mark.parametrize("end", [event(b"[DONE]"), b"", b"data: [DONE]"])
async def test_a_reply_ends_with_done_or_with_the_stream(end: bytes):
    usage = event({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 4}})
    pieces = await answer(token("a") + token("b", "length") + usage + end)
    assert "".join(piece.text for piece in pieces) == "ab"
    assert (pieces[-1].num_output, pieces[-1].stop) == (4, Stop("length", 5))


async def test_a_last_line_without_its_end_still_counts():
    pieces = await answer(token("a", "stop").rstrip())
    assert ("".join(piece.text for piece in pieces), pieces[-1].stop) == ("a", Stop("end"))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        token("a"),
        event([]),
        event(7),
        event(b"null"),
        event(b"half a li"),
        event({"choices": [None]}),
        event({"choices": ["x"]}),
        event({"choices": {"a": 1}}),
        event({"choices": [{"delta": "x"}]}),
        event({"usage": [1]}),
        event({"error": {"message": "out of memory"}}),
        token(["a"]),
        token(7),
    ],
)
async def test_a_stream_that_makes_no_sense_is_an_internal_error(reply: bytes):
    with pytest.raises(ApiError) as failed:
        await answer(reply)
    assert failed.value.kind is Kind.INTERNAL


@pytest.mark.parametrize("reply", [[], 7, None, {}, {"choices": []}, {"choices": [None]}, {"choices": [{}]}])
async def test_a_whole_reply_that_makes_no_sense_is_an_internal_error(reply: Any):
    with pytest.raises(ApiError) as failed:
        await answer(orjson.dumps(reply), Wish(9, is_awaited_whole=True))
    assert failed.value.kind is Kind.INTERNAL


@pytest.mark.parametrize("listing", [None, [], {}, {"data": []}, {"data": [None]}, {"data": [{}]}, {"data": 7}])
async def test_a_listing_without_a_model_is_an_internal_error(listing: Any):
    async with serving(listing=listing) as engine:
        with pytest.raises(ApiError) as failed:
            await engine.models()
    assert failed.value.kind is Kind.INTERNAL


@pytest.mark.parametrize(
    ("created", "told"),
    [
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
        (None, "1970-01-01T00:00:00Z"),
        ("2023-11-14", "1970-01-01T00:00:00Z"),
        (-1e15, "1970-01-01T00:00:00Z"),
    ],
)
async def test_a_model_s_age_may_be_told_in_any_unit(created: object, told: str):
    async with serving(listing={"data": [ROW | {"created": created}]}) as engine:
        assert rfc3339((await engine.models())[0].created_at) == told
