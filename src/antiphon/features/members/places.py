"""Who has a role in a workspace. Whoever has none there has what the role in the organization gives."""

from typing import Any

from sqlalchemy import Row

from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.core.scope import Scope, WorkspaceRole
from antiphon.features.members import store
from antiphon.features.members.service import Object, found
from antiphon.store.accounts import Accounts, Actor, Change
from antiphon.store.connection import AsyncConnection


class WorkspaceMembers:
    """Every method raises 404 for a workspace or a user that there is not."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def list(self, scope: Scope, workspace_id: str) -> list[Object]:
        async with self._accounts.database.read() as connection:
            await _workspace(connection, scope, workspace_id)
            return [_member(row) for row in await store.list_members(connection, scope, workspace_id)]

    async def retrieve(self, scope: Scope, workspace_id: str, user_id: str) -> Object:
        async with self._accounts.database.read() as connection:
            return _member(await _place(connection, scope, workspace_id, user_id))

    async def add(self, scope: Scope, actor: Actor, workspace_id: str, user_id: str, role: WorkspaceRole) -> Object:
        """Raises 400 `already_member`, and 400 for an archived workspace."""
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            workspace = await _workspace(change.connection, scope, workspace_id)
            if workspace.archived_at is not None:
                raise invalid("The workspace is archived.")
            found(await store.find_user(change.connection, scope, user_id), "User")
            await _check_is_new(change, workspace_id, user_id)
            await store.add_member(change.connection, scope, workspace_id, user_id, role, change.now)
            await change.note("workspace_member.added", user_id, workspace_id=workspace_id, role=role)
            return _member(await _place(change.connection, scope, workspace_id, user_id))

    async def update(self, scope: Scope, actor: Actor, workspace_id: str, user_id: str, role: WorkspaceRole) -> Object:
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            place = await _place(change.connection, scope, workspace_id, user_id)
            await store.set_workspace_role(change.connection, scope, workspace_id, user_id, role)
            told = {"workspace_id": workspace_id, "role": role, "old_role": place.workspace_role}
            await change.note("workspace_member.updated", user_id, **told)
        return _member(place) | {"workspace_role": role}

    async def remove(self, scope: Scope, actor: Actor, workspace_id: str, user_id: str) -> Object:
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            await _place(change.connection, scope, workspace_id, user_id)
            await store.remove_member(change.connection, scope, workspace_id, user_id)
            await change.note("workspace_member.removed", user_id, workspace_id=workspace_id)
        return {"type": "workspace_member_deleted", "user_id": user_id, "workspace_id": workspace_id}


async def _workspace(connection: AsyncConnection, scope: Scope, workspace_id: str) -> Row[Any]:
    return found(await store.find_workspace(connection, scope, workspace_id), "Workspace")


async def _place(connection: AsyncConnection, scope: Scope, workspace_id: str, user_id: str) -> Row[Any]:
    await _workspace(connection, scope, workspace_id)
    return found(await store.find_member(connection, scope, workspace_id, user_id), "Workspace member")


async def _check_is_new(change: Change, workspace_id: str, user_id: str) -> None:
    if await store.find_member(change.connection, change.scope, workspace_id, user_id):
        words = f"{user_id} is a member of this workspace already."
        raise ApiError(Kind.INVALID_REQUEST, words, details={"error_code": "already_member"})


def _member(row: Row[Any]) -> Object:
    return {
        "type": "workspace_member",
        "user_id": row.user_id,
        "workspace_id": row.workspace_id,
        "workspace_role": row.workspace_role,
    }
