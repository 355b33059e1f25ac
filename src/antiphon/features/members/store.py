"""Users, invites and members of workspaces, in SQL."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, or_, select, update

from antiphon.core.ids import new_id
from antiphon.core.scope import OrganizationRole, Scope
from antiphon.store.connection import AsyncConnection
from antiphon.store.listing import Part, Wanted, list_rows
from antiphon.store.tables import api_keys, invites, organizations, users, workspace_members, workspaces
from antiphon.wire.members import InviteFilter, UserFilter


async def hold_organization(connection: AsyncConnection, scope: Scope) -> None:
    """Who belongs to the organization is changed by one at a time: rules look at all of its members."""
    query = select(organizations.c.id).where(organizations.c.id == scope.organization_id)
    await connection.execute(query.with_for_update(key_share=True))


async def list_users(connection: AsyncConnection, scope: Scope, wanted: Wanted, only: UserFilter) -> Part:
    found: list[ColumnElement[bool]] = []
    if only.email is not None:
        found.append(users.c.email == only.email)
    if only.roles:
        found.append(users.c.role.in_(only.roles))
    return await list_rows(connection, scope, users.c.added_at, wanted, *found)


async def roles_of(connection: AsyncConnection, scope: Scope) -> list[tuple[str, OrganizationRole]]:
    """(id, role) of every user."""
    query = select(users.c.id, users.c.role).where(users.c.organization_id == scope.organization_id)
    return [(user_id, role) for user_id, role in await connection.execute(query)]


async def find_user(connection: AsyncConnection, scope: Scope, user_id: str) -> Row[Any] | None:
    query = select(users).where(users.c.organization_id == scope.organization_id, users.c.id == user_id)
    return (await connection.execute(query)).first()


async def find_user_by_email(connection: AsyncConnection, scope: Scope, email: str) -> Row[Any] | None:
    query = select(users).where(users.c.organization_id == scope.organization_id, users.c.email == email)
    return (await connection.execute(query)).first()


async def add_user(connection: AsyncConnection, scope: Scope, email: str, name: str, role: str, now: float) -> str:
    """The new user's id."""
    user_id = new_id("user")
    values = {"id": user_id, "email": email, "name": name, "role": role, "added_at": now}
    await connection.execute(insert(users).values(organization_id=scope.organization_id, **values))
    return user_id


async def set_role(connection: AsyncConnection, scope: Scope, user_id: str, role: str) -> None:
    mine = and_(users.c.organization_id == scope.organization_id, users.c.id == user_id)
    await connection.execute(update(users).where(mine).values(role=role))


async def remove_user(connection: AsyncConnection, scope: Scope, user_id: str) -> None:
    """With their places in workspaces; their keys stay."""
    mine = and_(users.c.organization_id == scope.organization_id, users.c.id == user_id)
    await connection.execute(delete(users).where(mine))


async def keys_of(connection: AsyncConnection, scope: Scope, user_id: str) -> Sequence[Row[Any, Any, Any]]:
    """(id, kind, workspace_role) of the user's active keys, held until the transaction ends."""
    members = workspace_members.c
    place = and_(members.user_id == user_id, members.workspace_id == api_keys.c.workspace_id)
    query = (
        select(api_keys.c.id, api_keys.c.kind, members.workspace_role)
        .outerjoin(workspace_members, place)
        .where(api_keys.c.organization_id == scope.organization_id, api_keys.c.created_by == user_id)
        .where(api_keys.c.status == "active")
        .order_by(api_keys.c.id)
    )
    return (await connection.execute(query.with_for_update(of=api_keys))).all()


async def deactivate_key(connection: AsyncConnection, scope: Scope, key_id: str) -> None:
    mine = and_(api_keys.c.organization_id == scope.organization_id, api_keys.c.id == key_id)
    await connection.execute(update(api_keys).where(mine).values(status="inactive"))


