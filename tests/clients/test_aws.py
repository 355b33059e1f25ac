"""Bedrock Mantle and Claude Platform on AWS: the Messages API for callers who sign, with the SDK's own clients."""

import asyncio
from typing import Any

import anthropic
import pytest
from anthropic import AnthropicAWS, AsyncAnthropicAWS
from anthropic.lib.bedrock import AnthropicBedrockMantle, AsyncAnthropicBedrockMantle

from tests.fixtures.aws import new_pair
from tests.fixtures.world import API_KEY, World, ask, text_of


async def signing(world: World) -> dict[str, str]:
    pair = await new_pair(world)
    return {"aws_access_key": pair.access_key_id, "aws_secret_key": pair.secret_access_key}


def options(world: World, kind: type, **credentials: str) -> Any:
    given = {"aws_region": "eu-west-3", "max_retries": 0, "base_url": world.url} | credentials
    if "Mantle" in kind.__name__:
        return given | {"base_url": f"{world.url}/anthropic"}
    return given | {"workspace_id": world.app.directory.home.workspace_id}


@pytest.mark.parametrize("kind", [AsyncAnthropicBedrockMantle, AsyncAnthropicAWS])
async def test_the_async_client_creates_streams_and_counts(kind: Any):
    async with World() as world:
        for credentials in (await signing(world), {"api_key": API_KEY}):
            async with kind(**options(world, kind, **credentials)) as client:
                message = await client.messages.create(**ask("hello there", model="anthropic.claude-sonnet-5"))
                async with client.messages.stream(**ask("one two")) as stream:
                    text = "".join([part async for part in stream.text_stream])
                counted = await client.messages.count_tokens(model="echo", messages=ask("one two")["messages"])
            assert (text_of(message), text, counted.input_tokens) == ("hello there", "one two", 4)


@pytest.mark.parametrize("kind", [AnthropicBedrockMantle, AnthropicAWS])
async def test_the_blocking_client_creates_and_streams(kind: Any):
    async with World() as world:
        given = options(world, kind, **await signing(world))

        def talk() -> tuple[str, str]:
            with kind(**given) as client:
                with client.messages.stream(**ask("one two")) as stream:
                    text = stream.get_final_text()
                return text_of(client.messages.create(**ask("hello"))), text

        assert await asyncio.to_thread(talk) == ("hello", "one two")


async def test_claude_platform_on_aws_has_the_other_routes_too():
    async with World() as world:
        async with AsyncAnthropicAWS(**options(world, AsyncAnthropicAWS, **await signing(world))) as client:
            models = [model.id async for model in client.models.list()]
            raw = await client.messages.with_raw_response.create(**ask("hello"))
    assert models[0] == "echo"
    assert raw.headers["x-amzn-requestid"] == raw.headers["request-id"]


async def test_a_signature_for_another_workspace_is_refused():
    async with World() as world:
        given = options(world, AsyncAnthropicAWS, **await signing(world)) | {"workspace_id": "wrkspc_other"}
        async with AsyncAnthropicAWS(**given) as client:
            with pytest.raises(anthropic.PermissionDeniedError):
                await client.messages.create(**ask())


@pytest.mark.parametrize("kind", [AsyncAnthropicBedrockMantle, AsyncAnthropicAWS])
async def test_errors_have_the_shape_of_the_messages_api(kind: Any):
    async with World() as world:
        right = await signing(world)
        async with kind(**options(world, kind, **right)) as client:
            with pytest.raises(anthropic.NotFoundError) as caught:
                await client.messages.create(**ask(model="nobody"))
            assert caught.value.body["error"]["message"] == "model: nobody"  # type: ignore[index]
        async with kind(**options(world, kind, **right | {"aws_secret_key": "x" * 40})) as client:
            with pytest.raises(anthropic.AuthenticationError, match="does not match"):
                await client.messages.create(**ask())


async def test_a_signature_is_no_admin_key():
    async with World() as world:
        async with AsyncAnthropicAWS(**options(world, AsyncAnthropicAWS, **await signing(world))) as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.get("/v1/organizations/api_keys", cast_to=object)
