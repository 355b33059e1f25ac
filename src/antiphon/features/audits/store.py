"""The audit in SQL. It only ever grows: the database itself refuses all else."""

from typing import Any

from sqlalchemy import Row, select

from antiphon.core.scope import Scope
from antiphon.store.connection import AsyncConnection
from antiphon.store.tables import audit


async def list_lines(
    connection: AsyncConnection, scope: Scope, limit: int, *, before: int | None = None, since: float | None = None
) -> list[Row[Any]]:
    """The newest first: those with a number under `before`, and not older than `since`."""
    query = select(audit).where(audit.c.organization_id == scope.organization_id)
    if before is not None:
        query = query.where(audit.c.id < before)
    if since is not None:
        query = query.where(audit.c.at >= since)
    return list(await connection.execute(query.order_by(audit.c.id.desc()).limit(limit)))
