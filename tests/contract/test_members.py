"""Users, invites and members of workspaces on both databases."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import Select, select

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.core.scope import Member, Scope
from antiphon.core.secrets import digest, new_key
from antiphon.features.members.places import WorkspaceMembers
from antiphon.features.members.service import INVITE_S, Invites, Users
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR, Actor, NewKey, add_key, add_organization
from antiphon.web.pages import Page
from antiphon.wire.members import InviteFilter, UserFilter
from tests.fixtures.databases import BACKENDS, SECRET, Books, books

pytestmark = pytest.mark.parametrize("backend", BACKENDS)

SECOND = Scope("org_second", "wrkspc_second")
ALL = Page(None, None, 1000)


def own_lines() -> Select[Any]:
    """The audit, without the lines of the first start."""
    audit = tables.audit
    return select(audit).where(audit.c.action.like("%user.%") | audit.c.action.like("%member.%")).order_by(audit.c.id)


async def settle(own: Books) -> None:
    async with own.accounts.change(SECOND, OPERATOR) as change:
        await add_organization(change.connection, SECOND, "Second", change.now)


async def refusal(work: Any) -> tuple[int, str, str | None]:
    with pytest.raises(ApiError) as raised:
        await work
    error = raised.value
    return error.kind.status, error.message, (error.details or {}).get("error_code")


async def test_a_member_of_another_organization_is_as_unknown_as_one_who_never_was(backend: str):
    async with books(backend) as own:
        await settle(own)
        users, invites, members = Users(own.accounts), Invites(own.accounts), WorkspaceMembers(own.accounts)
        theirs = await users.add(SECOND, OPERATOR, "ada@example.com", "Ada", "admin")
        invite = await invites.create(SECOND, OPERATOR, "bob@example.com", "user")
        await members.add(SECOND, OPERATOR, SECOND.workspace_id, theirs["id"], "workspace_admin")
        home = own.scope.workspace_id
        for user_id, invite_id, workspace_id in (
            (theirs["id"], invite["id"], SECOND.workspace_id),
            ("user_x", "invite_x", "wrkspc_x"),
        ):
            for work, words in (
                (users.retrieve(own.scope, user_id), "User"),
                (users.update(own.scope, OPERATOR, user_id, "user"), "User"),
                (users.remove(own.scope, OPERATOR, user_id), "User"),
                (invites.retrieve(own.scope, invite_id, 0), "Invite"),
                (invites.accept(own.scope, OPERATOR, invite_id, "Eve"), "Invite"),
                (invites.delete(own.scope, OPERATOR, invite_id), "Invite"),
                (members.list(own.scope, workspace_id), "Workspace"),
                (members.add(own.scope, OPERATOR, home, user_id, "workspace_user"), "User"),
                (members.remove(own.scope, OPERATOR, workspace_id, user_id), "Workspace"),
                (members.retrieve(own.scope, home, user_id), "Workspace member"),
            ):
                assert await refusal(work) == (404, f"{words} not found.", None)
        assert (await users.list(own.scope, ALL, UserFilter()))["data"] == []
        assert (await invites.list(own.scope, ALL, InviteFilter(), 0))["data"] == []
        assert (await users.retrieve(SECOND, theirs["id"]))["role"] == "admin"


async def test_one_address_may_belong_to_two_organizations(backend: str):
    async with books(backend) as own:
        await settle(own)
        for scope in (own.scope, SECOND):
            user = await Users(own.accounts).add(scope, OPERATOR, "ada@example.com", "Ada", "user")
            assert (await Users(own.accounts).retrieve(scope, user["id"]))["email"] == "ada@example.com"


async def test_the_keys_of_who_is_removed_go_on_as_nobodys(backend: str):
    async with books(backend) as own:
        user = await Users(own.accounts).add(own.scope, OPERATOR, "ada@example.com", "Ada", "developer")
        members = WorkspaceMembers(own.accounts)
        await members.add(own.scope, OPERATOR, own.scope.workspace_id, user["id"], "workspace_user")
        key = new_key("api")
        async with own.accounts.change(own.scope, OPERATOR) as change:
            new = NewKey("api", "Ada's", digest(SECRET.pepper, key), "...", created_by=user["id"])
            await add_key(change.connection, own.scope, new, change.now)
        holder = own.directory.holder_of(key)
        assert holder
        assert holder.member == Member(user["id"], "developer", "workspace_user")
        await Users(own.accounts).remove(own.scope, OPERATOR, user["id"])
        holder = own.directory.holder_of(key)
        assert holder
        assert holder.member == Member(user["id"], None, None)
        assert await members.list(own.scope, own.scope.workspace_id) == []


async def test_a_key_that_a_role_refused_does_not_come_to_life_when_its_member_goes(backend: str):
    async with books(backend) as own:
        users, members = Users(own.accounts), WorkspaceMembers(own.accounts)
        place = own.scope.workspace_id
        await users.add(own.scope, OPERATOR, "first@example.com", "First", "owner")
        ids: dict[str, str] = {}
        for name, role, workspace_role, kind in (
            ("billing", "billing", None, "api"),
            ("limited", "developer", "workspace_billing", "api"),
            ("reader", "billing", None, "admin"),
            ("caller", "user", "workspace_developer", "api"),
            ("boss", "admin", None, "api"),
            ("second boss", "admin", None, "admin"),
        ):
            email = f"{name.replace(' ', '.')}@example.com"
            user = await users.add(own.scope, OPERATOR, email, name, role)  # type: ignore[arg-type]
            if workspace_role:
                await members.add(own.scope, OPERATOR, place, user["id"], workspace_role)  # type: ignore[arg-type]
            async with own.accounts.change(own.scope, OPERATOR) as change:
                new = NewKey(kind, name, digest(SECRET.pepper, name), "...", created_by=user["id"])  # type: ignore[arg-type]
                ids[name] = await add_key(change.connection, own.scope, new, change.now)
            await users.remove(own.scope, Actor("apikey_a"), user["id"])
        async with own.database.read() as connection:
            statuses = dict((await connection.execute(select(tables.api_keys.c.name, tables.api_keys.c.status))).all())
            noted = select(tables.audit).where(tables.audit.c.action == "api_key.updated")
            lines = (await connection.execute(noted)).all()
        refused = {"billing", "limited", "reader"}
        assert {name for name in ids if statuses[name] == "inactive"} == refused
        assert {name for name in ids if own.directory.holder_of(name) is None} == refused
    assert {(line.actor, line.target) for line in lines} == {("apikey_a", ids[name]) for name in refused}
    assert {json.loads(line.details)["status"] for line in lines} == {"inactive"}


async def test_a_new_role_is_known_to_the_directory_at_once(backend: str):
    async with books(backend, ManualClock()) as own:
        user = await Users(own.accounts).add(own.scope, OPERATOR, "ada@example.com", "Ada", "developer")
        key = new_key("api")
        async with own.accounts.change(own.scope, OPERATOR) as change:
            new = NewKey("api", "Ada's", digest(SECRET.pepper, key), "...", created_by=user["id"])
            await add_key(change.connection, own.scope, new, change.now)
        await Users(own.accounts).update(own.scope, OPERATOR, user["id"], "billing")
        holder = own.directory.holder_of(key)
        assert holder
        assert holder.member == Member(user["id"], "billing", None)


async def test_of_two_administrators_who_are_removed_at_once_one_stays(backend: str):
    async with books(backend) as own:
        users = Users(own.accounts)
        ids = [(await users.add(own.scope, OPERATOR, f"{n}@example.com", n, "admin"))["id"] for n in "abcd"]
        ended = await asyncio.gather(
            *[users.remove(own.scope, OPERATOR, user_id) for user_id in ids], return_exceptions=True
        )
        assert sum(isinstance(one, ApiError) for one in ended) == 1
        assert len((await users.list(own.scope, ALL, UserFilter()))["data"]) == 1


async def test_of_many_invites_to_one_address_one_is_made(backend: str):
    async with books(backend) as own:
        invites = Invites(own.accounts)
        wishes = [invites.create(own.scope, OPERATOR, "ada@example.com", "user") for _ in range(4)]
        ended = await asyncio.gather(*wishes, return_exceptions=True)
        assert sum(isinstance(one, ApiError) for one in ended) == 3
        assert len((await invites.list(own.scope, ALL, InviteFilter(), 0))["data"]) == 1


async def test_an_invite_is_accepted_once(backend: str):
    async with books(backend) as own:
        invites = Invites(own.accounts)
        invite = await invites.create(own.scope, OPERATOR, "ada@example.com", "user")
        wishes = [invites.accept(own.scope, OPERATOR, invite["id"], "Ada") for _ in range(3)]
        ended = await asyncio.gather(*wishes, return_exceptions=True)
        assert sum(isinstance(one, ApiError) for one in ended) == 2
        assert len((await Users(own.accounts).list(own.scope, ALL, UserFilter()))["data"]) == 1


async def test_a_late_invite_is_expired_for_lists_and_for_who_accepts(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        invites = Invites(own.accounts)
        invite = await invites.create(own.scope, OPERATOR, "ada@example.com", "user")
        clock.advance(INVITE_S)
        page = await invites.list(own.scope, ALL, InviteFilter(statuses=["expired"]), clock.now())
        assert [one["id"] for one in page["data"]] == [invite["id"]]
        status, words, _ = await refusal(invites.accept(own.scope, OPERATOR, invite["id"], "Ada"))
        assert (status, words) == (400, "The invite cannot be accepted: it is expired.")


async def test_every_change_leaves_a_line_that_says_who_and_from_where(backend: str):
    async with books(backend) as own:
        actor = Actor("apikey_a", "10.0.0.1")
        users, members = Users(own.accounts), WorkspaceMembers(own.accounts)
        user_id = (await users.add(own.scope, actor, "ada@example.com", "Ada", "user"))["id"]
        place = own.scope.workspace_id
        await users.update(own.scope, actor, user_id, "billing")
        await members.add(own.scope, actor, place, user_id, "workspace_user")
        await members.update(own.scope, actor, place, user_id, "workspace_admin")
        await members.remove(own.scope, actor, place, user_id)
        await users.remove(own.scope, actor, user_id)
        async with own.database.read() as connection:
            rows = (await connection.execute(own_lines())).all()
    assert {(row.actor, row.address, row.target, row.organization_id) for row in rows} == {
        ("apikey_a", "10.0.0.1", user_id, own.scope.organization_id)
    }
    assert [(row.action, json.loads(row.details)) for row in rows] == [
        ("user.added", {"email": "ada@example.com", "role": "user"}),
        ("user.updated", {"role": "billing", "old_role": "user"}),
        ("workspace_member.added", {"workspace_id": place, "role": "workspace_user"}),
        (
            "workspace_member.updated",
            {"workspace_id": place, "role": "workspace_admin", "old_role": "workspace_user"},
        ),
        ("workspace_member.removed", {"workspace_id": place}),
        ("user.removed", {"email": "ada@example.com"}),
    ]


async def test_what_is_refused_leaves_no_line(backend: str):
    async with books(backend) as own:
        await refusal(Users(own.accounts).remove(own.scope, OPERATOR, "user_x"))
        async with own.database.read() as connection:
            assert not (await connection.execute(own_lines())).all()
