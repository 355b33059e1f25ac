"""Who changed what, when, and from where."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row

from antiphon.core.clock import rfc3339
from antiphon.core.scope import Scope
from antiphon.features.audits import store
from antiphon.store.db import Database

Object = dict[str, Any]


class Lines(NamedTuple):
    """Newest first. `next` is the number under which the others lie; None where there are none."""

    lines: Sequence[Object]
    next: int | None


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, scope: Scope, limit: int, *, before: int | None = None, since: float | None = None) -> Lines:
        async with self._database.read() as connection:
            rows = await store.list_lines(connection, scope, limit + 1, before=before, since=since)
        has_more = len(rows) > limit
        return Lines([_describe(row) for row in rows[:limit]], rows[limit - 1].id if has_more else None)


def _describe(row: Row[Any]) -> Object:
    return {
        "id": row.id,
        "type": "audit_line",
        "at": rfc3339(row.at),
        "actor": row.actor,
        "address": row.address,
        "action": row.action,
        "target": row.target,
        "details": json.loads(row.details),
    }