async def list_invites(
    connection: AsyncConnection, scope: Scope, wanted: Wanted, only: InviteFilter, now: float
) -> Part:
    """Deleted ones are not listed."""
    statuses = only.statuses or _LISTED
    found = [or_(*(_has_status(status, now) for status in statuses))]
    if only.email is not None:
        found.append(invites.c.email == only.email)
    if only.roles:
        found.append(invites.c.role.in_(only.roles))
    return await list_rows(connection, scope, invites.c.invited_at, wanted, *found)


_LISTED = ("pending", "accepted", "expired")


def _has_status(status: str, now: float) -> ColumnElement[bool]:
    if status == "accepted":
        return invites.c.status == status
    is_late = invites.c.expires_at <= now if status == "expired" else invites.c.expires_at > now
    return and_(invites.c.status == "pending", is_late)


async def find_invite(connection: AsyncConnection, scope: Scope, invite_id: str) -> Row[Any] | None:
    query = select(invites).where(invites.c.organization_id == scope.organization_id, invites.c.id == invite_id)
    return (await connection.execute(query)).first()


async def find_open_invite(connection: AsyncConnection, scope: Scope, email: str, now: float) -> Row[Any] | None:
    mine = and_(invites.c.organization_id == scope.organization_id, invites.c.email == email)
    return (await connection.execute(select(invites).where(mine, _has_status("pending", now)))).first()


async def add_invite(
    connection: AsyncConnection, scope: Scope, email: str, role: str, now: float, expires_at: float
) -> str:
    """The new invite's id."""
    invite_id = new_id("invite")
    values = {"id": invite_id, "email": email, "role": role, "invited_at": now, "expires_at": expires_at}
    await connection.execute(insert(invites).values(organization_id=scope.organization_id, status="pending", **values))
    return invite_id


async def end_invite(
    connection: AsyncConnection, scope: Scope, invite_id: str, status: str, accepted_at: float | None = None
) -> None:
    mine = and_(invites.c.organization_id == scope.organization_id, invites.c.id == invite_id)
    await connection.execute(update(invites).where(mine).values(status=status, accepted_at=accepted_at))


async def find_workspace(connection: AsyncConnection, scope: Scope, workspace_id: str) -> Row[Any] | None:
    mine = and_(workspaces.c.organization_id == scope.organization_id, workspaces.c.id == workspace_id)
    return (await connection.execute(select(workspaces).where(mine))).first()


async def list_members(connection: AsyncConnection, scope: Scope, workspace_id: str) -> list[Row[Any]]:
    """Newest first."""
    members = workspace_members.c
    mine = and_(members.organization_id == scope.organization_id, members.workspace_id == workspace_id)
    query = select(workspace_members).where(mine).order_by(members.added_at.desc(), members.user_id.desc())
    return list(await connection.execute(query))


async def find_member(connection: AsyncConnection, scope: Scope, workspace_id: str, user_id: str) -> Row[Any] | None:
    found = select(workspace_members).where(_member(scope, workspace_id, user_id))
    return (await connection.execute(found)).first()


async def add_member(
    connection: AsyncConnection, scope: Scope, workspace_id: str, user_id: str, role: str, now: float
) -> None:
    values = {"workspace_id": workspace_id, "user_id": user_id, "workspace_role": role, "added_at": now}
    await connection.execute(insert(workspace_members).values(organization_id=scope.organization_id, **values))


async def set_workspace_role(
    connection: AsyncConnection, scope: Scope, workspace_id: str, user_id: str, role: str
) -> None:
    mine = _member(scope, workspace_id, user_id)
    await connection.execute(update(workspace_members).where(mine).values(workspace_role=role))


async def remove_member(connection: AsyncConnection, scope: Scope, workspace_id: str, user_id: str) -> None:
    await connection.execute(delete(workspace_members).where(_member(scope, workspace_id, user_id)))


def _member(scope: Scope, workspace_id: str, user_id: str) -> ColumnElement[bool]:
    members = workspace_members.c
    place = and_(members.workspace_id == workspace_id, members.user_id == user_id)
    return and_(members.organization_id == scope.organization_id, place)
