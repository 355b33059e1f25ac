"""Users, invites and members of workspaces, as the official SDK sees them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anthropic
import pytest
from anthropic.types.organization import OrganizationUser

from antiphon.core.clock import ManualClock
from antiphon.features.audits.service import Audit
from antiphon.features.members.service import INVITE_S, Users
from antiphon.store.accounts import OPERATOR
from tests.fixtures.world import ADMIN_KEY, HEADERS, World

VERSIONS = ("2023-06-01", "2026-10-21")


def admin(world: World, version: str = "2026-10-21") -> anthropic.AsyncAnthropic:
    return world.sdk(api_key=ADMIN_KEY, default_headers={"anthropic-version": version})


async def joined(world: World, email: str, role: Any = "developer") -> str:
    user = await Users(world.app.accounts).add(world.app.directory.home, OPERATOR, email, "A Name", role)
    return user["id"]


async def audited(world: World) -> list[tuple[str, str]]:
    """(action, target), oldest first, without the four lines of the first start."""
    found = await Audit(world.app.database).read(world.app.directory.home, 100)
    return [(line["action"], line["target"]) for line in reversed(found.lines)][4:]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_user_is_retrieved_updated_and_removed(version: str):
    async with World() as world, admin(world, version) as client:
        user_id = await joined(world, "ada@example.com")
        user = await client.organization.users.retrieve(user_id)
        assert (user.id, user.type, user.email, user.name) == (user_id, "user", "ada@example.com", "A Name")
        assert (await client.organization.users.update(user_id, role="billing")).role == "billing"
        assert (await client.organization.users.retrieve(user_id)).role == "billing"
        removed = await client.organization.users.remove(user_id)
        assert (removed.id, removed.type) == (user_id, "user_deleted")
        with pytest.raises(anthropic.NotFoundError, match="User not found"):
            await client.organization.users.retrieve(user_id)
        assert await audited(world) == [
            ("user.added", user_id),
            ("user.updated", user_id),
            ("user.removed", user_id),
        ]


async def test_users_are_listed_newest_first_over_pages_in_both_directions():
    clock = ManualClock()
    async with World(clock=clock) as world, admin(world) as client:
        ids: list[str] = []
        for i in range(5):
            clock.advance(1)
            ids.insert(0, await joined(world, f"user{i}@example.com"))
        assert [user.id async for user in client.organization.users.list(limit=2)] == ids
        page = await client.organization.users.list(before_id=ids[3], limit=2)
        assert [user.id for user in page.data] == ids[1:3]
        assert page.has_more


async def test_users_are_filtered_by_email_in_any_case_and_by_roles():
    async with World() as world, admin(world) as client:
        await joined(world, "ada@example.com", "admin")
        await joined(world, "bob@example.com", "billing")
        await joined(world, "eve@example.com", "user")

        async def emails(**only: Any) -> set[str]:
            found: list[OrganizationUser] = [user async for user in client.organization.users.list(**only)]
            return {user.email for user in found}

        assert await emails(email="ADA@example.com") == {"ada@example.com"}
        assert await emails(roles=["admin", "billing"]) == {"ada@example.com", "bob@example.com"}
        assert await emails(email="ada@example.com", roles=["user"]) == set()
        with pytest.raises(anthropic.BadRequestError, match="roles"):
            await emails(roles=["emperor"])


async def test_the_last_administrator_stays():
    async with World() as world, admin(world) as client:
        first, second = await joined(world, "ada@example.com", "admin"), await joined(world, "bob@example.com", "owner")
        await joined(world, "eve@example.com", "developer")
        await client.organization.users.remove(first)
        with pytest.raises(anthropic.BadRequestError) as raised:
            await client.organization.users.remove(second)
        assert raised.value.error_code == "cannot_remove_last_member"
        with pytest.raises(anthropic.BadRequestError, match="last member who administers"):
            await client.organization.users.update(second, role="user")


@pytest.mark.parametrize("role", ["admin", "owner", "managed", "emperor"])
async def test_the_api_gives_no_administrators_role_away(role: Any):
    async with World() as world, admin(world) as client:
        user_id = await joined(world, "ada@example.com")
        with pytest.raises(anthropic.BadRequestError, match="role: Input should be 'user'"):
            await client.organization.users.update(user_id, role=role)
        with pytest.raises(anthropic.BadRequestError, match="role: Input should be 'user'"):
            await client.organization.invites.create(email="bob@example.com", role=role)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_invite_is_accepted_and_its_user_is_there(version: str):
    async with World(clock=ManualClock()) as world, admin(world, version) as client:
        invite = await client.organization.invites.create(email=" Ada@Example.com", role="developer")
        assert (invite.type, invite.email, invite.role, invite.status) == (
            "invite",
            "ada@example.com",
            "developer",
            "pending",
        )
        assert invite.expires_at - invite.invited_at == timedelta(days=21)
        assert (invite.accepted_at, invite.rbac_group_ids) == (None, [])
        user = await accept(world, invite.id)
        assert (user["email"], user["name"], user["role"]) == ("ada@example.com", "Ada", "developer")
        assert (await client.organization.users.retrieve(user["id"])).email == "ada@example.com"
        again = await client.organization.invites.retrieve(invite.id)
        assert (again.status, again.accepted_at) == ("accepted", again.invited_at)
        assert (await accept(world, invite.id))["error"]["message"] == "The invite cannot be accepted: it is accepted."
        assert [action for action, _ in await audited(world)] == ["invite.created", "user.added", "invite.accepted"]


async def accept(world: World, invite_id: str, **body: Any) -> Any:
    _, answer = await world.post(f"/antiphon/invites/{invite_id}/accept", {"name": "Ada"} | body, **as_admin())
    return answer


def as_admin(version: str = "2023-06-01") -> dict[str, str]:
    return {"x-api-key": ADMIN_KEY, "anthropic-version": version}


async def test_nobody_is_invited_twice_nor_who_is_there():
    async with World() as world, admin(world) as client:
        await joined(world, "ada@example.com")
        with pytest.raises(anthropic.BadRequestError) as raised:
            await client.organization.invites.create(email="ADA@example.com", role="user")
        assert raised.value.error_code == "already_member"
        invite = await client.organization.invites.create(email="bob@example.com", role="user")
        with pytest.raises(anthropic.BadRequestError, match=invite.id) as raised:
            await client.organization.invites.create(email="Bob@example.com", role="user")
        assert raised.value.error_code == "invite_already_exists"


async def test_an_invite_expires_after_21_days_and_can_then_be_sent_again():
    clock = ManualClock()
    async with World(clock=clock) as world, admin(world) as client:
        invite = await client.organization.invites.create(email="ada@example.com", role="user")
        clock.advance(INVITE_S - 1)
        assert (await client.organization.invites.retrieve(invite.id)).status == "pending"
        clock.advance(1)
        assert (await client.organization.invites.retrieve(invite.id)).status == "expired"
        assert (await accept(world, invite.id))["error"]["message"] == "The invite cannot be accepted: it is expired."
        second = await client.organization.invites.create(email="ada@example.com", role="user")
        assert second.id != invite.id


async def test_invites_are_listed_without_deleted_ones_and_filtered_by_status():
    clock = ManualClock()
    async with World(clock=clock) as world, admin(world) as client:
        invites = client.organization.invites
        late = await invites.create(email="late@example.com", role="user")
        clock.advance(INVITE_S)
        taken = await invites.create(email="taken@example.com", role="billing")
        await accept(world, taken.id)
        gone = await invites.create(email="gone@example.com", role="user")
        deleted = await invites.delete(gone.id)
        assert (deleted.id, deleted.type) == (gone.id, "invite_deleted")
        clock.advance(1)
        open_one = await invites.create(email="open@example.com", role="user")

        async def ids(**only: Any) -> set[str]:
            return {invite.id async for invite in invites.list(limit=1, **only)}

        assert await ids() == {late.id, taken.id, open_one.id}
        assert await ids(statuses=["pending"]) == {open_one.id}
        assert await ids(statuses=["accepted", "expired"]) == {late.id, taken.id}
        assert await ids(roles=["billing"]) == {taken.id}
        assert await ids(email="OPEN@example.com") == {open_one.id}
        assert (await invites.retrieve(gone.id)).status == "deleted"
        with pytest.raises(anthropic.NotFoundError):
            await invites.delete(gone.id)
        with pytest.raises(anthropic.BadRequestError, match="remove the user"):
            await invites.delete(taken.id)


@pytest.mark.parametrize("email", ["", "ada", "a b@example.com", "ada@exa\u0000mple.com", "a" * 250 + "@example.com"])
async def test_an_invite_needs_an_address(email: str):
    async with World() as world, admin(world) as client:
        with pytest.raises(anthropic.BadRequestError, match="email: Input should be"):
            await client.organization.invites.create(email=email, role="user")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_workspace_member_is_added_changed_and_removed(version: str):
    async with World() as world, admin(world, version) as client:
        workspace = await client.organization.workspaces.create(name="One")
        user_id, members = await joined(world, "ada@example.com"), client.organization.workspaces.members
        member = await members.add(workspace.id, user_id=user_id, workspace_role="workspace_developer")
        assert member.model_dump() == {
            "type": "workspace_member",
            "user_id": user_id,
            "workspace_id": workspace.id,
            "workspace_role": "workspace_developer",
        }
        assert await members.retrieve(user_id, workspace_id=workspace.id) == member
        with pytest.raises(anthropic.BadRequestError) as raised:
            await members.add(workspace.id, user_id=user_id, workspace_role="workspace_user")
        assert raised.value.error_code == "already_member"
        changed = await members.update(user_id, workspace_id=workspace.id, workspace_role="workspace_billing")
        assert changed.workspace_role == "workspace_billing"
        removed = await members.remove(user_id, workspace_id=workspace.id)
        assert (removed.type, removed.user_id, removed.workspace_id) == (
            "workspace_member_deleted",
            user_id,
            workspace.id,
        )
        with pytest.raises(anthropic.NotFoundError, match="Workspace member not found"):
            await members.retrieve(user_id, workspace_id=workspace.id)
        assert [action for action, target in await audited(world) if target == user_id] == [
            "user.added",
            "workspace_member.added",
            "workspace_member.updated",
            "workspace_member.removed",
        ]


async def test_workspace_members_come_in_pages_and_only_the_workspaces_own():
    clock = ManualClock()
    async with World(clock=clock) as world, admin(world) as client:
        one = await client.organization.workspaces.create(name="One")
        other = await client.organization.workspaces.create(name="Other")
        members = client.organization.workspaces.members
        ids: list[str] = []
        for i in range(3):
            clock.advance(1)
            ids.insert(0, await joined(world, f"user{i}@example.com"))
            await members.add(one.id, user_id=ids[0], workspace_role="workspace_user")
        await members.add(other.id, user_id=ids[1], workspace_role="workspace_admin")
        first = await members.list(one.id, limit=2)
        assert [member.user_id for member in first.data] == ids[:2]
        assert (first.has_more, first.first_id, first.last_id) == (True, ids[0], ids[1])
        assert [member.user_id async for member in members.list(one.id, limit=2)] == ids
        assert [member.user_id async for member in members.list(other.id)] == [ids[1]]


async def test_nobody_is_added_to_an_archived_workspace_or_as_its_billing_member():
    async with World() as world, admin(world) as client:
        workspace, user_id = await client.organization.workspaces.create(name="One"), await joined(world, "a@b.c")
        members = client.organization.workspaces.members
        with pytest.raises(anthropic.BadRequestError, match="workspace_role: Input should be"):
            await members.add(workspace.id, user_id=user_id, workspace_role="workspace_billing")  # type: ignore[arg-type]
        with pytest.raises(anthropic.NotFoundError, match="User not found"):
            await members.add(workspace.id, user_id="user_nobody", workspace_role="workspace_user")
        await client.organization.workspaces.archive(workspace.id)
        with pytest.raises(anthropic.BadRequestError, match="archived"):
            await members.add(workspace.id, user_id=user_id, workspace_role="workspace_user")


async def test_the_audit_can_be_read_page_by_page():
    async with World() as world, admin(world):
        ids = [await joined(world, f"user{i}@example.com") for i in range(5)]
        found: list[Any] = []
        query = "?limit=2"
        while query:
            async with world.http.get(f"/antiphon/audit{query}", headers=HEADERS | as_admin()) as reply:
                page = await reply.json()
            found += page["data"]
            query = f"?limit=2&page={page['next_page']}" if page["next_page"] else ""
    assert [line["target"] for line in found[:5]] == ids[::-1]
    first = ["api_key.created", "api_key.created", "workspace.created", "organization.created"]
    assert [line["action"] for line in found[5:]] == first
    assert found[0] | {"at": ""} == {
        "id": 9,
        "type": "audit_line",
        "at": "",
        "actor": "operator",
        "address": None,
        "action": "user.added",
        "target": ids[-1],
        "details": {"email": "user4@example.com", "role": "developer"},
    }


@pytest.mark.parametrize("page", ["x", "W10", "bnVsbA", "WzFlMzAwLCIiXQ", "%00", "\N{SNOWMAN}"])
async def test_a_cursor_that_no_reply_has_given_is_refused(page: str):
    async with World() as world:
        async with world.http.get("/antiphon/audit", params={"page": page}, headers=HEADERS | as_admin()) as reply:
            assert reply.status == 400
            assert "page" in (await reply.json())["error"]["message"]
