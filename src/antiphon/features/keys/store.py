"""Keys in the database."""

import json
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, insert, or_, select, update

from antiphon.core.ids import new_id
from antiphon.core.scope import Scope
from antiphon.store import tables
from antiphon.store.connection import AsyncConnection
from antiphon.store.listing import Part, Wanted, list_rows
from antiphon.wire.admin import KeyFilter

_keys = tables.api_keys


async def find_key(connection: AsyncConnection, scope: Scope, key_id: str) -> Row[Any] | None:
    return (await connection.execute(_the_key(scope, key_id))).first()


async def hold_key(connection: AsyncConnection, scope: Scope, key_id: str) -> Row[Any] | None:
    """The same, and nobody else changes it before the transaction ends."""
    return (await connection.execute(_the_key(scope, key_id).with_for_update())).first()


def _the_key(scope: Scope, key_id: str) -> Select[Any]:
    return select(_keys).where(_keys.c.organization_id == scope.organization_id, _keys.c.id == key_id)


async def list_keys(connection: AsyncConnection, scope: Scope, wanted: Wanted, only: KeyFilter, now: float) -> Part:
    return await list_rows(connection, scope, _keys.c.created_at, wanted, *_conditions(only, now))


def _conditions(only: KeyFilter, now: float) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if only.status:
        found.append(_has_status(only.status, now))
    if only.created_by_user_id is not None:
        found.append(_keys.c.created_by == only.created_by_user_id)
    if only.workspace_id is not None:
        found.append(and_(_keys.c.workspace_id == only.workspace_id, _keys.c.kind == "api"))
    return found


def _has_status(status: str, now: float) -> ColumnElement[bool]:
    if status == "archived":
        return _keys.c.status == status
    if status == "expired":
        return and_(_keys.c.status != "archived", _keys.c.expires_at <= now)
    return and_(_keys.c.status == status, or_(_keys.c.expires_at.is_(None), _keys.c.expires_at > now))


async def change_key(connection: AsyncConnection, scope: Scope, key_id: str, **values: Any) -> None:
    """Set columns; a list becomes JSON."""
    texts = {name: json.dumps(value) if isinstance(value, list) else value for name, value in values.items()}
    mine = (_keys.c.organization_id == scope.organization_id, _keys.c.id == key_id)
    await connection.execute(update(_keys).where(*mine).values(**texts))


async def copy_limits(connection: AsyncConnection, scope: Scope, old_id: str, key_id: str) -> None:
    """Give the key `key_id` the rate limits and the spend limit of `old_id`."""
    for table, new in ((tables.rate_limits, dict[str, Any]()), (tables.spend_limits, {"id": new_id("spl")})):
        of_old = (table.c.party_kind == "key", table.c.party_id == old_id)
        query = select(table).where(table.c.organization_id == scope.organization_id, *of_old)
        for row in (await connection.execute(query)).mappings():
            await connection.execute(insert(table).values(dict(row) | new | {"party_id": key_id}))


async def hold_workspace(connection: AsyncConnection, scope: Scope, workspace_id: str) -> Row[Any] | None:
    """The workspace, which is not archived before the transaction ends."""
    workspaces = tables.workspaces
    mine = (workspaces.c.organization_id == scope.organization_id, workspaces.c.id == workspace_id)
    return (await connection.execute(select(workspaces).where(*mine).with_for_update())).first()


async def is_member(connection: AsyncConnection, scope: Scope, user_id: str) -> bool:
    users = tables.users
    mine = (users.c.organization_id == scope.organization_id, users.c.id == user_id)
    return (await connection.execute(select(users.c.id).where(*mine))).first() is not None
