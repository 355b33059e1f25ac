"""What organizations, workspaces and keys may spend in a month: shown and changed."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from antiphon.core.clock import rfc3339
from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Scope
from antiphon.features.rates import store
from antiphon.features.rates.service import check_party
from antiphon.limits.policy import PartyKind
from antiphon.store.accounts import Accounts, Actor
from antiphon.store.connection import AsyncConnection
from antiphon.wire.rates import SpendFilter, cents_of, nanos_of

Object = dict[str, Any]


class SpendLimits:
    """Every method raises 404 for a limit or a party that there is not."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def list(self, scope: Scope, only: SpendFilter) -> Sequence[Row[Any]]:
        """Those that the API knows, newest first. It knows none of keys."""
        return [row for row in await self._rows(scope) if row.party_kind != "key" and _is_wanted(row, only)]

    async def stored(self, scope: Scope) -> Sequence[Object]:
        """All of them, newest first."""
        return [describe_spend(row) for row in await self._rows(scope)]

    async def retrieve(self, scope: Scope, spend_limit_id: str) -> Object:
        async with self._accounts.database.read() as connection:
            return describe_spend(await _find(connection, scope, spend_limit_id))

    async def set(self, scope: Scope, actor: Actor, kind: PartyKind, party_id: str, cents: str) -> Object:
        """One that is set already is changed."""
        async with self._accounts.change(scope, actor) as change:
            await check_party(change.connection, scope, kind, party_id)
            await store.hold_organization(change.connection, scope)
            await store.set_spend(change.connection, scope, kind, party_id, nanos_of(cents), change.now)
            row = await store.find_spend_of(change.connection, scope, kind, party_id)
            assert row
            await change.note("spend_limit.set", row.id, party=kind, party_id=party_id, cents=cents)
        return describe_spend(row)

    async def delete(self, scope: Scope, actor: Actor, spend_limit_id: str) -> Object:
        async with self._accounts.change(scope, actor) as change:
            row = await _find(change.connection, scope, spend_limit_id)
            await store.delete_spend(change.connection, scope, row.id)
            await change.note("spend_limit.deleted", row.id, party=row.party_kind, party_id=row.party_id)
        return {"id": row.id, "type": "spend_limit_deleted"}

    async def remove(self, scope: Scope, actor: Actor, kind: PartyKind, party_id: str) -> None:
        """Delete the limit of a party, if it has one."""
        async with self._accounts.database.read() as connection:
            await check_party(connection, scope, kind, party_id)
            row = await store.find_spend_of(connection, scope, kind, party_id)
        if row:
            await self.delete(scope, actor, row.id)

    async def _rows(self, scope: Scope) -> Sequence[Row[Any]]:
        async with self._accounts.database.read() as connection:
            return await store.list_spends(connection, scope)


async def _find(connection: AsyncConnection, scope: Scope, spend_limit_id: str) -> Row[Any]:
    row = await store.find_spend(connection, scope, spend_limit_id)
    if row is None:
        raise ApiError(Kind.NOT_FOUND, "Spend limit not found.")
    return row


def _is_wanted(row: Row[Any], only: SpendFilter) -> bool:
    if only.workspace_id is not None and (row.party_kind, row.party_id) != ("workspace", only.workspace_id):
        return False
    return not only.scope_type or row.party_kind in only.scope_type


def describe_spend(row: Row[Any]) -> Object:
    """The API's object; its scope is one that the API does not know where the limit is a key's."""
    return {
        "id": row.id,
        "type": "spend_limit",
        "amount": cents_of(row.amount),
        "currency": "USD",
        "is_enabled": True,
        "period": "monthly",
        "scope": _scope(row),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def _scope(row: Row[Any]) -> Object:
    if row.party_kind == "organization":
        return {"type": "organization"}
    if row.party_kind == "workspace":
        return {"type": "workspace", "workspace_id": row.party_id}
    return {"type": "api_key", "api_key_id": row.party_id}
