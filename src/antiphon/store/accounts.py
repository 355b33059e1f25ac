"""Organizations, workspaces and keys, as they are first made; and the frame of every later change of them."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from sqlalchemy import insert, update

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError
from antiphon.core.ids import new_id
from antiphon.core.scope import Scope
from antiphon.core.secrets import KeyKind
from antiphon.store import tables
from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database
from antiphon.store.directory import Directory

EPOCH = "accounts"
_COLOR = "#6C5BB9"


class Actor(NamedTuple):
    """Who makes a change, and from where: a key and its client's address, or the operator at the command line."""

    id: str
    address: str | None = None


OPERATOR = Actor("operator")


class Change:
    """A change under way: its `connection`, and `note` for the audit."""

    def __init__(self, connection: AsyncConnection, scope: Scope, actor: Actor, now: float) -> None:
        self.connection = connection
        self.scope = scope
        self.now = now
        self._actor = actor

    async def note(self, action: str, target: str, **details: Any) -> None:
        """Write into the audit what was done (`api_key.created`) to which id. Nothing secret belongs in `details`."""
        await self.connection.execute(
            insert(tables.audit).values(
                organization_id=self.scope.organization_id,
                at=self.now,
                actor=self._actor.id,
                address=self._actor.address,
                action=action,
                target=target,
                details=json.dumps(details),
            )
        )


class Accounts:
    """The way to change who may do what: one transaction, one line of audit, and every process learns of it."""

    def __init__(self, database: Database, directory: Directory, clock: Clock) -> None:
        self.database = database
        self._directory = directory
        self._clock = clock

    @asynccontextmanager
    async def change(self, scope: Scope, actor: Actor) -> AsyncGenerator[Change, None]:
        """A transaction. When it is committed, this process acts on it at once and the others within a second."""
        async with self.database.write() as connection:
            yield Change(connection, scope, actor, self._clock.now())
            await bump(connection)
        with suppress(ApiError):  # the change is made all the same; the directory soon asks again
            await self._directory.refresh()


async def bump(connection: AsyncConnection) -> None:
    epochs = tables.epochs
    await connection.execute(update(epochs).where(epochs.c.name == EPOCH).values(number=epochs.c.number + 1))


class NewKey(NamedTuple):
    """A key to store. `digest` is all that is kept of it; `hint` may be shown."""

    kind: KeyKind
    name: str
    digest: str
    hint: str
    source: str = "made"
    created_by: str | None = None
    expires_at: float | None = None
    allowed_models: Sequence[str] = ()
    allowed_addresses: Sequence[str] = ()


async def add_key(connection: AsyncConnection, scope: Scope, key: NewKey, now: float) -> str:
    """Store `key` in the workspace of `scope`; its id."""
    key_id = new_id("apikey")
    lists = {name: json.dumps(list(getattr(key, name))) for name in ("allowed_models", "allowed_addresses")}
    owner = {"organization_id": scope.organization_id, "workspace_id": scope.workspace_id}
    await connection.execute(
        insert(tables.api_keys).values(id=key_id, status="active", created_at=now, **owner, **(key._asdict() | lists))
    )
    return key_id


async def add_workspace(connection: AsyncConnection, scope: Scope, name: str, now: float, **more: Any) -> None:
    """Make the workspace that `scope` names."""
    values = {"is_default": False, "display_color": _COLOR, "tags": "{}"} | more
    await connection.execute(
        insert(tables.workspaces).values(
            id=scope.workspace_id, organization_id=scope.organization_id, name=name, created_at=now, **values
        )
    )


async def add_organization(connection: AsyncConnection, scope: Scope, name: str, now: float) -> None:
    """Make the organization that `scope` names, with the workspace of `scope` as its default one."""
    await connection.execute(insert(tables.organizations).values(id=scope.organization_id, name=name, created_at=now))
    await add_workspace(connection, scope, "Default", now, is_default=True)
