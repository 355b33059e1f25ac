"""Workspaces through the official SDK's Admin API."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.scope import Scope
from antiphon.features.workspaces.service import MAX_WORKSPACES
from antiphon.store.accounts import OPERATOR, add_organization, add_workspace
from tests.clients.test_admin_keys import audit, call, make, refusal, status_with
from tests.fixtures.world import ADMIN_KEY, World

PATH = "/v1/organizations/workspaces"
FINAL = "This workspace is archived, and that is final."


async def test_a_workspace_is_made_read_changed_and_archived():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        workspaces = client.organization.workspaces
        made = await workspaces.create(name="Team", tags={"team": "a"}, display_color="#00ff00")
        read = await workspaces.retrieve(made.id)
        changed = await workspaces.update(made.id, name="Team B", display_color="#0000FF")
        archived = await workspaces.archive(made.id)
    assert read == made
    assert (made.type, made.name, made.tags, made.display_color) == ("workspace", "Team", {"team": "a"}, "#00ff00")
    assert made.id.startswith("wrkspc_")
    assert made.data_residency.to_dict() == {
        "workspace_geo": "us",
        "allowed_inference_geos": "unrestricted",
        "default_inference_geo": "global",
    }
    assert made.compartment_id
    assert (made.external_key_id, made.user_profile_id, made.archived_at) == (None, None, None)
    assert (changed.name, changed.display_color, changed.tags) == ("Team B", "#0000FF", {"team": "a"})
    assert archived.archived_at is not None


async def test_the_sdk_pages_through_workspaces():
    clock = ManualClock()
    async with World(clock=clock) as world, world.sdk(api_key=ADMIN_KEY) as client:
        workspaces = client.organization.workspaces
        made = []
        for n in range(4):
            clock.advance(1)
            made.append((await workspaces.create(name=f"W{n}")).id)
        await workspaces.archive(made[0])

        async def ids(**only: Any) -> list[str]:
            return [workspace.id async for workspace in workspaces.list(**only)]

        home = world.app.directory.home.workspace_id
        assert await ids(limit=2) == made[:0:-1]
        assert await ids(limit=1, include_archived=True) == made[::-1]
        assert set(await ids(include_default=True)) == {*made[1:], home}
        assert await ids(ids=[made[1], made[0], home, "wrkspc_unknown"]) == [made[1]]
        assert set(await ids(ids=[made[0], home], include_archived=True, include_default=True)) == {made[0], home}
        page = await workspaces.list(limit=2)
        assert (page.has_more, page.first_id, page.last_id) == (True, made[3], made[2])


async def test_the_old_version_shows_the_same_workspaces():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        made = await client.organization.workspaces.create(name="Team")
        old = client.with_options(default_headers={"anthropic-version": "2023-06-01"})
        assert await old.organization.workspaces.retrieve(made.id) == made
        assert [workspace.id async for workspace in old.organization.workspaces.list()] == [made.id]


async def test_tags_are_merged_and_null_takes_one_away():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        workspaces = client.organization.workspaces
        made = await workspaces.create(name="Team", tags={"a": "1", "b": "2"})
        changed = await workspaces.update(made.id, tags={"b": None, "c": "3"})
        same = await workspaces.update(made.id, tags=None)
    assert changed.tags == same.tags == {"a": "1", "c": "3"}


async def test_data_residency_is_kept_as_it_is_given():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        workspaces = client.organization.workspaces
        wish: Any = {"allowed_inference_geos": ["us"], "default_inference_geo": "us"}
        made = await workspaces.create(name="Team", data_residency=wish)
        changed = await workspaces.update(made.id, data_residency={"allowed_inference_geos": ["us", "global"]})
        with pytest.raises(anthropic.BadRequestError, match="must be one of allowed_inference_geos"):
            await workspaces.update(made.id, data_residency={"allowed_inference_geos": ["global"]})
    assert made.data_residency.to_dict() == {"workspace_geo": "us"} | wish
    assert changed.data_residency.allowed_inference_geos == ["us", "global"]
    assert changed.data_residency.default_inference_geo == "us"


async def test_keys_of_an_archived_workspace_stop_at_once_and_for_good():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        team = (await client.organization.workspaces.create(name="Team")).id
        made = await make(world, workspace_id=team)
        elsewhere = await make(world)
        assert await status_with(world, made["key"]) == 200
        await client.organization.workspaces.archive(team)
        assert (await status_with(world, made["key"]), await status_with(world, elsewhere["key"])) == (401, 200)
        assert (await client.organization.api_keys.retrieve(made["id"])).status == "archived"
        revive = await refusal(world, "POST", f"/v1/organizations/api_keys/{made['id']}", {"status": "active"})
        new = await refusal(world, "POST", "/antiphon/api_keys", {"name": "x", "workspace_id": team})
        update = await refusal(world, "POST", f"{PATH}/{team}", {"name": "New"})
        again = await client.organization.workspaces.archive(team)
    assert revive == (400, "This API key is archived, and that is final.")
    assert new == (400, "workspace_id: the workspace is archived")
    assert update == (400, FINAL)
    assert again.archived_at is not None


async def test_the_default_workspace_is_neither_renamed_nor_archived():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        home = world.app.directory.home.workspace_id
        renamed = await refusal(world, "POST", f"{PATH}/{home}", {"name": "Mine"})
        archived = await refusal(world, "POST", f"{PATH}/{home}/archive")
        tagged = await client.organization.workspaces.update(home, tags={"a": "b"})
        read = await client.organization.workspaces.retrieve(home)
    assert renamed == (400, "The default workspace cannot be renamed.")
    assert archived == (400, "The default workspace cannot be archived.")
    assert (tagged.tags, read.name, read.archived_at) == ({"a": "b"}, "Default", None)


async def test_there_are_at_most_a_hundred_workspaces_and_archived_ones_do_not_count():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        home = world.app.directory.home
        async with world.app.accounts.change(home, OPERATOR) as change:
            for n in range(MAX_WORKSPACES):
                new = Scope(home.organization_id, f"wrkspc_{n}")
                await add_workspace(change.connection, new, f"W{n}", change.now)
        full = await refusal(world, "POST", PATH, {"name": "One more"})
        await client.organization.workspaces.archive("wrkspc_0")
        assert (await call(world, "POST", PATH, {"name": "One more"}))[0] == 200
    assert full == (400, "The organization has 100 workspaces, and may not have more.")


BAD_BODIES = [
    ({}, "name: Field required"),
    ({"name": ""}, "name: String should have at least 1 character"),
    ({"name": "x" * 256}, "name: String should have at most 255 characters"),
    ({"name": "a\nb"}, r"name: String should match pattern '^[^\x00-\x1f\x7f-\x9f]+$'"),
    ({"name": "x", "display_color": "red"}, "display_color: String should match pattern '^#[0-9A-Fa-f]{6}$'"),
    ({"name": "x", "tags": {"anthropic-team": "a"}}, "tags: Keys may not begin with `anthropic`"),
    ({"name": "x", "tags": {"a": None}}, "tags.a: Input should be a valid string"),
    ({"name": "x", "tags": {"a": "\x00"}}, r"tags.a: String should match pattern '^[^\x00-\x1f\x7f-\x9f]*$'"),
    ({"name": "x", "data_residency": {"workspace_geo": "eu"}}, "data_residency.workspace_geo: Input should be 'us'"),
    (
        {"name": "x", "data_residency": {"allowed_inference_geos": ["eu"]}},
        "data_residency.allowed_inference_geos: Input should be 'unrestricted' or a list of 'global' and 'us'",
    ),
    (
        {"name": "x", "external_key_id": "extkey_x"},
        "external_key_id: encryption keys of your own are not supported by this server yet.",
    ),
    ({"name": "x", "user_profile_id": "u"}, "user_profile_id: user profiles are not supported by this server yet."),
]


async def test_a_wrong_body_is_a_400_that_names_the_field():
    async with World() as world:
        for body, message in BAD_BODIES:
            assert await refusal(world, "POST", PATH, body) == (400, message), body


async def test_tags_stay_few_even_when_they_are_added_one_by_one():
    async with World() as world:
        _, made = await call(world, "POST", PATH, {"name": "x", "tags": {str(n): "" for n in range(50)}})
        refused = await refusal(world, "POST", f"{PATH}/{made['id']}", {"tags": {"one more": ""}})
    assert refused == (400, "tags: a workspace may have at most 50 tags")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("include_archived=x", "include_archived: Input should be a valid boolean, unable to interpret input"),
        ("&".join(["ids[]=a"] * 101), "ids: List should have at most 100 items after validation, not 101"),
        ("after_id=wrkspc_x", "after_id: wrkspc_x was not found"),
        ("limit=1001", "limit: Input should be less than or equal to 1000"),
    ],
)
async def test_a_wrong_query_is_a_400_that_names_the_parameter(query: str, message: str):
    async with World() as world:
        assert await refusal(world, "GET", f"{PATH}?{query}") == (400, message)


async def test_a_workspace_that_is_not_there_or_is_foreign_is_404():
    missing = (404, "Workspace not found.")
    async with World() as world:
        foreign = Scope("org_foreign", "wrkspc_foreign")
        async with world.app.accounts.change(foreign, OPERATOR) as change:
            await add_organization(change.connection, foreign, "Foreign", change.now)
        for workspace_id in ("wrkspc_unknown", "wrkspc_foreign", "%00", "a" * 2000):
            assert await refusal(world, "GET", f"{PATH}/{workspace_id}") == missing
            assert await refusal(world, "POST", f"{PATH}/{workspace_id}", {"name": "Mine"}) == missing
            assert await refusal(world, "POST", f"{PATH}/{workspace_id}/archive") == missing
        _, listed = await call(world, "GET", f"{PATH}?include_default=true&ids[]=wrkspc_foreign")
        assert listed == {"data": [], "has_more": False, "first_id": None, "last_id": None}


async def test_the_audit_tells_who_changed_which_workspace_and_which_keys_went_with_it():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        team = (await client.organization.workspaces.create(name="Team", tags={"a": "b"})).id
        key = await make(world, workspace_id=team)
        await client.organization.workspaces.update(team, name="New")
        await client.organization.workspaces.archive(team)
        lines = await audit(world)
    assert [line[0] for line in lines] == [
        "workspace.created",
        "api_key.created",
        "workspace.updated",
        "workspace.archived",
        "api_key.updated",
    ]
    assert {line[2] for line in lines} == {"127.0.0.1"}
    assert lines[0][3] == {"name": "Team", "tags": {"a": "b"}}
    assert lines[2][3] == {"name": "New"}
    assert lines[4][3] == {"status": "archived", "workspace_id": team}
    assert key["key"] not in str(lines)
