"""Rate limits of organizations, workspaces and keys: shown and changed."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Scope
from antiphon.engines.catalog import Catalog
from antiphon.features.rates import store
from antiphon.features.rates.groups import Group, describe, describe_workspace, field_of, groups_of, type_of
from antiphon.features.rates.policy import party_of
from antiphon.limits.policy import Party, PartyKind
from antiphon.settings import Settings
from antiphon.store.accounts import Accounts, Actor, Change
from antiphon.store.connection import AsyncConnection
from antiphon.wire.rates import LimitChange, RateFilter
from antiphon.wire.versions import Version

Object = dict[str, Any]

_TITLES: dict[PartyKind, str] = {"organization": "Organization", "workspace": "Workspace", "key": "API key"}


class Rates:
    """Every method raises 404 for a party that there is not."""

    def __init__(self, accounts: Accounts, catalog: Catalog, settings: Settings) -> None:
        self._accounts = accounts
        self._catalog = catalog
        self._aliases = settings.aliases
        self._defaults = settings.rate_limits

    async def list(self, scope: Scope, only: RateFilter, version: Version) -> Sequence[Object]:
        """The organization's. Raises 404 for a model that there is not."""
        groups = self._groups(only)
        async with self._accounts.database.read() as connection:
            organization = await self._party(connection, scope, "organization", scope.organization_id)
        return [describe(group, organization, version) for group in groups]

    async def list_workspace(
        self, scope: Scope, workspace_id: str, only: RateFilter, version: Version
    ) -> Sequence[Object]:
        """Of groups without a limit of their own nothing is shown, unless `include_inherited` asks for it."""
        async with self._accounts.database.read() as connection:
            pair = await self._pair(connection, scope, workspace_id)
        entries = [
            describe_workspace(group, *pair, version, include_inherited=only.include_inherited)
            for group in self._groups(only)
        ]
        return [entry for entry in entries if entry["limits"]]

    async def update_workspace(
        self,
        scope: Scope,
        actor: Actor,
        workspace_id: str,
        rate_limit_id: str,
        changes: Sequence[LimitChange],
        version: Version,
    ) -> Object:
        """Types that are not named stay. Raises 404 for a `rate_limit_id` that is not one of the organization's."""
        async with self._accounts.change(scope, actor) as change:
            await check_party(change.connection, scope, "workspace", workspace_id)
            group = self._group(scope, rate_limit_id)
            await self._set(change, "workspace", workspace_id, group.model_class, changes)
            pair = await self._pair(change.connection, scope, workspace_id)
        return describe_workspace(group, *pair, version, include_inherited=False)

    async def set(
        self,
        scope: Scope,
        actor: Actor,
        kind: PartyKind,
        party_id: str,
        model_class: str,
        changes: Sequence[LimitChange],
    ) -> None:
        """Change limits of any party, to any value: what a workspace may do above its organization's has no effect."""
        async with self._accounts.change(scope, actor) as change:
            await check_party(change.connection, scope, kind, party_id)
            await self._set(change, kind, party_id, model_class, changes)

    async def stored(self, scope: Scope) -> Sequence[Object]:
        """All limits that were set, of any party."""
        async with self._accounts.database.read() as connection:
            rows = await store.list_rates(connection, scope)
        by_place = groupby(rows, lambda row: (row.party_kind, row.party_id, row.model_class))
        return [
            {
                "party": {"type": kind, "id": party_id},
                "model": model_class or None,
                "limits": [{"type": type_of(row.type), "value": row.value} for row in limits],
            }
            for (kind, party_id, model_class), limits in by_place
        ]

    def class_of(self, model: str | None) -> str:
        """The class that a model is of, or "" for every class. Raises 404 for a model that there is not."""
        return self._catalog.resolve(model).label if model else ""

    async def _set(
        self, change: Change, kind: PartyKind, party_id: str, model_class: str, changes: Sequence[LimitChange]
    ) -> None:
        await store.hold_organization(change.connection, change.scope)
        for one in changes:
            field = field_of(one.type)
            await store.set_rate(change.connection, change.scope, kind, party_id, model_class, field, one.value)
        told = {one.type: one.value for one in changes}
        await change.note("rate_limits.updated", party_id, party=kind, model=model_class or None, limits=told)

    async def _pair(self, connection: AsyncConnection, scope: Scope, workspace_id: str) -> tuple[Party, Party]:
        await check_party(connection, scope, "workspace", workspace_id)
        organization = await self._party(connection, scope, "organization", scope.organization_id)
        return organization, await self._party(connection, scope, "workspace", workspace_id)

    async def _party(self, connection: AsyncConnection, scope: Scope, kind: PartyKind, party_id: str) -> Party:
        rows = await store.list_rates(connection, scope, kind, party_id)
        return party_of(kind, party_id, [(row.model_class, row.type, row.value) for row in rows], self._defaults)

    def _groups(self, only: RateFilter) -> Sequence[Group]:
        groups = groups_of(self._catalog, self._aliases)
        if only.group_type not in (None, "model_group"):
            return []
        wanted = self.class_of(only.model)
        return [group for group in groups if not wanted or group.model_class == wanted]

    def _group(self, scope: Scope, rate_limit_id: str) -> Group:
        for group in groups_of(self._catalog, self._aliases):
            if group.entry_id(scope.organization_id) == rate_limit_id:
                return group
        raise ApiError(Kind.NOT_FOUND, "Rate limit not found.")


async def check_party(connection: AsyncConnection, scope: Scope, kind: PartyKind, party_id: str) -> None:
    """Raises 404 for one that there is not in the organization."""
    if not await store.party_exists(connection, scope, kind, party_id):
        raise ApiError(Kind.NOT_FOUND, f"{_TITLES[kind]} not found.")
