"""The SQL of the ledger: rows and the sums of their hours, in one transaction; and what reports read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import String, Table, bindparam, cast, column, func, select, text

from antiphon.core.scope import Scope
from antiphon.ledger.record import COLUMNS, Counts, Entry
from antiphon.store import tables
from antiphon.store.connection import AsyncConnection
from antiphon.store.tables import usage, usage_hours

MINUTES_PER_HOUR = 60
_HOUR_S = 3_600
COUNTS = tables.COUNTS
COSTS = tuple(name for name in COUNTS if name.endswith("_cost"))
TOKENS = tuple(name for name in COUNTS if name not in COSTS)
_OF_HOUR = tuple(column.name for column in usage_hours.primary_key.columns)
DIMENSIONS = tuple(name for name in _OF_HOUR if name not in ("organization_id", "hour"))
"""The columns by which sums can be told apart."""


async def add_entries(connection: AsyncConnection, entries: Iterable[Entry]) -> None:
    """Store each message once, however often it comes, and count those that are new."""
    rows = {entry.start.message_id: entry.as_row() for entry in entries}
    new = await _add_new(connection, rows)
    if hours := _hours(rows[message_id] for message_id in new):
        await connection.execute(_count(connection.dialect.name), hours)


async def _add_new(connection: AsyncConnection, rows: Mapping[str, tuple[Any, ...]]) -> Iterable[str]:
    """The ids of those that were not there. Most often none was, and SQLite's driver tells that at the least cost."""
    if connection.dialect.name == "sqlite":
        async with connection.begin_nested() as attempt:
            if (await connection.exec_driver_sql(_ADD_PLAINLY, list(rows.values()))).rowcount == len(rows):
                return rows
            await attempt.rollback()
    given = orjson.dumps(list(rows.values())).decode()
    return (await connection.execute(_add(connection.dialect.name), {"rows": given})).scalars().all()


_ADD_PLAINLY = (
    f"INSERT INTO usage ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT DO NOTHING"
)


def _insert(dialect: str, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT: both databases have it, SQLAlchemy in two places, and only one is needed."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert
    return insert(table)


@cache
def _add(dialect: str) -> Any:
    rows = bindparam("rows", type_=String)
    columns = [usage.c[name] for name in COLUMNS]
    if dialect == "sqlite":
        each = func.json_each(rows).table_valued("value")
        values = [func.json_extract(each.c.value, f"$[{i}]") for i in range(len(columns))]
        every = select(*values).where(text("true"))  # or ON CONFLICT would be read as part of a join
    else:
        from sqlalchemy.dialects.postgresql import JSONB

        listed = func.jsonb_array_elements(cast(rows, JSONB))
        each = listed.table_valued(column("value", JSONB)).render_derived()
        every = select(*[cast(each.c.value.op("->>")(i), one.type) for i, one in enumerate(columns)])
    return (
        _insert(dialect, usage).from_select(list(COLUMNS), every).on_conflict_do_nothing().returning(usage.c.message_id)
    )


@cache
def _count(dialect: str) -> Any:
    insert = _insert(dialect, usage_hours)
    sums = {name: usage_hours.c[name] + insert.excluded[name] for name in _SUMS}
    return insert.on_conflict_do_update(index_elements=_OF_HOUR, set_=sums)


_SUMS = ("num_requests", *Counts._fields)
_COUNTS_FROM = len(COLUMNS) - len(Counts._fields)
_MINUTE = COLUMNS.index("minute")
_KEY_OF_SUMS = ("hour", "organization_id", *DIMENSIONS)
_whose = itemgetter(*map(COLUMNS.index, _KEY_OF_SUMS[1:]))


def _hours(rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The sums of `rows`; in one order everywhere, so that two servers never wait for each other in a ring."""
    alike: dict[tuple[Any, ...], list[tuple[int, ...]]] = {}
    for row in rows:
        alike.setdefault((row[_MINUTE] // MINUTES_PER_HOUR, *_whose(row)), []).append(row[_COUNTS_FROM:])
    return [_sum(key, alike[key]) for key in sorted(alike)]


def _sum(key: tuple[Any, ...], counts: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    sums = (len(counts), *map(sum, zip(*counts, strict=True)))
    return dict(zip((*_KEY_OF_SUMS, *_SUMS), (*key, *sums), strict=True))


async def sums_of(
    connection: AsyncConnection,
    scope: Scope,
    width_s: int,
    first: int,
    last: int,
    by: Sequence[str] = (),
    only: Mapping[str, Collection[str]] | None = None,
    counts: Sequence[str] = COUNTS,
) -> list[dict[str, Any]]:
    """The organization's sums in each bucket, sorted by it, and in it by the columns `by`.

    A bucket is `width_s` wide and numbered from the epoch: those from `first` to before `last`. `only` holds the values
    that count, for each column that is filtered; `counts` are the columns that are summed up.
    """
    table, time, per_bucket = _source(width_s)
    bucket = (time // per_bucket if per_bucket > 1 else time).label("bucket")
    columns = [table.c[name] for name in by]
    num = func.sum(table.c.num_requests) if table is usage_hours else func.count()
    query = (
        select(bucket, *columns, num.label("num_requests"), *[func.sum(table.c[name]).label(name) for name in counts])
        .where(table.c.organization_id == scope.organization_id, time >= first * per_bucket, time < last * per_bucket)
        .where(*[table.c[name].in_(values) for name, values in (only or {}).items()])
        .group_by(bucket, *columns)
        .order_by(bucket, *columns)
    )
    return [_in_integers(dict(row)) for row in (await connection.execute(query)).mappings()]


def _source(width_s: int) -> tuple[Table, Any, int]:
    """Where sums of `width_s` come from: the table, its column of time, and how many of its units make a bucket."""
    if width_s < _HOUR_S:
        return usage, usage.c.minute, 1
    return usage_hours, usage_hours.c.hour, width_s // _HOUR_S


def _in_integers(row: Mapping[str, Any]) -> dict[str, Any]:
    """PostgreSQL's sums are decimals."""
    return {name: value if isinstance(value, str) else int(value) for name, value in row.items()}


async def spent_in(connection: AsyncConnection, hours: range) -> dict[str, int]:
    """What each organization, workspace and key has spent in `hours`, in nano-dollars, by its id."""
    columns = [usage_hours.c[name] for name in PARTIES]
    cost = func.sum(sum((usage_hours.c[name] for name in COSTS[1:]), usage_hours.c[COSTS[0]]))
    query = select(*columns, cost).where(
        usage_hours.c.organization_id.in_(select(tables.organizations.c.id)),  # it leads the index
        usage_hours.c.hour >= hours.start,
        usage_hours.c.hour < hours.stop,
    )
    rows = await connection.execute(query.group_by(*columns))
    spent: dict[str, int] = {}
    for *parties, nanos in rows:
        for party in parties:
            spent[party] = spent.get(party, 0) + int(nanos)
    return spent


PARTIES = ("organization_id", "workspace_id", "key_id")


def hours_of_month(now_s: float) -> range:
    """The hours since the epoch of the calendar month in UTC that `now_s` falls into."""
    first = datetime.fromtimestamp(now_s, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return range(int(first.timestamp()) // _HOUR_S, int(after.timestamp()) // _HOUR_S)
