"""The names behind the ids that reports show."""

from sqlalchemy import Column, select

from antiphon.core.scope import Scope
from antiphon.store.connection import AsyncConnection
from antiphon.store.tables import api_keys, users, workspaces


async def default_workspace(connection: AsyncConnection, scope: Scope) -> str:
    """The id of the organization's default workspace."""
    of_organization = workspaces.c.organization_id == scope.organization_id
    query = select(workspaces.c.id).where(of_organization, workspaces.c.is_default)
    return (await connection.execute(query)).scalar_one()


async def names_of_workspaces(connection: AsyncConnection, scope: Scope) -> dict[str, str]:
    """By their ids."""
    return await _by_id(connection, scope, workspaces.c.name)


async def names_of_keys(connection: AsyncConnection, scope: Scope) -> dict[str, str]:
    """By their ids."""
    return await _by_id(connection, scope, api_keys.c.name)


async def emails_of_users(connection: AsyncConnection, scope: Scope) -> dict[str, str]:
    """By their ids."""
    return await _by_id(connection, scope, users.c.email)


async def _by_id(connection: AsyncConnection, scope: Scope, column: Column[str]) -> dict[str, str]:
    table = column.table
    query = select(table.c.id, column).where(table.c.organization_id == scope.organization_id)
    return {row.id: row[1] for row in await connection.execute(query)}
