"""AnthropicFoundry, unchanged but for endpoint and credential, against the scripted models."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest
from anthropic.lib.foundry import AnthropicFoundry, AsyncAnthropicFoundry

from tests.fixtures.world import API_KEY, World, ask, text_of


def client_of(world: World, **options: Any) -> AsyncAnthropicFoundry:
    given: Any = {"max_retries": 0} | options
    return AsyncAnthropicFoundry(base_url=f"{world.url}/anthropic/", **given)


async def test_messages_streams_and_counts_are_served():
    async with World() as world, client_of(world, api_key=API_KEY) as client:
        message = await client.messages.create(**ask("hello there", model="claude-sonnet-5"))
        async with client.messages.stream(**ask("one two")) as stream:
            streamed = await stream.get_final_text()
        counted = await client.messages.count_tokens(model="echo", messages=[{"role": "user", "content": "a b c"}])
    assert (text_of(message), streamed, counted.input_tokens) == ("hello there", "one two", 5)


async def test_the_sync_client_works_too():
    def talk(url: str) -> str:
        with AnthropicFoundry(base_url=f"{url}/anthropic/", api_key=API_KEY) as client:
            return text_of(client.messages.create(**ask("hello there")))

    async with World() as world:
        assert await asyncio.to_thread(talk, world.url) == "hello there"


async def test_a_token_providers_token_is_a_key():
    async with World() as world, client_of(world, azure_ad_token_provider=lambda: API_KEY) as client:
        assert text_of(await client.messages.create(**ask("hello there"))) == "hello there"


async def test_the_key_is_taken_from_its_own_header_alone():
    async with World() as world:
        headers = {"api-key": API_KEY, "anthropic-version": "2023-06-01"}
        async with world.http.post("/anthropic/v1/messages", json=ask(), headers=headers) as reply:
            assert reply.status == 200
        async with world.http.post("/anthropic/v1/messages", json=ask(), headers={"api-key": API_KEY}) as reply:
            told = await reply.json()
    assert told["error"]["message"] == "anthropic-version: header is required"


@pytest.mark.parametrize(
    ("options", "model", "kind"),
    [
        ({"api_key": "wrong"}, "echo", anthropic.AuthenticationError),
        ({"api_key": API_KEY}, "nobody", anthropic.NotFoundError),
        ({"api_key": API_KEY}, "down", anthropic.OverloadedError),
    ],
    ids=["key", "model", "down"],
)
async def test_errors_are_the_sdks_own_classes(options: dict[str, Any], model: str, kind: type[Exception]):
    async with World() as world, client_of(world, **options) as client:
        with pytest.raises(kind):
            await client.messages.create(**ask(model=model))
