"""Files in the database. Each belongs to a workspace; one that has expired is remembered for a while."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, delete, func, insert, or_, select, tuple_

from antiphon.core.scope import Scope
from antiphon.store import tables
from antiphon.store.connection import AsyncConnection
from antiphon.store.listing import Part

_files = tables.files
_place = tuple_(_files.c.created_at, _files.c.id)

Place = tuple[float, str]
"""Where in its list a file stands: (created_at, id)."""


class Wanted(NamedTuple):
    """A page of a workspace's files, newest first: at most `limit`, older than `after` or newer than `before`."""

    limit: int
    after: Place | None = None
    before: Place | None = None


def _mine(scope: Scope) -> ColumnElement[bool]:
    is_of_organization = _files.c.organization_id == scope.organization_id
    return is_of_organization & (_files.c.workspace_id == scope.workspace_id)


def _lives(now: float) -> ColumnElement[bool]:
    return or_(_files.c.expires_at.is_(None), _files.c.expires_at > now)


async def add_file(connection: AsyncConnection, scope: Scope, **values: Any) -> None:
    place = {"organization_id": scope.organization_id, "workspace_id": scope.workspace_id}
    await connection.execute(insert(_files).values(**place, **values))


async def find_file(connection: AsyncConnection, scope: Scope, file_id: str) -> Row[Any] | None:
    """An expired one too."""
    return (await connection.execute(select(_files).where(_mine(scope), _files.c.id == file_id))).first()


async def find_files(connection: AsyncConnection, scope: Scope, ids: Iterable[str], now: float) -> Sequence[Row[Any]]:
    """Those of `ids` that there are, newest first."""
    query = select(_files).where(_mine(scope), _lives(now), _files.c.id.in_(list(ids)))
    return (await connection.execute(query.order_by(_files.c.created_at.desc(), _files.c.id.desc()))).all()


async def list_files(connection: AsyncConnection, scope: Scope, wanted: Wanted, now: float) -> Part:
    query = select(_files).where(_mine(scope), _lives(now)).limit(wanted.limit + 1)
    if wanted.before:
        query = query.where(_place > wanted.before).order_by(_files.c.created_at, _files.c.id)
    else:
        query = query.order_by(_files.c.created_at.desc(), _files.c.id.desc())
    if wanted.after:
        query = query.where(_place < wanted.after)
    rows = (await connection.execute(query)).all()
    page = rows[: wanted.limit]
    return Part(page[::-1] if wanted.before else page, len(rows) > wanted.limit)


async def remove_file(connection: AsyncConnection, scope: Scope, file_id: str) -> str | None:
    """The digest of the file that was removed, or None if there was none."""
    found = delete(_files).where(_mine(scope), _files.c.id == file_id).returning(_files.c.digest)
    return (await connection.execute(found)).scalar()


async def num_bytes_of(connection: AsyncConnection, scope: Scope, now: float) -> int:
    """What the organization's files take together."""
    of_organization = _files.c.organization_id == scope.organization_id
    query = select(func.coalesce(func.sum(_files.c.size_bytes), 0)).where(of_organization, _lives(now))
    return int((await connection.execute(query)).scalar_one())


async def used_digests(connection: AsyncConnection, digests: Iterable[str], now: float) -> set[str]:
    """Those of `digests` that are some file's."""
    query = select(_files.c.digest).where(_files.c.digest.in_(list(digests)), _lives(now))
    return set((await connection.execute(query)).scalars())


async def forget_expired(connection: AsyncConnection, before: float) -> None:
    """Files that expired before then are as if they had never been."""
    await connection.execute(delete(_files).where(_files.c.expires_at < before))
