"""Credentials, versions, headers and the small routes, over plain HTTP."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Sequence
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from antiphon.features.batches import routes as batches_routes
from antiphon.features.files import routes as files_routes
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import API_KEY, HEADERS, World, ask

OLD, NEW = "2023-06-01", "2026-10-21"


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({}, 401, "x-api-key header is required"),
        ({"anthropic-version": OLD}, 401, "x-api-key header is required"),
        ({"anthropic-version": OLD, "x-api-key": "wrong"}, 401, "invalid x-api-key"),
        ({"anthropic-version": NEW, "x-api-key": "wrong"}, 401, "API key is invalid."),
        ({"anthropic-version": NEW, "authorization": "Bearer wrong"}, 401, "API key is invalid."),
        ({"anthropic-version": OLD, "authorization": "Bearer wrong"}, 401, "invalid x-api-key"),
        ({"anthropic-version": OLD, "authorization": f"Basic {API_KEY}"}, 401, "x-api-key header is required"),
        (
            {"anthropic-version": OLD, "x-api-key": "wrong", "authorization": f"Bearer {API_KEY}"},
            401,
            "invalid x-api-key",
        ),
        ({"anthropic-version": OLD, "x-api-key": "schlüssel"}, 401, "invalid x-api-key"),
        ({"x-api-key": API_KEY}, 400, "anthropic-version: header is required"),
        (
            {"x-api-key": API_KEY, "anthropic-version": "1999-01-01"},
            400,
            'anthropic-version: "1999-01-01" is not a valid version',
        ),
    ],
)
async def test_who_is_refused_and_how(headers: dict[str, str], status: int, message: str):
    async with World() as world, world.http.post("/v1/messages", json=ask(), headers=headers) as reply:
        body = await reply.json()
    assert (reply.status, body["error"]["message"]) == (status, message)
    assert body["error"]["type"] == ("authentication_error" if status == 401 else "invalid_request_error")


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(
    "credential",
    [
        {"x-api-key": API_KEY},
        {"authorization": f"Bearer {API_KEY}"},
        {"authorization": f"bearer  {API_KEY}"},
        {"x-api-key": API_KEY, "authorization": f"Bearer {API_KEY}"},
        {"x-api-key": API_KEY, "authorization": "Bearer something-else"},
    ],
)
async def test_who_is_let_in(credential: dict[str, str], version: str):
    headers = credential | {"anthropic-version": version}
    async with World() as world, world.http.post("/v1/messages", json=ask("hi"), headers=headers) as reply:
        assert reply.status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/messages", ask()),
        ("POST", "/v1/messages", ask(stream=True)),
        ("POST", "/v1/messages", {}),
        ("POST", "/v1/messages/count_tokens", ask()),
        ("GET", "/v1/models", None),
        ("GET", "/v1/nothing", None),
        ("GET", "/v1/messages", None),
    ],
)
async def test_every_reply_has_its_ids(method: str, path: str, body: Any):
    async with World() as world, world.http.request(method, path, json=body, headers=HEADERS) as reply:
        content = await reply.text()
        scope = world.app.door.shared.directory.home
    assert reply.headers["request-id"].startswith("req_")
    assert reply.headers["anthropic-organization-id"] == scope.organization_id
    assert reply.headers["anthropic-workspace-id"] == scope.workspace_id
    if reply.status >= 400:
        assert reply.headers["request-id"] in content


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
async def test_sampling_fields_are_gone_in_the_new_version_only(field: str):
    async with World() as world:
        old = await world.post("/v1/messages", ask(**{field: 1}))
        new = await world.post("/v1/messages", ask(**{field: 1}), **{"anthropic-version": NEW})
    assert old[0] == 200
    assert (new[0], new[1]["error"]["message"]) == (400, f"{field}: Extra inputs are not permitted")


async def test_unknown_fields_and_betas_are_refused_only_when_strict():
    request, beta = ask(bogus=1), {"anthropic-beta": "nothing-2020-01-01"}
    async with World() as lenient, World(strict=True) as strict:
        assert (await lenient.post("/v1/messages", request, **beta))[0] == 200
        field, named = await strict.post("/v1/messages", request), await strict.post("/v1/messages", ask(), **beta)
    assert (field[0], field[1]["error"]["message"]) == (400, "bogus: Extra inputs are not permitted")
    assert named[0] == 400
    assert named[1]["error"]["message"].startswith(
        "Unexpected value(s) `nothing-2020-01-01` for the `anthropic-beta` header."
    )


async def test_models_in_pages():
    async with World() as world:

        async def page(query: str) -> dict[str, Any]:
            async with world.http.get(f"/v1/models?{query}", headers=HEADERS) as reply:
                return await reply.json()

        first = await page("limit=2")
        second = await page(f"limit=2&after_id={first['last_id']}")
        back = await page(f"limit=1&before_id={second['first_id']}")
        everything = await page("limit=1000")
    assert [m["id"] for m in first["data"]] == ["echo", "lorem"]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, "echo", "lorem")
    assert [m["id"] for m in second["data"]] == ["slow", "fail-N"]
    assert ([m["id"] for m in back["data"]], back["has_more"]) == (["lorem"], True)
    assert (len(everything["data"]), everything["has_more"]) == (10, False)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("limit=1001", "limit: Input should be less than or equal to 1000"),
        ("limit=--5", "limit: Input should be a valid integer, unable to parse string as an integer"),
        ("lifecycle[]=bogus", "lifecycle: Input should be 'active', 'deprecated' or 'retired', not 'bogus'"),
        ("limit=x", "limit: Input should be a valid integer, unable to parse string as an integer"),
        ("after_id=nobody", "after_id: nobody was not found"),
    ],
)
async def test_a_bad_page_is_a_400_that_names_the_parameter(query: str, message: str):
    async with World() as world, world.http.get(f"/v1/models?{query}", headers=HEADERS) as reply:
        assert (reply.status, (await reply.json())["error"]["message"]) == (400, message)


async def test_an_unknown_model_is_404_in_the_apis_words():
    async with World() as world, world.http.get("/v1/models/gpt-9", headers=HEADERS) as reply:
        body = await reply.json()
    assert (reply.status, body["error"]) == (404, {"type": "not_found_error", "message": "model: gpt-9"})


RUNS_CODE = {"type": "code_execution_20250825", "name": "code_execution"}
UNSERVED = [
    (ask(tools=[{"type": "computer_toolset_20260801"}]), "tools.0: tools of type 'computer_toolset_20260801'"),
    (ask(speed="fast"), "speed: fast replies"),
    (
        ask([{"type": "text", "text": "see"}, {"type": "container_upload", "file_id": "file_1"}], tools=[RUNS_CODE]),
        "messages.0.content.1: blocks of type 'container_upload'",
    ),
]


@pytest.mark.parametrize(("request_", "names"), UNSERVED, ids=[row[1] for row in UNSERVED])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_what_is_not_served_yet_is_refused_by_name(request_: dict[str, Any], names: str, path: str):
    if path.endswith("count_tokens"):
        request_ = {key: value for key, value in request_.items() if key != "max_tokens"}
    async with World() as world:
        status, body = await world.post(path, request_)
    assert (status, body["error"]["message"]) == (400, f"{names} are not supported by this server yet.")


async def test_thinking_is_let_through_on_models_that_cannot():
    enabled = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    async with World() as world:
        echo = await world.post("/v1/messages", ask(**enabled))
        lorem = await world.post("/v1/messages", ask(model="lorem", **enabled))
        adaptive = await world.post("/v1/messages", ask(model="lorem", max_tokens=2, thinking={"type": "adaptive"}))
    assert (echo[0], lorem[0], adaptive[0]) == (200, 200, 200)
    assert [[block["type"] for block in body["content"]] for _, body in (lorem, adaptive)] == [
        ["thinking", "text"],
        ["text"],
    ]


async def test_max_tokens_has_a_cap_and_models_tell_it():
    async with World() as world:
        status, body = await world.post("/v1/messages", ask(max_tokens=9_999_999))
        async with world.http.get("/v1/models/echo", headers=HEADERS) as reply:
            cap = (await reply.json())["max_tokens"]
    wanted = f"max_tokens: 9999999 > {cap}, which is the maximum allowed number of output tokens for echo"
    assert (status, body["error"]["message"]) == (400, wanted)


async def test_too_long_a_prompt_is_told_in_the_apis_words():
    async with World() as world:
        status, body = await world.post("/v1/messages", ask("word " * 200_000))
    assert (status, body["error"]["message"]) == (400, "prompt is too long: 200002 tokens > 200000 maximum")


async def test_a_prompt_that_fills_the_window_gets_an_empty_reply():
    async with World() as world:
        status, body = await world.post("/v1/messages", ask("word " * 199_998))
    assert (status, body["stop_reason"], body["content"]) == (200, "model_context_window_exceeded", [])


async def test_the_legacy_door_streams_its_own_events():
    prompt = "\n\nHuman: one two\n\nAssistant:"
    body = {"model": "claude-2", "prompt": prompt, "max_tokens_to_sample": 50, "stream": True}
    async with World() as world, world.http.post("/v1/complete", json=body, headers=HEADERS) as reply:
        frames = (await reply.text()).split("\n\n")[:-1]
    names = [frame.split("\n")[0] for frame in frames]
    assert set(names) == {"event: completion", "event: ping"}
    assert '"stop_reason":"stop_sequence"' in frames[-1]


async def test_the_description_of_the_api_is_made_from_the_wire_types():
    async with World() as world, world.http.get("/openapi.json") as reply:
        document = await reply.json()
    assert document["openapi"].startswith("3.1")
    assert "TextBlock" in document["components"]["schemas"]
    assert {"/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/complete"} <= set(document["paths"])


async def test_the_description_names_the_methods_of_each_path_that_a_program_calls():
    async with World() as world:
        document = await _json_of(world, "/openapi.json")
        for path, operations in document["paths"].items():
            async with world.http.put(path.replace("{", "").replace("}", ""), headers=HEADERS) as reply:
                assert reply.status == 405
                assert set(reply.headers["allow"].split(", ")) - {"HEAD"} == {name.upper() for name in operations}, path
        served = {
            route.path for route in [*batches_routes.routes(world.app.batches), *files_routes.routes(world.app.files)]
        }
    assert served <= set(document["paths"])


async def test_what_is_sent_to_batches_and_files_is_described_by_the_types_that_check_it():
    async with World() as world:
        document = await _json_of(world, "/openapi.json")

    def is_valid(path: str, value: Any) -> bool:
        ((content,),) = [document["paths"][path]["post"]["requestBody"]["content"].values()]
        return Draft202012Validator(content["schema"] | {"components": document["components"]}).is_valid(value)

    batch = {"requests": [{"custom_id": "a", "params": ask("hi")}]}
    assert is_valid("/v1/messages/batches", batch)
    assert not is_valid("/v1/messages/batches", {"requests": []})
    assert not is_valid("/v1/messages/batches", {"requests": [{"custom_id": "a b", "params": ask("hi")}]})
    assert not is_valid("/v1/messages/batches", {"requests": [{"custom_id": "a", "params": {}}]})
    assert is_valid("/v1/files", {"file": "bytes", "expires_in_seconds": 3600})
    assert not is_valid("/v1/files", {"expires_in_seconds": 3600})
    assert not is_valid("/v1/files", {"file": "bytes", "expires_in_seconds": 1})


async def _json_of(world: World, path: str) -> Any:
    async with world.http.get(path) as reply:
        return await reply.json()


async def test_metrics_count_requests_and_tokens():
    async with World() as world:
        await world.post("/v1/messages", ask("one two"))
        async with world.http.get("/metrics") as reply:
            text = await reply.text()
    assert 'antiphon_requests_total{route="/v1/messages",status="200"} 1.0' in text
    assert 'antiphon_tokens_total{direction="output",model="echo"} 2.0' in text


@pytest.mark.parametrize(("fields", "expected"), [({}, 0.5), ({"temperature": 0.4}, 0.2), ({"temperature": 0}, 0.0)])
async def test_temperatures_are_multiplied_by_what_the_operator_says(fields: dict[str, Any], expected: float):
    engine = ScriptedEngine()
    async with World(engine, temperature_scale=0.5) as world:
        engine.say("Hi")
        await world.post("/v1/messages", ask(model="scripted", **fields))
        engine.say("Hi")
        prompt = {"model": "scripted", "prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 9}
        await world.post("/v1/complete", prompt | fields)
    assert [wish.sampling.temperature for wish in engine.wishes] == [expected] * 2


def statuses_on_one_connection(url: str, keys: Sequence[str]) -> list[int]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.connect()
    at, statuses = connection.sock.getsockname(), []
    for key in keys:
        connection.request(
            "GET", "/v1/models", headers={"anthropic-version": NEW} | ({"x-api-key": key} if key else {})
        )
        reply = connection.getresponse()
        reply.read()
        statuses.append(reply.status)
    assert connection.sock.getsockname() == at
    connection.close()
    return statuses


async def test_a_connection_whose_key_changes_is_asked_anew():
    """What the server remembers of the key before is of no use to the next."""
    async with World() as world:
        keys = [API_KEY, "wrong", API_KEY, "", API_KEY]
        statuses = await asyncio.to_thread(statuses_on_one_connection, world.url, keys)
    assert statuses == [200, 401, 200, 401, 200]
