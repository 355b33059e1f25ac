"""The reports of usage and cost, over HTTP."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from antiphon.core.clock import ManualClock
from antiphon.core.scope import Scope
from antiphon.ledger.price import Prices
from antiphon.ledger.store import add_entries
from antiphon.settings import Price
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR, add_organization, add_workspace
from antiphon.wire.events import Usage
from tests.fixtures.world import ADMIN_KEY, API_KEY, World
from tests.fixtures.world import ask as body
from tests.unit.ledger.entries import NOON, entry

PRICES = Prices({"echo": Price(input=Decimal(3), output=Decimal(15))})
DAY = "2027-01-15"
NIGHT = NOON - 43_200
USAGE, COST, CODE = "usage_report/messages", "cost_report", "usage_report/claude_code"


async def ask(world: World, path: str, version: str = "2026-10-21", key: str = ADMIN_KEY, **query: Any) -> Any:
    """(status, JSON); `group_by=[…]` goes as `group_by[]`."""
    params = [
        (f"{name}[]", one) if isinstance(value, list) else (name, str(value))
        for name, value in query.items()
        for one in (value if isinstance(value, list) else [value])
    ]
    headers = {"x-api-key": key, "anthropic-version": version}
    async with world.http.get(f"/v1/organizations/{path}", params=params, headers=headers) as reply:
        return reply.status, await reply.json()


async def report(world: World, path: str, **query: Any) -> Any:
    status, body = await ask(world, path, **({"starting_at": f"{DAY}T00:00:00Z"} | query))
    assert status == 200, body
    return body


async def told(world: World, path: str, **query: Any) -> str:
    status, body = await ask(world, path, **query)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    return body["error"]["message"]


def results(body: Any) -> list[Any]:
    return [result for bucket in body["data"] for result in bucket["results"]]


async def fill(world: World, *calls: dict[str, Any]) -> None:
    scope = world.app.directory.home
    own: dict[str, Any] = {"organization_id": scope.organization_id, "workspace_id": scope.workspace_id}
    entries = [entry(f"msg_{number}", prices=PRICES, **own | call) for number, call in enumerate(calls)]
    async with world.app.database.write() as connection:
        await add_entries(connection, entries)


def at_noon() -> World:
    return World(clock=ManualClock(NOON + 600))


async def test_a_day_of_usage():
    async with at_noon() as world:
        used = Usage(1, 2, 3, 4, 5)
        await fill(world, {"usage": used}, {"usage": used, "key_id": "apikey_2", "web_searches": 1})
        body = await report(world, USAGE, starting_at="2027-01-13T00:00:00Z")
    assert [(bucket["starting_at"], bucket["ending_at"], len(bucket["results"])) for bucket in body["data"]] == [
        ("2027-01-13T00:00:00Z", "2027-01-14T00:00:00Z", 0),
        ("2027-01-14T00:00:00Z", "2027-01-15T00:00:00Z", 0),
        ("2027-01-15T00:00:00Z", "2027-01-16T00:00:00Z", 1),
    ]
    assert (body["has_more"], body["next_page"]) == (False, None)
    (result,) = results(body)
    assert result == {
        "uncached_input_tokens": 2,
        "cache_read_input_tokens": 10,
        "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 8},
        "output_tokens": 4,
        "server_tool_use": {"web_search_requests": 1},
        "api_key_id": None,
        "workspace_id": None,
        "model": None,
        "service_tier": None,
        "context_window": None,
        "inference_geo": None,
        "speed": None,
        "account_id": None,
        "service_account_id": None,
    }


@pytest.mark.parametrize(("width", "ending_at"), [("1m", "12:01:00"), ("1h", "13:00:00"), ("1d", None)])
async def test_every_width_says_the_same(width: str, ending_at: str | None):
    async with at_noon() as world:
        await fill(world, {"ended_at": NOON}, {"ended_at": NOON + 59}, {"ended_at": NOON - 86_400})
        query = {"starting_at": f"{DAY}T12:00:00Z", "bucket_width": width}
        if ending_at:
            query["ending_at"] = f"{DAY}T{ending_at}Z"
        (result,) = results(await report(world, USAGE, **query))
    assert (result["uncached_input_tokens"], result["output_tokens"]) == (20, 10)


async def test_groups_and_filters():
    async with at_noon() as world:
        await fill(
            world,
            {"model": "echo", "user_id": "user_1"},
            {"model": "lorem", "key_id": "apikey_2", "service_tier": "batch"},
            {"model": "lorem", "usage": Usage(300_000, 1)},
        )

        async def groups(*by: str, **filters: Any) -> list[Any]:
            found = results(await report(world, USAGE, group_by=list(by), **filters))
            return [tuple(result[name] for name in by) for result in found]

        assert await groups("model") == [("echo",), ("lorem",)]
        assert await groups("service_tier", "api_key_id") == [("batch", "apikey_2"), ("standard", "apikey_1")]
        assert await groups("context_window") == [("0-200k",), ("200k-1M",)]
        assert await groups("account_id") == [(None,), ("user_1",)]
        assert await groups("inference_geo", "speed", "service_account_id") == [("not_available", "standard", None)]
        assert await groups("model", models=["echo"]) == [("echo",)]
        assert await groups("model", models=["echo", "lorem"], api_key_ids=["apikey_2"]) == [("lorem",)]
        assert await groups("model", account_ids=["user_1"]) == [("echo",)]
        assert await groups("model", account_ids=["no id\x00"]) == []
        assert await groups("model", service_tiers=["priority"]) == []
        assert await groups("model", context_window=["200k-1M"]) == [("lorem",)]
        assert await groups("model", inference_geos=["not_available"], speeds=["standard"]) == [("echo",), ("lorem",)]
        assert await groups("model", inference_geos=["us"]) == []
        assert await groups("model", service_account_ids=["svac_1"]) == []


async def test_the_default_workspace_has_no_id_in_the_old_version():
    async with at_noon() as world:
        scope = world.app.directory.home
        async with world.app.accounts.change(scope, OPERATOR) as change:
            await add_workspace(change.connection, Scope(scope.organization_id, "wrkspc_2"), "B", change.now)
        await fill(world, {}, {"workspace_id": "wrkspc_2"})
        for path in (USAGE, COST):
            old = await report(world, path, group_by=["workspace_id"], version="2023-06-01")
            new = await report(world, path, group_by=["workspace_id"])
            assert {result["workspace_id"] for result in results(old)} == {None, "wrkspc_2"}
            assert {result["workspace_id"] for result in results(new)} == {scope.workspace_id, "wrkspc_2"}


async def test_pages():
    async with at_noon() as world:
        await fill(world, *[{"ended_at": NIGHT + 3_600 * hour} for hour in range(12)])
        query = {"bucket_width": "1h", "limit": 5}
        first = await report(world, USAGE, **query)
        second = await report(world, USAGE, **query, page=first["next_page"])
        third = await report(world, USAGE, **query, page=second["next_page"])
    hours = [bucket["starting_at"] for page in (first, second, third) for bucket in page["data"]]
    assert hours == [f"{DAY}T{hour:02}:00:00Z" for hour in range(13)]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    assert sum(result["output_tokens"] for page in (first, second, third) for result in results(page)) == 12 * 5


async def test_costs():
    async with at_noon() as world:
        await fill(world, {"usage": Usage(1_000_000, 1_000)}, {"usage": Usage(1, 0), "model": "free"})
        (total,) = results(await report(world, COST))
        assert (total["amount"], total["currency"]) == ("301.50", "USD")
        found = results(await report(world, COST, group_by=["workspace_id", "description"]))
    assert [(result["model"], result["token_type"], result["amount"]) for result in found] == [
        ("echo", "uncached_input_tokens", "300.00"),
        ("echo", "output_tokens", "1.50"),
        ("free", "uncached_input_tokens", "0.00"),
    ]
    assert found[0] | {"workspace_id": None} == {
        "currency": "USD",
        "amount": "300.00",
        "workspace_id": None,
        "description": "echo Usage - Input Tokens",
        "cost_type": "tokens",
        "context_window": "200k-1M",
        "inference_geo": "not_available",
        "model": "echo",
        "service_tier": "standard",
        "token_type": "uncached_input_tokens",
    }


async def test_claude_code_by_member_and_by_key():
    async with at_noon() as world:
        scope = world.app.directory.home
        user = {"id": "user_1", "email": "ada@example.org", "name": "Ada", "role": "developer", "added_at": 0.0}
        async with world.app.database.write() as connection:
            await connection.execute(insert(tables.users).values(organization_id=scope.organization_id, **user))
        await fill(
            world,
            {"client": "claude_code", "user_id": "user_1", "usage": Usage(1, 2, 3, 4, 5)},
            {"client": "claude_code", "user_id": "user_1", "key_id": "apikey_2", "usage": Usage(1, 2, 3, 4, 5)},
            {"client": "claude_code", "user_id": "user_1", "model": "lorem"},
            {"client": "claude_code"},
            {},
            {"client": "claude_code", "ended_at": NIGHT - 1},
        )
        body = await report(world, CODE, starting_at=DAY)
        of_key, of_user = body["data"]
        assert of_key["actor"] == {"type": "api_actor", "api_key_name": "apikey_1"}
        assert of_user["actor"] == {"type": "user_actor", "email_address": "ada@example.org"}
        assert of_user["date"] == f"{DAY}T00:00:00Z"
        assert of_user["organization_id"] == scope.organization_id
        echo, lorem = of_user["model_breakdown"]
        assert echo["tokens"] == {"input": 2, "output": 4, "cache_creation": 14, "cache_read": 10}
        assert lorem["estimated_cost"] == {"amount": 0, "currency": "USD"}
        first = await report(world, CODE, starting_at=DAY, limit=1)
        assert (first["data"], first["has_more"]) == ([of_key], True)
        second = await report(world, CODE, starting_at=DAY, limit=1, page=first["next_page"])
        assert (second["data"], second["has_more"], second["next_page"]) == ([of_user], False, None)


async def test_another_organizations_usage_is_not_there():
    async with at_noon() as world:
        other = Scope("org_other", "wrkspc_other")
        async with world.app.accounts.change(other, OPERATOR) as change:
            await add_organization(change.connection, other, "Other", change.now)
        await fill(world, {"organization_id": "org_other", "workspace_id": "wrkspc_other", "client": "claude_code"})
        for path in (USAGE, COST):
            assert results(await report(world, path)) == []
        assert results(await report(world, USAGE, workspace_ids=["wrkspc_other"], bucket_width="1m")) == []
        assert (await report(world, CODE, starting_at=DAY))["data"] == []


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (USAGE, {}, "starting_at: Field required"),
        (COST, {}, "starting_at: Field required"),
        (CODE, {}, "starting_at: Field required"),
        (USAGE, {"starting_at": "yesterday"}, "starting_at: Input should be an RFC 3339 datetime"),
        (CODE, {"starting_at": "15.01.2027"}, "starting_at: Input should be a date in UTC, such as 2026-11-22"),
        (
            USAGE,
            {"starting_at": f"{DAY}T00:00:00Z", "ending_at": f"{DAY}T00:00:00Z"},
            "ending_at: Input should be after starting_at",
        ),
        (
            USAGE,
            {"starting_at": f"{DAY}T00:00:00Z", "bucket_width": "1w"},
            "bucket_width: Input should be '1m', '1h' or '1d'",
        ),
        (COST, {"starting_at": f"{DAY}T00:00:00Z", "bucket_width": "1h"}, "bucket_width: Input should be '1d'"),
        (USAGE, {"starting_at": f"{DAY}T00:00:00Z", "limit": 32}, "limit: Input should be less than or equal to 31"),
        (USAGE, {"starting_at": f"{DAY}T00:00:00Z", "limit": 0}, "limit: Input should be greater than or equal to 1"),
        (USAGE, {"starting_at": f"{DAY}T00:00:00Z", "limit": "x"}, "limit: Input should be a valid integer"),
        (CODE, {"starting_at": DAY, "limit": 1001}, "limit: Input should be less than or equal to 1000"),
        (USAGE, {"starting_at": f"{DAY}T00:00:00Z", "group_by": ["color"]}, "group_by.0: Input should be"),
        (COST, {"starting_at": f"{DAY}T00:00:00Z", "group_by": ["model"]}, "group_by.0: Input should be"),
        (USAGE, {"starting_at": f"{DAY}T00:00:00Z", "page": "x"}, "page: Input should be the next_page"),
        (CODE, {"starting_at": DAY, "page": "%"}, "page: Input should be the next_page"),
    ],
)
async def test_a_wrong_question_names_its_parameter(path: str, query: dict[str, Any], message: str):
    async with at_noon() as world:
        assert (await told(world, path, **query)).startswith(message)


async def test_what_a_call_says_of_its_usage_is_in_the_reports():
    prices = {"*": Price(input=Decimal(3), output=Decimal(15))}
    async with World(clock=ManualClock(NOON), prices=prices) as world:
        _, message = await world.post("/v1/messages", body("one two three"))
        events = await world.stream(body("four five"), **{"user-agent": "claude-cli/2.1.0 (external, cli)"})
        used = [message["usage"], events[-2]["usage"]]
        await world.app.keeper.flush()
        (result,) = results(await report(world, USAGE, group_by=["model", "api_key_id", "service_tier"]))
        (cost,) = results(await report(world, COST))
        (record,) = (await report(world, CODE, starting_at=DAY))["data"]
    num_input, num_output = (sum(usage[name] for usage in used) for name in ("input_tokens", "output_tokens"))
    assert (result["uncached_input_tokens"], result["output_tokens"]) == (num_input, num_output)
    assert (result["model"], result["service_tier"]) == ("echo", "standard")
    assert result["api_key_id"].startswith("apikey_")
    assert Decimal(cost["amount"]) == (3 * num_input + 15 * num_output) / Decimal(10_000)
    (of_model,) = record["model_breakdown"]
    assert of_model["tokens"]["output"] == used[1]["output_tokens"]


@pytest.mark.parametrize("path", [USAGE, COST, CODE])
async def test_reports_need_an_admin_key(path: str):
    async with at_noon() as world:
        status, body = await ask(world, path, key=API_KEY, starting_at=DAY)
    assert (status, body["error"]["type"]) == (401, "authentication_error")
