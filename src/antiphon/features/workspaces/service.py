"""Workspaces: what they are, and what may be done with them; and the organization that they are of."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from antiphon.core.clock import rfc3339
from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.core.ids import new_id
from antiphon.core.scope import Scope
from antiphon.features.workspaces import store
from antiphon.store.accounts import Accounts, Actor
from antiphon.store.listing import Part, Wanted
from antiphon.wire.admin import DataResidency, WorkspaceCreate, WorkspaceFilter, WorkspaceUpdate

MAX_WORKSPACES = 100
_MAX_TAGS = 50
_RESIDENCY = {"workspace_geo": "us", "allowed_inference_geos": "unrestricted", "default_inference_geo": "global"}


class Workspaces:
    """Each method acts in the organization of `scope`."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def organization(self, scope: Scope) -> dict[str, Any]:
        async with self._accounts.database.read() as connection:
            row = await store.organization_of(connection, scope)
        return {"id": row.id, "type": "organization", "name": row.name}

    async def list(self, scope: Scope, wanted: Wanted, only: WorkspaceFilter) -> Part:
        async with self._accounts.database.read() as connection:
            return await store.list_workspaces(connection, scope, wanted, only)

    async def retrieve(self, scope: Scope, workspace_id: str) -> Row[Any]:
        """Raises 404 for an unknown workspace, as all methods do."""
        async with self._accounts.database.read() as connection:
            return _known(await store.find_workspace(connection, scope, workspace_id))

    async def create(self, scope: Scope, wish: WorkspaceCreate, actor: Actor) -> Row[Any]:
        """Raises 400 if there are MAX_WORKSPACES already."""
        values: dict[str, Any] = wish.model_dump(include={"name", "tags", "display_color"}, exclude_none=True)
        if wish.data_residency:
            values["data_residency"] = _residency(_RESIDENCY, wish.data_residency)
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            if await store.num_workspaces(change.connection, scope) >= MAX_WORKSPACES:
                raise invalid(f"The organization has {MAX_WORKSPACES} workspaces, and may not have more.")
            new = Scope(scope.organization_id, new_id("wrkspc"))
            await store.make_workspace(change.connection, new, change.now, **values)
            await change.note("workspace.created", new.workspace_id, **values)
            return _known(await store.find_workspace(change.connection, new, new.workspace_id))

    async def update(self, scope: Scope, workspace_id: str, wish: WorkspaceUpdate, actor: Actor) -> Row[Any]:
        """Raises 400 for a workspace that is archived, and for a new name of the default one."""
        async with self._accounts.change(scope, actor) as change:
            old = _known(await store.hold_workspace(change.connection, scope, workspace_id))
            if old.archived_at is not None:
                raise invalid("This workspace is archived, and that is final.")
            if values := _changes(old, wish):
                await store.change_workspace(change.connection, scope, workspace_id, **values)
                await change.note("workspace.updated", workspace_id, **values)
            return _known(await store.find_workspace(change.connection, scope, workspace_id))

    async def archive(self, scope: Scope, workspace_id: str, actor: Actor) -> Row[Any]:
        """Archive it with all its keys. Raises 400 for the default workspace; one that is archived stays as it is."""
        async with self._accounts.change(scope, actor) as change:
            old = _known(await store.hold_workspace(change.connection, scope, workspace_id))
            if old.is_default:
                raise invalid("The default workspace cannot be archived.")
            if old.archived_at is not None:
                return old
            await store.change_workspace(change.connection, scope, workspace_id, archived_at=change.now)
            await change.note("workspace.archived", workspace_id)
            for key_id in await store.archive_keys(change.connection, scope, workspace_id):
                await change.note("api_key.updated", key_id, status="archived", workspace_id=workspace_id)
            return _known(await store.find_workspace(change.connection, scope, workspace_id))


def _known(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise ApiError(Kind.NOT_FOUND, "Workspace not found.")
    return row


def _changes(old: Row[Any], wish: WorkspaceUpdate) -> dict[str, Any]:
    """The columns that `wish` sets."""
    values: dict[str, Any] = wish.model_dump(include={"name", "display_color"}, exclude_none=True)
    if old.is_default and values.get("name", old.name) != old.name:
        raise invalid("The default workspace cannot be renamed.")
    if wish.tags:
        values["tags"] = _tags(json.loads(old.tags), wish.tags)
    if wish.data_residency:
        values["data_residency"] = _residency(_residency_of(old), wish.data_residency)
    return values


def _tags(old: Mapping[str, str], wished: Mapping[str, str | None]) -> dict[str, str]:
    tags = {name: value for name, value in (dict(old) | dict(wished)).items() if value is not None}
    if len(tags) > _MAX_TAGS:
        raise invalid(f"tags: a workspace may have at most {_MAX_TAGS} tags")
    return tags


def _residency_of(row: Row[Any]) -> dict[str, Any]:
    return json.loads(row.data_residency) if row.data_residency else _RESIDENCY


def _residency(old: Mapping[str, Any], wish: DataResidency) -> dict[str, Any]:
    new = {**old, **wish.model_dump(exclude_none=True)}
    allowed = new["allowed_inference_geos"]
    if allowed != "unrestricted" and new["default_inference_geo"] not in allowed:
        raise invalid("data_residency.default_inference_geo: must be one of allowed_inference_geos")
    return new


def describe(row: Row[Any]) -> dict[str, Any]:
    """The API's object for a workspace, which is the same in both versions."""
    return {
        "id": row.id,
        "type": "workspace",
        "name": row.name,
        "created_at": rfc3339(row.created_at),
        "archived_at": None if row.archived_at is None else rfc3339(row.archived_at),
        "display_color": row.display_color,
        "tags": json.loads(row.tags),
        "data_residency": _residency_of(row),
        "compartment_id": row.id,
        "external_key_id": row.external_key_id,
        "user_profile_id": None,
    }
