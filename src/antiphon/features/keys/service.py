"""API keys and admin keys: what they are, how they are made, and how they end."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Row

from antiphon.core.clock import Clock, rfc3339
from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.core.scope import Principal, Scope
from antiphon.core.secrets import digest, hint_of, new_key
from antiphon.features.keys import store
from antiphon.store.accounts import Accounts, Actor, Change, NewKey, add_key
from antiphon.store.connection import AsyncConnection
from antiphon.store.listing import Part, Wanted
from antiphon.wire.admin import KeyCreate, KeyFilter, KeyLimits, KeyUpdate
from antiphon.wire.versions import Version

_SETTINGS = ("kind", "name", "created_by", "expires_at")


class Made(NamedTuple):
    """A new key, and the only copy of it in the clear."""

    row: Row[Any]
    key: str


class Keys:
    """Each method acts in the organization of `scope`, whose workspace is the organization's default one."""

    def __init__(self, accounts: Accounts, pepper: bytes, clock: Clock) -> None:
        self._accounts = accounts
        self._pepper = pepper
        self._clock = clock

    async def list(self, scope: Scope, wanted: Wanted, only: KeyFilter) -> Part:
        async with self._accounts.database.read() as connection:
            return await store.list_keys(connection, scope, wanted, only, self._clock.now())

    async def retrieve(self, scope: Scope, key_id: str) -> Row[Any]:
        """Raises 404 for an unknown key, as all methods do."""
        async with self._accounts.database.read() as connection:
            return _known(await store.find_key(connection, scope, key_id))

    async def create(self, scope: Scope, wish: KeyCreate, actor: Actor) -> Made:
        """Raises 400 for a time that has passed, and 404 for a workspace or a member that are not there."""
        self._check_time(wish.expires_at)
        async with self._accounts.change(scope, actor) as change:
            home = await _home_of(change.connection, scope, wish)
            if wish.created_by_user_id is not None:
                await _check_member(change.connection, scope, wish.created_by_user_id)
            settings = {"kind": wish.kind, "name": wish.name, "created_by": wish.created_by_user_id}
            settings |= wish.model_dump(include={"expires_at", "allowed_models", "allowed_addresses"})
            return await self._make(change, home, settings)

    async def update(self, scope: Scope, key_id: str, wish: KeyUpdate, actor: Actor) -> Row[Any]:
        """Change name or status. Raises 400 for a key that is archived: that is final."""
        return await self._change(scope, key_id, wish.model_dump(exclude_none=True), actor)

    async def limit(self, scope: Scope, key_id: str, wish: KeyLimits, actor: Actor) -> Row[Any]:
        """Change when it expires, and what it may do from where. Raises 400 as `create` and `update` do."""
        self._check_time(wish.expires_at)
        return await self._change(scope, key_id, wish.model_dump(exclude_unset=True), actor)

    async def rotate(self, scope: Scope, key_id: str, grace_s: int, actor: Actor) -> Made:
        """A new key with the settings and limits of the old one, which ends at once, or `grace_s` seconds from now.

        Raises 400 for a key that does not work, and for one of the environment.
        """
        async with self._accounts.change(scope, actor) as change:
            old = await _hold_with_workspace(change.connection, scope, key_id)
            _check_rotatable(old, change.now)
            settings = {name: getattr(old, name) for name in _SETTINGS}
            settings |= {name: json.loads(getattr(old, name)) for name in ("allowed_models", "allowed_addresses")}
            made = await self._make(change, Scope(scope.organization_id, old.workspace_id), settings)
            await store.copy_limits(change.connection, scope, key_id, made.row.id)
            ending = (
                {"expires_at": _sooner(old.expires_at, change.now + grace_s)} if grace_s else {"status": "archived"}
            )
            await store.change_key(change.connection, scope, key_id, **ending)
            await change.note("api_key.rotated", key_id, successor=made.row.id, grace_s=grace_s)
            return made

    def _check_time(self, expires_at: float | None) -> None:
        if expires_at is not None and expires_at <= self._clock.now():
            raise invalid("expires_at: must be in the future")

    async def _make(self, change: Change, home: Scope, settings: Mapping[str, Any]) -> Made:
        key = new_key(settings["kind"])
        new = NewKey(digest=digest(self._pepper, key), hint=hint_of(key), **settings)
        key_id = await add_key(change.connection, home, new, change.now)
        await change.note("api_key.created", key_id, workspace_id=home.workspace_id, **settings)
        return Made(_known(await store.find_key(change.connection, home, key_id)), key)

    async def _change(self, scope: Scope, key_id: str, wanted: Mapping[str, Any], actor: Actor) -> Row[Any]:
        if not wanted:
            return await self.retrieve(scope, key_id)
        async with self._accounts.change(scope, actor) as change:
            old = _known(await store.hold_key(change.connection, scope, key_id))
            if old.status == "archived" and wanted != {"status": "archived"}:
                raise invalid("This API key is archived, and that is final.")
            await store.change_key(change.connection, scope, key_id, **wanted)
            await change.note("api_key.updated", key_id, **wanted)
            return _known(await store.find_key(change.connection, scope, key_id))


