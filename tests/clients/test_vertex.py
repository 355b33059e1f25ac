"""AnthropicVertex and AnthropicGoogleCloud, unchanged but for endpoint and credential, against the scripted models."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.lib.google_cloud import AsyncAnthropicGoogleCloud
from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex

from scripts.check_docs import blocks
from tests.fixtures import streams
from tests.fixtures.world import ADMIN_KEY, API_KEY, World, ask, text_of

SONNET = "claude-sonnet-4-5@20250929"
MODELS = "/v1/projects/p-1/locations/europe-west1/publishers/anthropic/models"


def client_of(world: World, **options: Any) -> AsyncAnthropicVertex:
    given: Any = {"base_url": f"{world.url}/v1", "project_id": "p-1", "region": "global", "access_token": API_KEY}
    return AsyncAnthropicVertex(**given | {"max_retries": 0} | options)


def body(text: Any = "hello there", **fields: Any) -> dict[str, Any]:
    whole = ask(text, anthropic_version="vertex-2023-10-16") | fields
    return {name: value for name, value in whole.items() if name != "model"}


async def post(world: World, path: str, data: Any, key: str = API_KEY, **headers: str) -> tuple[int, Any, Any]:
    """(status, JSON, headers) of a raw request."""
    bearer = {"authorization": f"Bearer {key}"}
    async with world.http.post(path, json=data, headers=bearer | headers) as reply:
        return reply.status, await reply.json(), reply.headers


@pytest.mark.parametrize("model", ["echo", SONNET, "claude-sonnet-5"])
@pytest.mark.parametrize("region", ["global", "us", "europe-west1"])
async def test_a_message_is_answered_in_any_location(model: str, region: str):
    async with World() as world, client_of(world, region=region) as client:
        message = await client.messages.create(**ask("hello there", model=model))
    assert (text_of(message), message.model) == ("hello there", "echo")
    assert (message._request_id or "").startswith("req_vrtx_01")


async def test_the_sync_client_streams_and_counts():
    def talk(url: str) -> tuple[str, int]:
        given: Any = {"base_url": f"{url}/v1", "project_id": "p", "region": "eu", "access_token": API_KEY}
        with AnthropicVertex(**given) as client:
            with client.messages.stream(**ask("one two three", model=SONNET)) as stream:
                text = stream.get_final_text()
            asked: Any = {"model": SONNET, "messages": [{"role": "user", "content": "one two three"}]}
            return text, client.messages.count_tokens(**asked).input_tokens

    async with World() as world:
        assert await asyncio.to_thread(talk, world.url) == ("one two three", 5)


async def test_a_stream_is_that_of_the_native_route():
    async with World() as world:
        native = await world.stream(ask("one two three"))
        bearer = {"authorization": f"Bearer {API_KEY}"}
        asked = body("one two three", stream=True)
        async with world.http.post(f"{MODELS}/echo:streamRawPredict", json=asked, headers=bearer) as reply:
            events = streams.parse(await reply.read())
    streams.check(events)
    assert events[2:] == native[2:]


async def test_the_path_says_whether_to_stream_where_the_body_does_not():
    async with World() as world:
        bearer = {"authorization": f"Bearer {API_KEY}"}
        async with world.http.post(f"{MODELS}/echo:streamRawPredict", json=body(), headers=bearer) as reply:
            assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        _, message, _ = await post(world, f"{MODELS}/echo:rawPredict", body())
    assert message["content"] == [{"type": "text", "text": "hello there"}]


async def test_the_body_names_the_version():
    async with World() as world:
        path = f"{MODELS}/echo:rawPredict"
        assert (await post(world, path, body(temperature=0.5)))[0] == 200
        assert (await post(world, path, body(anthropic_version="2026-10-21")))[0] == 200
        for data, words in [
            (body(anthropic_version="2026-10-21", temperature=0.5), "temperature: Extra inputs are not permitted"),
            (body(anthropic_version="2019"), "is not a valid version"),
            (body(anthropic_version=5), "valid string"),
            (body(anthropic_version=None), "anthropic_version: Field required"),
            (body() | {"model": "echo"}, "model: Extra inputs are not permitted"),
        ]:
            status, told, headers = await post(world, path, data)
            assert (status, told["type"], words in told["error"]["message"]) == (400, "error", True), told
            assert told["request_id"] == headers["request-id"]
            assert told["request_id"].startswith("req_vrtx_")


async def test_a_tool_is_called():
    tool: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    async with World() as world, client_of(world) as client:
        message = await client.messages.create(**ask("Rain?", model="tool-caller", tools=[tool]))
    assert (message.stop_reason, message.content[-1].type) == ("tool_use", "tool_use")


async def test_what_google_answers_has_its_envelope():
    async with World(rate_limits={"requests_per_minute": 1}) as world:
        path = f"{MODELS}/echo:rawPredict"
        found = [
            await post(world, path, body(), key="wrong"),
            await post(world, path, body(), key=ADMIN_KEY),
            await post(world, path, body(), **{"anthropic-workspace-id": "wrkspc_other"}),
            await post(world, f"{MODELS}/nobody:rawPredict", body()),
            await post(world, f"{MODELS}/echo:predict", body()),
            await post(world, path.replace("anthropic", "mistralai"), body()),
            await post(world, path, body()),
            await post(world, path, body()),
        ]
        async with world.http.get(path) as reply:
            wrong_method = (reply.status, (await reply.json())["error"]["status"])
    assert [(status, told.get("error", {}).get("status")) for status, told, _ in found] == [
        (401, "UNAUTHENTICATED"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (404, "NOT_FOUND"),
        (404, "NOT_FOUND"),
        (200, None),
        (429, "RESOURCE_EXHAUSTED"),
    ]
    assert wrong_method == (405, "INVALID_ARGUMENT")
    assert all(told["error"]["code"] == status for status, told, _ in found if status != 200)
    assert int(found[-1][2]["retry-after"]) > 0


async def test_errors_are_the_sdks_own_classes():
    async with World() as world, client_of(world) as client:
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.create(**ask(model="nobody"))
        with pytest.raises(anthropic.OverloadedError):
            await client.messages.create(**ask(model="down"))
        with pytest.raises(anthropic.APIStatusError, match="Internal server error"):
            async with client.messages.stream(**ask(model="fail-3")) as stream:
                await stream.get_final_message()
        with pytest.raises(anthropic.AuthenticationError):
            async with client_of(world, access_token="wrong") as other:
                await other.messages.create(**ask())


async def test_the_log_has_the_id_that_the_client_has():
    async with World() as world, client_of(world) as client:
        message = await client.messages.create(**ask())
        lines = [json.loads(line) for line in _log_of(world)]
    assert [line["request_id"] for line in lines] == [message._request_id]


def _log_of(world: World) -> list[str]:
    world.app._request_log.close()
    folder = world.app.settings.data_dir / "logs"
    return [line for path in folder.iterdir() for line in path.read_text().splitlines()]


def google_cloud_of(world: World, workspace: str) -> AsyncAnthropicGoogleCloud:
    base = f"{world.url}/v1/projects/p-1/locations/global/workspaces/{workspace}/invoke"
    return AsyncAnthropicGoogleCloud(base_url=base, token_provider=lambda: API_KEY, max_retries=0)


async def test_claude_on_google_cloud_is_the_native_api_below_a_workspace():
    async with World() as world, google_cloud_of(world, world.app.directory.home.workspace_id) as client:
        message = await client.messages.create(**ask("hello there"))
        counted = await client.messages.count_tokens(model="echo", messages=[{"role": "user", "content": "a b c"}])
        models = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("echo")
        async with client.messages.stream(**ask("one two")) as stream:
            streamed = await stream.get_final_text()
    assert (text_of(message), streamed, counted.input_tokens, one.id) == ("hello there", "one two", 5, models[0])


async def test_the_workspace_in_the_path_has_to_be_the_keys():
    async with World() as world, google_cloud_of(world, "wrkspc_other") as client:
        with pytest.raises(anthropic.PermissionDeniedError):
            await client.messages.create(**ask())
        with pytest.raises(anthropic.NotFoundError):
            await client.get("/v1/nothing", cast_to=object)


GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "vertex.md"


@pytest.mark.parametrize(
    "block", [block.text for block in blocks(GUIDE, "python test")], ids=["vertex", "google_cloud", "foundry"]
)
async def test_the_guides_examples_work_with_its_variables_alone(block: str):
    async with World() as world:
        environment = {
            "ANTHROPIC_VERTEX_BASE_URL": f"{world.url}/v1",
            "ANTHROPIC_VERTEX_PROJECT_ID": "any",
            "CLOUD_ML_REGION": "global",
            "ANTHROPIC_CUSTOM_HEADERS": f"Authorization: Bearer {API_KEY}",
            "ANTHROPIC_FOUNDRY_BASE_URL": f"{world.url}/anthropic/",
            "ANTHROPIC_FOUNDRY_API_KEY": API_KEY,
            "ANTIPHON_API_KEY": API_KEY,
            "ANTIPHON_URL": world.url,
            "ANTIPHON_WORKSPACE_ID": world.app.directory.home.workspace_id,
        }
        assert all(name in GUIDE.read_text() for name in environment)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", block, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        printed, complaints = await asyncio.wait_for(program.communicate(), 40)
    assert printed.decode().strip() == "Name three rivers.", complaints.decode()
