"""A page of an organization's table, newest first, found by the index on (organization, time, id)."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Column, ColumnElement, Row, select, tuple_

from antiphon.core.errors import invalid
from antiphon.core.scope import Scope
from antiphon.store.connection import AsyncConnection
from antiphon.wire.admin import plain_id


class Wanted(Protocol):
    """The page that is asked for."""

    @property
    def after_id(self) -> str | None: ...
    @property
    def before_id(self) -> str | None: ...
    @property
    def limit(self) -> int: ...


class Part(NamedTuple):
    rows: Sequence[Row[Any]]
    has_more: bool
    """Whether there are more in the direction that was asked for."""


async def list_rows(
    connection: AsyncConnection, scope: Scope, at: Column[float], wanted: Wanted, *filters: ColumnElement[bool]
) -> Part:
    """The page `wanted` of the table that `at` is the time of. Raises 400 for an id that is not there."""
    table = at.table
    query = select(table).where(table.c.organization_id == scope.organization_id, *filters).limit(wanted.limit + 1)
    place = tuple_(at, table.c.id)
    if wanted.before_id:
        start = await _place_of(connection, scope, at, "before_id", wanted.before_id)
        rows = (await connection.execute(query.where(place > start).order_by(at, table.c.id))).all()
        return Part(rows[: wanted.limit][::-1], len(rows) > wanted.limit)
    if wanted.after_id:
        query = query.where(place < await _place_of(connection, scope, at, "after_id", wanted.after_id))
    rows = (await connection.execute(query.order_by(at.desc(), table.c.id.desc()))).all()
    return Part(rows[: wanted.limit], len(rows) > wanted.limit)


async def _place_of(
    connection: AsyncConnection, scope: Scope, at: Column[float], parameter: str, id: str
) -> tuple[float, str]:
    table = at.table
    known = select(at, table.c.id).where(table.c.organization_id == scope.organization_id, table.c.id == plain_id(id))
    row = (await connection.execute(known)).first()
    if row is None:
        raise invalid(f"{parameter}: {id[:100]} was not found")
    return row[0], row[1]
