"""From settings to an engine that runs already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp.test_utils
import pytest
from aiohttp import web

from antiphon.core.clock import SystemClock
from antiphon.core.errors import OperatorError
from antiphon.engines import connect as connecting
from antiphon.engines.connect import connect
from antiphon.settings import Settings

MODELS = {"data": [{"id": "m"}]}


@asynccontextmanager
async def serving(**answers: Any) -> AsyncGenerator[str]:
    """A server whose `models` and `props` are (status, body), or a body alone."""

    def handler(name: str) -> Any:
        async def answer(_: web.Request) -> web.Response:
            found = answers.get(name, (404, {}))
            status, body = found if isinstance(found, tuple) else (200, found)
            if isinstance(body, str):
                return web.Response(status=status, text=body, content_type="text/html")
            return web.json_response(body, status=status)

        return answer

    app = web.Application()
    app.router.add_get("/v1/models", handler("models"))
    app.router.add_get("/props", handler("props"))
    app.router.add_get("/get_model_info", handler("info"))
    server = aiohttp.test_utils.TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def sight(url: str, tmp_path: Path, **settings: Any) -> dict[str, bool]:
    engine, models = await connect(Settings(engine=url, data_dir=tmp_path, **settings), SystemClock())
    await engine.aclose()
    return {model.name: model.sees for model in models}


async def connected(url: str, tmp_path: Path, **settings: Any) -> list[str]:
    engine, models = await connect(Settings(engine=url, data_dir=tmp_path, **settings), SystemClock())
    await engine.aclose()
    return [type(engine).__name__, *(model.name for model in models)]


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
async def test_the_url_may_end_as_it_likes(tail: str, tmp_path: Path):
    async with serving(models=MODELS) as url:
        assert await connected(url + tail, tmp_path) == ["Plain", "m"]


ROWS = [
    {"id": "a", "architecture": {"input_modalities": ["text", "image"]}},
    {"id": "b", "architecture": {"input_modalities": ["text"]}},
    {"id": "c"},
]


@pytest.mark.parametrize(
    ("answers", "says", "expected"),
    [
        ({"models": MODELS}, None, {"m": False}),
        ({"models": MODELS}, True, {"m": True}),
        ({"models": MODELS, "info": {"has_image_understanding": True}}, None, {"m": True}),
        ({"models": MODELS, "info": {"has_image_understanding": True}}, False, {"m": False}),
        ({"models": MODELS, "info": {"has_image_understanding": "yes"}}, None, {"m": False}),
        ({"models": MODELS, "info": []}, None, {"m": False}),
        ({"models": {"data": ROWS}}, None, {"a": True, "b": False, "c": False}),
        ({"models": {"data": ROWS}}, True, {"a": True, "b": True, "c": True}),
    ],
)
async def test_an_engine_sees_if_it_says_so_or_the_operator_does(
    answers: dict[str, Any], says: bool | None, expected: dict[str, bool], tmp_path: Path
):
    async with serving(**answers) as url:
        assert await sight(url, tmp_path, engine_sees=says) == expected


@pytest.mark.parametrize("props", ["<html>", [], {}, None, (403, {}), (500, {})])
async def test_an_engine_whose_props_are_no_llama_cpp_s_is_plain(props: Any, tmp_path: Path):
    async with serving(models=MODELS, props=props) as url:
        assert await connected(url, tmp_path) == ["Plain", "m"]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"models": (401, {})}, "refuses the key"),
        ({"models": (403, {})}, "refuses the key"),
        ({"models": MODELS, "props": (401, {})}, "refuses the key"),
        ({"models": (404, "<html>")}, "answers /v1/models with status 404"),
        ({"models": "<html>"}, "does not tell of any model"),
        ({"models": {"data": []}}, "does not tell of any model"),
    ],
)
async def test_an_engine_that_cannot_work_is_one_sentence(answers: dict[str, Any], says: str, tmp_path: Path):
    async with serving(**answers) as url:
        with pytest.raises(OperatorError, match=rf"^The engine at {url} {says}"):
            await asyncio.wait_for(connected(f"{url}/v1", tmp_path, engine_key="k"), 5)


@pytest.mark.parametrize("url", ["localhost:8000", "u:pass@localhost:8000", "http://", "http://:80", "http://h:99999"])
async def test_what_is_no_url_is_one_sentence(url: str, tmp_path: Path):
    with pytest.raises(OperatorError, match="--engine takes a URL that starts with http://") as told:
        await connected(url, tmp_path)
    assert "pass" not in str(told.value)


async def test_two_credentials_are_one_too_many(tmp_path: Path):
    with pytest.raises(OperatorError, match="only one"):
        await connected("http://u:p@127.0.0.1:9", tmp_path, engine_key="k")


async def test_an_engine_that_is_away_is_waited_for_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(connecting, "_RETRY_S", 0.01)
    answers: dict[str, Any] = {"models": (502, "<html>")}
    async with serving(**answers) as url:
        place = url.replace("http://", "http://me:hunter2@") + "/v1"
        waiting = asyncio.ensure_future(connected(place, tmp_path))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    told = [record.getMessage() for record in caplog.records if record.name == "antiphon.engines"]
    assert told == [f"The engine at {url} does not answer yet; waiting for it"]


async def test_a_start_that_is_given_up_closes_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connecting, "_RETRY_S", 0.01)
    closed: list[bool] = []
    real = connecting.Upstream.aclose

    async def aclose(self: Any) -> None:
        closed.append(True)
        await real(self)

    monkeypatch.setattr(connecting.Upstream, "aclose", aclose)
    waiting = asyncio.ensure_future(connected("http://127.0.0.1:9", tmp_path))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert closed == [True]