def _known(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise ApiError(Kind.NOT_FOUND, "API key not found.")
    return row


async def _hold_with_workspace(connection: AsyncConnection, scope: Scope, key_id: str) -> Row[Any]:
    """The key. First the workspace is held, as by whoever archives it."""
    found = _known(await store.find_key(connection, scope, key_id))
    await store.hold_workspace(connection, scope, found.workspace_id)
    return _known(await store.hold_key(connection, scope, key_id))


async def _home_of(connection: AsyncConnection, scope: Scope, wish: KeyCreate) -> Scope:
    """Where the key will live. Admin keys are of the organization, and live in its default workspace."""
    if wish.workspace_id is None:
        return scope
    if wish.kind == "admin":
        raise invalid("workspace_id: an admin key belongs to the organization, not to a workspace")
    workspace = await store.hold_workspace(connection, scope, wish.workspace_id)
    if workspace is None:
        raise ApiError(Kind.NOT_FOUND, "Workspace not found.")
    if workspace.archived_at is not None:
        raise invalid("workspace_id: the workspace is archived")
    return Scope(scope.organization_id, workspace.id)


async def _check_member(connection: AsyncConnection, scope: Scope, user_id: str) -> None:
    if not await store.is_member(connection, scope, user_id):
        raise ApiError(Kind.NOT_FOUND, "User not found.")


def _check_rotatable(key: Row[Any], now: float) -> None:
    if key.source == "environment":
        raise invalid("This API key is set in the server's environment: it can only be replaced there.")
    if status_of(key, now) != "active":
        raise invalid(f"Only an active API key can be rotated; this one is {status_of(key, now)}.")


def _sooner(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)


def check_model(principal: Principal, requested: str, resolved: str) -> None:
    """Raises 403 if the key is kept to other models: it may name those, or what they mean."""
    if principal.models and principal.models.isdisjoint([requested, resolved]):
        raise ApiError(Kind.PERMISSION, f"This API key may not use the model {requested}.")


def status_of(key: Row[Any], now: float) -> str:
    has_expired = key.expires_at is not None and key.expires_at <= now
    return "expired" if has_expired and key.status != "archived" else key.status


def describe(key: Row[Any], scope: Scope, version: Version, now: float) -> dict[str, Any]:
    """The API's object for a key; the workspace of `scope` is the organization's default one."""
    user_id = key.created_by
    return {
        "id": key.id,
        "type": "api_key",
        "name": key.name,
        "status": status_of(key, now),
        "partial_key_hint": key.hint,
        "created_at": rfc3339(key.created_at),
        "created_by": user_id and {"id": user_id, "type": "user"},
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
        **_place(key, scope, version),
    }


def _place(key: Row[Any], scope: Scope, version: Version) -> dict[str, Any]:
    """Whom a key acts as, and where. An admin key has no workspace; the old shape shows none for the default one."""
    workspace_id = None if key.kind == "admin" else key.workspace_id
    if version is Version.V2023_06_01:
        return {"workspace_id": None if workspace_id == scope.workspace_id else workspace_id}
    return {
        "principal": key.created_by and {"type": "user_actor", "user_id": key.created_by},
        "scope": {"type": "workspace", "workspace_id": workspace_id} if workspace_id else {"type": "organization"},
    }


def describe_fully(key: Row[Any], scope: Scope, version: Version, now: float) -> dict[str, Any]:
    """The same, with what only this server knows of a key."""
    own = {name: json.loads(getattr(key, name)) for name in ("allowed_models", "allowed_addresses")}
    return describe(key, scope, version, now) | {"kind": key.kind, **own}
