"""What workers ask of the database: items to work on, and a place for what becomes of them. Of all organizations."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    case,
    delete,
    exists,
    insert,
    literal,
    not_,
    or_,
    select,
    tuple_,
    update,
)

from antiphon.features.batches.store import COUNTS
from antiphon.store import tables
from antiphon.store.connection import AsyncConnection

_batches, _items, _results, _facts = tables.batches, tables.batch_items, tables.batch_results, tables.facts
MAX_WAIT_S = 120.0
"""No lease and no wait is longer. Whatever lies farther ahead was written by a clock that has jumped, and is over."""


class Held(NamedTuple):
    """An item, and the lease that its worker had of it."""

    batch_id: str
    place: str
    lease: str


class Outcome(NamedTuple):
    """What has become of an item; `line` is its result as it is handed out."""

    held: Held
    custom_id: str
    kind: str
    line: str | None


def _is_free(now: float) -> ColumnElement[bool]:
    until = _items.c.lease_until
    return or_(until <= now, until > now + MAX_WAIT_S)


async def open_batches(connection: AsyncConnection) -> Sequence[Row[Any]]:
    """Those that wait for workers, the oldest first."""
    query = select(_batches).where(_batches.c.state == "in_progress").order_by(_batches.c.created_at, _batches.c.id)
    return (await connection.execute(query)).all()


async def claim(
    connection: AsyncConnection, batch_id: str, lease: str, limit: int, now: float, until: float
) -> Sequence[Any]:
    """Lease up to `limit` items of a batch that is open, in their order; no other worker gets the same."""
    is_open = exists().where(_batches.c.id == batch_id, _batches.c.state == "in_progress", _batches.c.expires_at > now)
    free = select(_items.c.place).where(_items.c.batch_id == batch_id, _is_free(now), is_open)
    picked = free.order_by(_items.c.place).limit(limit).with_for_update(skip_locked=True).cte("picked")
    take = update(_items).where(_items.c.batch_id == batch_id, _items.c.place.in_(select(picked.c.place)))
    rows = await connection.execute(
        take.values(lease=lease, lease_until=until).returning(
            _items.c.batch_id,
            _items.c.place,
            _items.c.custom_id,
            _items.c.request,
            _items.c.lease,
            _items.c.num_attempts,
        )
    )
    return sorted(rows.all(), key=lambda row: row.place)


async def renew(connection: AsyncConnection, leases: Collection[str], until: float) -> set[Held]:
    """Hold on to what is leased; what is not among it any more has gone to somebody else."""
    mine = update(_items).where(_items.c.lease.in_(leases)).values(lease_until=until)
    rows = await connection.execute(mine.returning(_items.c.batch_id, _items.c.place, _items.c.lease))
    return {Held(*row) for row in rows}


async def give_back(
    connection: AsyncConnection, held: Collection[Held], again_at: float, num_attempts: int = 0
) -> None:
    """Let others have the items, not before `again_at`; `num_attempts` more count as having failed."""
    change = {"lease": None, "lease_until": again_at, "num_attempts": _items.c.num_attempts + num_attempts}
    await connection.execute(update(_items).where(_are(held)).values(**change))


def _are(held: Collection[Held]) -> ColumnElement[bool]:
    return tuple_(_items.c.batch_id, _items.c.place, _items.c.lease).in_([tuple(one) for one in held])


async def finish(connection: AsyncConnection, outcomes: Sequence[Outcome], now: float) -> set[Held]:
    """Write down outcomes, and end batches that have all; those that were written: not those whose leases were lost."""
    mine = delete(_items).where(_are([outcome.held for outcome in outcomes]))
    rows = await connection.execute(mine.returning(_items.c.batch_id, _items.c.place, _items.c.lease))
    done = {Held(*row) for row in rows}
    await _add_results(connection, [outcome for outcome in outcomes if outcome.held in done], now)
    return done


async def _add_results(connection: AsyncConnection, outcomes: Sequence[Outcome], now: float) -> None:
    if not outcomes:
        return
    values = [
        {"batch_id": held.batch_id, "custom_id": custom_id, "kind": kind, "line": line}
        for held, custom_id, kind, line in outcomes
    ]
    await connection.execute(insert(_results), values)
    for batch_id in sorted({outcome.held.batch_id for outcome in outcomes}):
        kinds = [outcome.kind for outcome in outcomes if outcome.held.batch_id == batch_id]
        await _count(connection, batch_id, {kind: kinds.count(kind) for kind in set(kinds)}, now)


async def _count(connection: AsyncConnection, batch_id: str, counts: dict[str, int], now: float) -> None:
    columns = {name: _batches.c[f"num_{name}"] + counts.get(name, 0) for name in COUNTS}
    num_done = sum(columns.values(), start=0)
    is_whole = num_done >= _batches.c.num_requests
    change: dict[str, Any] = {f"num_{name}": column for name, column in columns.items()}
    change["state"] = case((is_whole, "ended"), else_=_batches.c.state)
    change["ended_at"] = case((is_whole, now), else_=_batches.c.ended_at)
    await connection.execute(update(_batches).where(_batches.c.id == batch_id).values(**change))


async def batches_to_end(connection: AsyncConnection, now: float) -> Sequence[tuple[str, str]]:
    """(batch, what becomes of its items) of those that are canceled, or whose time is over."""
    is_late = _batches.c.expires_at <= now
    query = select(_batches.c.id, case((is_late, "expired"), else_="canceled"))
    ending = or_(_batches.c.state == "canceling", and_(_batches.c.state == "in_progress", is_late))
    return [(row[0], row[1]) for row in await connection.execute(query.where(ending))]


async def end_items(connection: AsyncConnection, batch_id: str, kind: str, limit: int, now: float) -> int:
    """End up to `limit` items that nobody works on; how many there were."""
    free = select(_items.c.place).where(_items.c.batch_id == batch_id, or_(_items.c.lease.is_(None), _is_free(now)))
    picked = free.limit(limit).with_for_update(skip_locked=True).cte("picked")
    gone = delete(_items).where(_items.c.batch_id == batch_id, _items.c.place.in_(select(picked.c.place)))
    rows = (await connection.execute(gone.returning(_items.c.place, _items.c.custom_id))).all()
    outcomes = [Outcome(Held(batch_id, row.place, ""), row.custom_id, kind, None) for row in rows]
    await _add_results(connection, outcomes, now)
    return len(rows)


async def batches_to_clear(connection: AsyncConnection, made_before: float, begun_before: float) -> Sequence[Any]:
    """Those whose rows are to go: deleted ones, results that were kept long enough, and drafts that nobody finishes."""
    has_results = exists().where(_results.c.batch_id == _batches.c.id)
    is_kept = or_(_batches.c.archived_at.is_(None), has_results)
    is_old = and_(_batches.c.state == "ended", _batches.c.created_at <= made_before, is_kept)
    is_lost = and_(_batches.c.state == "creating", _batches.c.created_at <= begun_before)
    query = select(_batches.c.id, _batches.c.state).where(or_(_batches.c.state == "deleted", is_old, is_lost))
    return (await connection.execute(query)).all()


async def clear(connection: AsyncConnection, batch_id: str, limit: int) -> int:
    """Take away up to `limit` items, and as many results; how many there were."""
    num = 0
    for table, key in ((_items, _items.c.place), (_results, _results.c.custom_id)):
        picked = select(key).where(table.c.batch_id == batch_id).limit(limit)
        num += (await connection.execute(delete(table).where(table.c.batch_id == batch_id, key.in_(picked)))).rowcount
    return num


_CHAT = "chat_until"
_MAX_CHAT_S = 60.0


async def announce_chat(connection: AsyncConnection, server: str, until: float) -> None:
    """Tell the workers of other processes that somebody chats; nothing is written while there are no batches."""
    has_batches = exists().where(_batches.c.state == "in_progress")
    value = f"{server} {until:.3f}"
    told = await connection.execute(update(_facts).where(_facts.c.name == _CHAT, has_batches).values(value=value))
    if not told.rowcount:
        is_new = not_(exists().where(_facts.c.name == _CHAT))
        new = select(literal(_CHAT), literal(value)).where(has_batches, is_new)
        await connection.execute(insert(_facts).from_select(["name", "value"], new))


async def look(connection: AsyncConnection, server: str, now: float) -> tuple[bool, bool]:
    """Whether there are batches that have not ended, and whether another process than `server` has told of a chat."""
    are_there = exists().where(_batches.c.state.in_(("in_progress", "canceling")))
    told = select(_facts.c.value).where(_facts.c.name == _CHAT).scalar_subquery()
    has_batches, value = (await connection.execute(select(are_there, told))).one()
    who, _, until = (value or f"{server} 0").partition(" ")
    return has_batches, who != server and now < float(until) < now + _MAX_CHAT_S


async def archive(connection: AsyncConnection, batch_id: str, now: float) -> None:
    """Tell that its results are gone, before they go."""
    first = (_batches.c.id == batch_id, _batches.c.archived_at.is_(None))
    await connection.execute(update(_batches).where(*first).values(archived_at=now))


async def forget(connection: AsyncConnection, batch_id: str) -> None:
    """Take away a batch that has no rows any more."""
    is_hidden = not_(_batches.c.state.in_(("in_progress", "canceling", "ended")))
    await connection.execute(delete(_batches).where(_batches.c.id == batch_id, is_hidden))
