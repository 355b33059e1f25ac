"""Batches in the database, as their workspace sees them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select, update

from antiphon.core.errors import invalid
from antiphon.core.scope import Scope
from antiphon.store import tables
from antiphon.store.connection import AsyncConnection
from antiphon.store.listing import Part, Wanted, list_rows
from antiphon.wire.admin import plain_id
from antiphon.wire.batch import NewItem

_batches, _items, _results = tables.batches, tables.batch_items, tables.batch_results
HIDDEN = ("creating", "deleted")
COUNTS = ("succeeded", "errored", "canceled", "expired")


async def begin_batch(connection: AsyncConnection, scope: Scope, batch_id: str, now: float, **author: Any) -> None:
    """Make a batch that nobody sees yet."""
    counts = dict.fromkeys([f"num_{name}" for name in ("requests", *COUNTS)], 0)
    owner = {"organization_id": scope.organization_id, "workspace_id": scope.workspace_id}
    values = {"id": batch_id, "state": "creating", "created_at": now, "expires_at": now} | counts | owner | author
    await connection.execute(insert(_batches).values(**values))


async def add_items(connection: AsyncConnection, batch_id: str, items: Sequence[NewItem]) -> None:
    values = [
        {
            "batch_id": batch_id,
            "place": item.place,
            "custom_id": item.custom_id,
            "request": item.text,
            "lease_until": 0.0,
            "num_attempts": 0,
        }
        for item in items
    ]
    await connection.execute(insert(_items), values)


async def find_batch(connection: AsyncConnection, scope: Scope, batch_id: str) -> Row[Any] | None:
    return (await connection.execute(select(_batches).where(*_the_batch(scope, batch_id)))).first()


async def hold_batch(connection: AsyncConnection, scope: Scope, batch_id: str) -> Row[Any] | None:
    """The same, and nobody else changes it before the transaction ends."""
    query = select(_batches).where(*_the_batch(scope, batch_id)).with_for_update()
    return (await connection.execute(query)).first()


def _the_batch(scope: Scope, batch_id: str) -> tuple[ColumnElement[bool], ...]:
    return (*_of_workspace(scope), _batches.c.id == batch_id)


def _of_workspace(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    return (
        _batches.c.organization_id == scope.organization_id,
        _batches.c.workspace_id == scope.workspace_id,
        _batches.c.state.not_in(HIDDEN),
    )


async def list_batches(connection: AsyncConnection, scope: Scope, wanted: Wanted) -> Part:
    """Newest first. Raises 400 for a place that is no batch of the workspace."""
    for parameter in ("after_id", "before_id"):
        batch_id = getattr(wanted, parameter)
        if batch_id and await find_batch(connection, scope, plain_id(batch_id)) is None:
            raise invalid(f"{parameter}: {batch_id[:100]} was not found")
    return await list_rows(connection, scope, _batches.c.created_at, wanted, *_of_workspace(scope)[1:])


async def change_batch(connection: AsyncConnection, scope: Scope, batch_id: str, **values: Any) -> None:
    mine = (_batches.c.organization_id == scope.organization_id, _batches.c.workspace_id == scope.workspace_id)
    await connection.execute(update(_batches).where(*mine, _batches.c.id == batch_id).values(**values))


async def read_results(
    connection: AsyncConnection, scope: Scope, batch_id: str, after: str, limit: int
) -> Sequence[Any]:
    """The next results behind the custom_id `after`; none of a batch that was deleted meanwhile."""
    query = select(_results.c.custom_id, _results.c.kind, _results.c.line).join(
        _batches, _batches.c.id == _results.c.batch_id
    )
    query = query.where(*_the_batch(scope, batch_id), _results.c.batch_id == batch_id, _results.c.custom_id > after)
    return (await connection.execute(query.order_by(_results.c.custom_id).limit(limit))).all()
