"""Workspaces in the database, and the organization that they are of."""

import json
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, update

from antiphon.core.scope import Scope
from antiphon.store import tables
from antiphon.store.accounts import add_workspace
from antiphon.store.connection import AsyncConnection
from antiphon.store.listing import Part, Wanted, list_rows
from antiphon.wire.admin import WorkspaceFilter

_workspaces = tables.workspaces


async def organization_of(connection: AsyncConnection, scope: Scope) -> Row[Any]:
    return (await connection.execute(_the_organization(scope))).one()


async def hold_organization(connection: AsyncConnection, scope: Scope) -> None:
    """Nobody else makes a workspace in it before the transaction ends."""
    await connection.execute(_the_organization(scope).with_for_update())


def _the_organization(scope: Scope) -> Select[Any]:
    return select(tables.organizations).where(tables.organizations.c.id == scope.organization_id)


async def find_workspace(connection: AsyncConnection, scope: Scope, workspace_id: str) -> Row[Any] | None:
    return (await connection.execute(_the_workspace(scope, workspace_id))).first()


async def hold_workspace(connection: AsyncConnection, scope: Scope, workspace_id: str) -> Row[Any] | None:
    """The same, and nobody else changes it, or makes keys in it, before the transaction ends."""
    return (await connection.execute(_the_workspace(scope, workspace_id).with_for_update())).first()


def _the_workspace(scope: Scope, workspace_id: str) -> Select[Any]:
    mine = (_workspaces.c.organization_id == scope.organization_id, _workspaces.c.id == workspace_id)
    return select(_workspaces).where(*mine)


async def list_workspaces(connection: AsyncConnection, scope: Scope, wanted: Wanted, only: WorkspaceFilter) -> Part:
    return await list_rows(connection, scope, _workspaces.c.created_at, wanted, *_conditions(only))


def _conditions(only: WorkspaceFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if not only.include_archived:
        found.append(_workspaces.c.archived_at.is_(None))
    if not only.include_default:
        found.append(~_workspaces.c.is_default)
    if only.ids is not None:
        found.append(_workspaces.c.id.in_(only.ids))
    return found


async def num_workspaces(connection: AsyncConnection, scope: Scope) -> int:
    """How many the organization has, beside its default one and those that are archived."""
    query = select(func.count()).where(_workspaces.c.organization_id == scope.organization_id)
    return (await connection.execute(query.where(*_conditions(WorkspaceFilter())))).scalar_one()


async def make_workspace(connection: AsyncConnection, scope: Scope, now: float, **values: Any) -> None:
    """Make the workspace that `scope` names; an object becomes JSON."""
    await add_workspace(connection, scope, now=now, **_texts(values))


async def change_workspace(connection: AsyncConnection, scope: Scope, workspace_id: str, **values: Any) -> None:
    """Set columns; an object becomes JSON."""
    mine = (_workspaces.c.organization_id == scope.organization_id, _workspaces.c.id == workspace_id)
    await connection.execute(update(_workspaces).where(*mine).values(**_texts(values)))


def _texts(values: dict[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in values.items()}


async def archive_keys(connection: AsyncConnection, scope: Scope, workspace_id: str) -> list[str]:
    """Archive the workspace's keys; the ids of those that were not archived yet."""
    keys = tables.api_keys
    mine = (keys.c.organization_id == scope.organization_id, keys.c.workspace_id == workspace_id)
    archive = update(keys).where(*mine, keys.c.status != "archived").values(status="archived")
    return list((await connection.execute(archive.returning(keys.c.id))).scalars())
