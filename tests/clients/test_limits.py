"""Limits and budgets as a client meets them: over HTTP, and as the SDK's own exceptions."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anthropic
import pytest
from sqlalchemy import select

from antiphon.core.clock import ManualClock
from antiphon.store import tables
from tests.fixtures.world import ADMIN_KEY, World, ask

LIMIT = 20
NUM_CLIENTS = 32
NUM_CALLS = 3
DAY_S = 86_400


async def test_of_32_clients_over_their_limit_each_call_is_answered_once_and_the_bound_holds():
    async with World(rate_limits={"requests_per_minute": LIMIT}) as world, world.sdk() as client:

        async def one(number: int) -> list[str]:
            return [await outcome(client, stream=bool((number + call) % 2)) for call in range(NUM_CALLS)]

        began_s = time.monotonic()
        answered = [name for names in await asyncio.gather(*map(one, range(NUM_CLIENTS))) for name in names]
        refilled = (time.monotonic() - began_s) * LIMIT / 60
        await world.app.keeper.flush()
        async with world.app.database.read() as connection:
            billed = (await connection.execute(select(tables.usage.c.message_id))).scalars().all()
    served = [name for name in answered if name.startswith("msg_")]
    assert len(answered) == NUM_CLIENTS * NUM_CALLS
    assert LIMIT <= len(served) <= LIMIT + refilled + 1
    assert sorted(billed) == sorted(served)


async def outcome(client: anthropic.AsyncAnthropic, *, stream: bool) -> str:
    """The message's id, or "429"."""
    order: Any = ask("hi")
    try:
        if not stream:
            return (await client.messages.create(**order)).id
        async with client.messages.stream(**order) as reply:
            return (await reply.get_final_message()).id
    except anthropic.RateLimitError as error:
        check_refusal(error)
        return "429"


def check_refusal(error: anthropic.RateLimitError) -> None:
    assert int(error.response.headers["retry-after"]) >= 1
    assert error.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert "rate limit of 20 requests per minute" in str(error)


async def test_every_reply_tells_all_twelve_headers():
    kinds = ("requests", "tokens", "input-tokens", "output-tokens")
    names = {f"anthropic-ratelimit-{kind}-{what}" for kind in kinds for what in ("limit", "remaining", "reset")}
    async with World() as world, world.sdk() as client:
        order: Any = ask("hi")
        whole = await client.messages.with_raw_response.create(**order)
        streamed = await client.messages.with_raw_response.create(**order, stream=True)
        assert names <= set(whole.headers)
        assert names <= set(streamed.headers)


async def test_a_spent_budget_is_429_without_a_time_to_retry_until_the_month_is_over():
    clock = ManualClock()
    prices = {"*": {"input": "1000", "output": "1000"}}
    async with World(clock=clock, prices=prices) as world, world.sdk() as client:
        limit = {"party": {"type": "organization", "id": world.app.directory.home.organization_id}, "amount": "1"}
        status, answer = await world.post("/antiphon/spend_limits", limit, **{"x-api-key": ADMIN_KEY})
        assert status == 200, answer
        order: Any = ask("one two three four five six seven eight nine ten")
        await client.messages.create(**order)
        with pytest.raises(anthropic.RateLimitError) as refused:
            await client.messages.create(**order)
        assert refused.value.error_code == "enforced_spend_limit_reached"
        assert "retry-after" not in refused.value.response.headers
        clock.advance(32 * DAY_S)
        assert (await client.messages.create(**order)).stop_reason == "end_turn"


async def test_a_model_that_a_key_may_not_use_is_the_sdks_403():
    async with World() as world:
        wish = {"name": "echo only", "allowed_models": ["echo"]}
        _, made = await world.post("/antiphon/api_keys", wish, **{"x-api-key": ADMIN_KEY})
        async with world.sdk(api_key=made["key"]) as client:
            allowed: Any = ask("hi")
            assert (await client.messages.create(**allowed)).model == "echo"
            with pytest.raises(anthropic.PermissionDeniedError, match="lorem"):
                await client.messages.create(**(allowed | {"model": "lorem"}))
