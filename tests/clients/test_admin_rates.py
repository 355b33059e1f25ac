"""Rate limits and spend limits, as the official SDK sees them."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from antiphon.core.clock import ManualClock
from antiphon.features.audits.service import Audit
from antiphon.settings import RateLimits
from tests.fixtures.world import ADMIN_KEY, HEADERS, World

VERSIONS = ("2023-06-01", "2026-10-21")
LIMITS = RateLimits(
    requests_per_minute=100, input_tokens_per_minute=20_000, output_tokens_per_minute=8_000, concurrent_requests=4
)
DEFAULTS = {
    "requests_per_minute": 100,
    "input_tokens_per_minute_cache_aware": 20_000,
    "output_tokens_per_minute": 8_000,
    "concurrent_requests": 4,
}


def admin(world: World, version: str = "2026-10-21") -> anthropic.AsyncAnthropic:
    return world.sdk(api_key=ADMIN_KEY, default_headers={"anthropic-version": version})


def limited(**settings: Any) -> World:
    return World(rate_limits=LIMITS, **settings)


async def get(world: World, path: str, version: str = "2026-10-21") -> Any:
    headers = HEADERS | {"x-api-key": ADMIN_KEY, "anthropic-version": version}
    async with world.http.get(path, headers=headers) as reply:
        return await reply.json()


async def post(world: World, path: str, body: Any) -> tuple[int, Any]:
    return await world.post(path, body, **{"x-api-key": ADMIN_KEY})


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_model_has_its_entry_with_the_organizations_limits(version: str):
    async with limited() as world, admin(world, version) as client:
        entries = [entry async for entry in client.organization.rate_limits.list()]
        labels = {model.label for model in world.app.catalog.models}
        assert [entry.group.type for entry in entries] == ["model_group"] * len(labels)
        assert {entry.models[0] for entry in entries if entry.models} == labels
        assert {limit.type: limit.value for limit in entries[0].limits} == DEFAULTS
        assert len({entry.id for entry in entries}) == len({entry.group.id for entry in entries}) == len(labels)
        assert all(entry.group.id.startswith("rlg_") for entry in entries)


async def test_the_older_version_also_has_the_type_of_the_group_beside_it():
    async with limited() as world:
        old = await get(world, "/v1/organizations/rate_limits?limit=1", "2023-06-01")
        new = await get(world, "/v1/organizations/rate_limits?limit=1")
    assert old["data"][0].pop("group_type") == "model_group"
    assert old == new


async def test_an_entry_has_an_id_of_its_own_that_stays():
    async with World() as one, World() as same:
        first = await get(one, "/v1/organizations/rate_limits")
        assert first == await get(same, "/v1/organizations/rate_limits")
    assert all(entry["id"] != entry["group"]["id"] for entry in first["data"])


async def test_the_entry_of_a_model_is_found_by_any_of_its_names():
    async with limited(aliases={"house": "lorem"}) as world, admin(world) as client:
        for name in ("lorem", "house"):
            (entry,) = [entry async for entry in client.organization.rate_limits.list(model=name)]
            assert entry.models == ["lorem", "house"]
        (entry,) = [entry async for entry in client.organization.rate_limits.list(model="claude-sonnet-5")]
        assert entry.models == ["echo"]
        with pytest.raises(anthropic.NotFoundError, match="model: nothing"):
            await client.organization.rate_limits.list(model="nothing")
        assert not (await client.organization.rate_limits.list(group_type="batch")).data


async def test_entries_come_in_pages_only_where_a_limit_is_given():
    async with limited() as world, admin(world) as client:
        whole = await client.organization.rate_limits.list()
        assert whole.next_page is None
        paged = [entry async for entry in client.organization.rate_limits.list(limit=2)]
        assert len(paged) > 2
        assert paged == whole.data


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_workspace_gets_limits_of_its_own_and_loses_them(version: str):
    async with limited() as world, admin(world, version) as client:
        workspace = (await client.organization.workspaces.create(name="One")).id
        rates = client.organization.workspaces.rate_limits
        assert not (await rates.list(workspace)).data
        (echo,) = [entry async for entry in client.organization.rate_limits.list(model="echo")]
        changes: Any = [
            {"type": "requests_per_minute", "value": 5},
            {"type": "input_tokens_per_minute_cache_aware", "value": 0},
        ]
        entry = await rates.update(echo.id, workspace_id=workspace, limits=changes)
        assert (entry.rate_limit_id, entry.workspace_id, entry.type) == (echo.id, workspace, "workspace_rate_limit")
        assert entry.group == echo.group
        assert [(one.type, one.value, one.org_limit, one.source.type) for one in entry.limits] == [
            ("requests_per_minute", 5, 100, "workspace"),
            ("input_tokens_per_minute_cache_aware", 0, 20_000, "workspace"),
        ]
        assert [entry async for entry in rates.list(workspace)] == [entry]
        cleared: Any = [{"type": "requests_per_minute", "value": None}]
        entry = await rates.update(echo.id, workspace_id=workspace, limits=cleared)
        assert [one.type for one in entry.limits] == ["input_tokens_per_minute_cache_aware"]
        assert world.app.directory.now.rates[("workspace", workspace)] == [("echo", "input_tokens_per_minute", 0)]


async def test_what_a_workspace_inherits_is_shown_on_request():
    async with limited() as world, admin(world) as client:
        workspace = (await client.organization.workspaces.create(name="One")).id
        rates = client.organization.workspaces.rate_limits
        (echo,) = [entry async for entry in client.organization.rate_limits.list(model="echo")]
        changes: Any = [{"type": "output_tokens_per_minute", "value": 7}]
        await rates.update(echo.id, workspace_id=workspace, limits=changes)
        entries = [entry async for entry in rates.list(workspace, include_inherited=True, limit=1)]
        assert [entry.rate_limit_id for entry in entries] == [
            entry.id async for entry in client.organization.rate_limits.list()
        ]
        (entry,) = (entry for entry in entries if entry.rate_limit_id == echo.id)
        assert {one.type: (one.value, one.source.type) for one in entry.limits} == {
            "requests_per_minute": (100, "organization"),
            "input_tokens_per_minute_cache_aware": (20_000, "organization"),
            "output_tokens_per_minute": (7, "workspace"),
            "concurrent_requests": (4, "organization"),
        }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "requests_per_minute", "value": -1}, "limits.0.value: Input should be greater than or equal to 0"),
        ({"type": "requests_per_minute", "value": 1.5}, "limits.0.value: Input should be a valid integer"),
        ({"type": "requests_per_minute", "value": 10**40}, "limits.0.value: Input should be less than"),
        ({"type": "requests_per_minute"}, "limits.0.value: Field required"),
        ({"type": "tokens_per_day", "value": 1}, "limits.0.type: Input should be 'requests_per_minute'"),
    ],
)
async def test_a_wrong_limit_of_a_workspace_is_refused(change: Any, words: str):
    async with limited() as world, admin(world) as client:
        workspace = world.app.directory.home.workspace_id
        (echo,) = [entry async for entry in client.organization.rate_limits.list(model="echo")]
        with pytest.raises(anthropic.BadRequestError, match=words):
            await client.organization.workspaces.rate_limits.update(echo.id, workspace_id=workspace, limits=[change])


async def test_limits_of_a_key_are_set_by_our_own_route_and_audited():
    async with limited() as world:
        key_id = (await get(world, "/v1/organizations/api_keys"))["data"][0]["id"]
        change = {"type": "concurrent_requests", "value": 2}
        party = {"type": "key", "id": key_id}
        status, answer = await post(world, "/antiphon/rate_limits", {"party": party, "limits": [change]})
        assert (status, answer) == (200, {"data": [{"party": party, "model": None, "limits": [change]}]})
        body = {"party": party, "model": "claude-x", "limits": [change | {"value": 1}]}
        await post(world, "/antiphon/rate_limits", body)
        shown = await get(world, "/antiphon/rate_limits")
        assert [(entry["model"], entry["limits"][0]["value"]) for entry in shown["data"]] == [(None, 2), ("echo", 1)]
        assert world.app.directory.now.rates[("key", key_id)] == [
            ("", "concurrent_requests", 2),
            ("echo", "concurrent_requests", 1),
        ]
        taken = {"party": party, "model": "echo", "limits": [change | {"value": None}]}
        assert len((await post(world, "/antiphon/rate_limits", taken))[1]["data"]) == 1
        line = (await Audit(world.app.database).read(world.app.directory.home, 1)).lines[0]
    assert (line["action"], line["target"]) == ("rate_limits.updated", key_id)
    assert line["details"] == {"party": "key", "model": "echo", "limits": {"concurrent_requests": None}}


async def test_the_organizations_own_limits_replace_the_settings():
    async with limited() as world, admin(world) as client:
        body = {"party": {"type": "organization"}, "limits": [{"type": "requests_per_minute", "value": 3}]}
        assert (await post(world, "/antiphon/rate_limits", body))[0] == 200
        page = await client.organization.rate_limits.list(limit=1)
        assert {one.type: one.value for one in page.data[0].limits} == DEFAULTS | {"requests_per_minute": 3}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_spend_limit_is_set_changed_and_deleted(version: str):
    clock = ManualClock()
    async with World(clock=clock) as world, admin(world, version) as client:
        spends, workspace = client.beta.organization.spend_limits, world.app.directory.home.workspace_id
        limit = await spends.set(amount="2500", scope={"type": "workspace", "workspace_id": workspace})
        assert limit.id.startswith("spl_")
        assert (limit.amount, limit.currency, limit.period, limit.is_enabled) == ("2500", "USD", "monthly", True)
        assert limit.scope.model_dump() == {"type": "workspace", "workspace_id": workspace}
        assert world.app.directory.now.budgets[("workspace", workspace)] == 25_000_000_000
        clock.advance(10)
        again = await spends.set(amount="0", scope={"type": "workspace", "workspace_id": workspace}, period="monthly")
        assert (again.id, again.amount, again.created_at) == (limit.id, "0", limit.created_at)
        assert again.updated_at > limit.updated_at
        assert await spends.retrieve(limit.id) == again
        deleted = await spends.delete(limit.id)
        assert (deleted.id, deleted.type) == (limit.id, "spend_limit_deleted")
        with pytest.raises(anthropic.NotFoundError, match="Spend limit not found"):
            await spends.retrieve(limit.id)
        found = await Audit(world.app.database).read(world.app.directory.home, 10)
        actions = [line["action"] for line in found.lines if line["action"].startswith("spend_limit.")]
        assert actions == ["spend_limit.deleted", "spend_limit.set", "spend_limit.set"]


async def test_spend_limits_are_listed_newest_first_and_a_page_outlives_its_rows():
    clock = ManualClock()
    async with World(clock=clock) as world, admin(world) as client:
        spends, ids, last = client.beta.organization.spend_limits, list[str](), ""
        whole = await spends.set(amount="100", scope={"type": "organization"})
        for i in range(4):
            clock.advance(1)
            last = (await client.organization.workspaces.create(name=str(i))).id
            limit = await spends.set(amount=str(i), scope={"type": "workspace", "workspace_id": last})
            ids.insert(0, limit.id)
        assert [limit.id async for limit in spends.list()] == [*ids, whole.id]
        assert [limit.id async for limit in spends.list(scope_type=["organization"])] == [whole.id]
        assert [limit.id async for limit in spends.list(workspace_id=last)] == [ids[0]]
        async for limit in spends.list(limit=2):
            await spends.delete(limit.id)
        assert not (await spends.list()).data


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"amount": None}, "amount: Input should be a valid string"),
        ({"amount": "12.50"}, "amount: Input should be a whole number of cents"),
        ({"amount": "-1"}, "amount: Input should be a whole number of cents"),
        ({"amount": "9" * 30}, "amount: Input should be a whole number of cents"),
        ({"period": "weekly"}, "period: Input should be 'monthly'"),
        ({"scope": {"type": "user", "user_id": "user_1"}}, "scope: Input tag 'user'"),
    ],
)
async def test_a_wrong_spend_limit_is_refused(body: dict[str, Any], words: str):
    async with World() as world, admin(world) as client:
        wish: Any = {"amount": "1", "scope": {"type": "organization"}} | body
        with pytest.raises(anthropic.BadRequestError, match=words):
            await client.beta.organization.spend_limits.set(**wish)


async def test_the_spend_limit_of_a_key_is_set_and_taken_away_by_our_own_route():
    async with World() as world, admin(world) as client:
        key_id = (await get(world, "/v1/organizations/api_keys"))["data"][0]["id"]
        party = {"type": "key", "id": key_id}
        status, answer = await post(world, "/antiphon/spend_limits", {"party": party, "amount": "150"})
        assert (status, answer["data"][0]["scope"]) == (200, {"type": "api_key", "api_key_id": key_id})
        assert world.app.directory.now.budgets == {("key", key_id): 1_500_000_000}
        assert (await get(world, "/antiphon/spend_limits"))["data"] == answer["data"]
        assert not (await client.beta.organization.spend_limits.list()).data
        assert await post(world, "/antiphon/spend_limits", {"party": party, "amount": None}) == (200, {"data": []})
        assert world.app.directory.now.budgets == {}


async def test_a_party_must_be_there():
    async with World() as world:
        for kind, words in (("key", "API key not found."), ("workspace", "Workspace not found.")):
            party = {"type": kind, "id": "something"}
            status, answer = await post(world, "/antiphon/spend_limits", {"party": party, "amount": "1"})
            assert (status, answer["error"]["message"]) == (404, words)
            status, answer = await post(world, "/antiphon/rate_limits", {"party": {"type": kind}, "limits": []})
            assert (status, answer["error"]["message"]) == (400, "party.id: Field required")
