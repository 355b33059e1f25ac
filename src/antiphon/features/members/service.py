"""Who belongs to an organization: its users, and those it has invited."""

from typing import Any

from sqlalchemy import Row

from antiphon.core import roles
from antiphon.core.clock import rfc3339
from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.core.scope import Member, OrganizationRole, Scope
from antiphon.features.members import store
from antiphon.store.accounts import Accounts, Actor, Change
from antiphon.store.listing import Wanted
from antiphon.wire.admin import listing
from antiphon.wire.members import InviteFilter, UserFilter

Object = dict[str, Any]

INVITE_S = 21 * 86_400.0


class Users:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def list(self, scope: Scope, wanted: Wanted, only: UserFilter) -> Object:
        """The API's list object."""
        async with self._accounts.database.read() as connection:
            part = await store.list_users(connection, scope, wanted, only)
        return listing([_user(row) for row in part.rows], has_more=part.has_more)

    async def retrieve(self, scope: Scope, user_id: str) -> Object:
        async with self._accounts.database.read() as connection:
            return _user(found(await store.find_user(connection, scope, user_id), "User"))

    async def add(self, scope: Scope, actor: Actor, email: str, name: str, role: OrganizationRole) -> Object:
        """Raises 400 `already_member`."""
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            return await _join(change, email, name, role)

    async def update(self, scope: Scope, actor: Actor, user_id: str, role: OrganizationRole) -> Object:
        """Raises 404, and 400 where nobody would be left who administers."""
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            user = found(await store.find_user(change.connection, scope, user_id), "User")
            if not _administers(user.id, role) and await _is_last_administrator(change, user):
                raise invalid("role: the last member who administers the organization cannot be given another role")
            await store.set_role(change.connection, scope, user_id, role)
            await change.note("user.updated", user_id, role=role, old_role=user.role)
        return _user(user) | {"role": role}

    async def remove(self, scope: Scope, actor: Actor, user_id: str) -> Object:
        """Their keys stay, and those that their role let work go on as nobody's; the others become inactive.

        Raises 404, and 400 `cannot_remove_last_member`.
        """
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            user = found(await store.find_user(change.connection, scope, user_id), "User")
            if await _is_last_administrator(change, user):
                words = "The last member who administers the organization cannot be removed. Add another one first."
                raise _refused("cannot_remove_last_member", words)
            await _stop_refused_keys(change, user)
            await store.remove_user(change.connection, scope, user_id)
            await change.note("user.removed", user_id, email=user.email)
        return {"id": user_id, "type": "user_deleted"}


class Invites:
    """Nothing is mailed: whoever invites says so themselves, and the operator accepts."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def list(self, scope: Scope, wanted: Wanted, only: InviteFilter, now: float) -> Object:
        """The API's list object. Deleted ones are not listed."""
        async with self._accounts.database.read() as connection:
            part = await store.list_invites(connection, scope, wanted, only, now)
        return listing([_invite(row, now) for row in part.rows], has_more=part.has_more)

    async def retrieve(self, scope: Scope, invite_id: str, now: float) -> Object:
        async with self._accounts.database.read() as connection:
            return _invite(found(await store.find_invite(connection, scope, invite_id), "Invite"), now)

    async def create(self, scope: Scope, actor: Actor, email: str, role: OrganizationRole) -> Object:
        """Raises 400 `already_member` or `invite_already_exists`."""
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            await _check_is_new(change, email)
            if invite := await store.find_open_invite(change.connection, scope, email, change.now):
                raise _refused("invite_already_exists", f"{email} has been invited already: {invite.id}")
            expires_at = change.now + INVITE_S
            invite_id = await store.add_invite(change.connection, scope, email, role, change.now, expires_at)
            await change.note("invite.created", invite_id, email=email, role=role)
            return await _read_invite(change, invite_id)

    async def accept(self, scope: Scope, actor: Actor, invite_id: str, name: str) -> Object:
        """The user that the invited one becomes. Raises 404, and 400 unless the invite is pending."""
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            invite = await _read_invite(change, invite_id)
            if invite["status"] != "pending":
                raise invalid(f"The invite cannot be accepted: it is {invite['status']}.")
            user = await _join(change, invite["email"], name, invite["role"])
            await store.end_invite(change.connection, scope, invite_id, "accepted", change.now)
            await change.note("invite.accepted", invite_id, user_id=user["id"])
        return user

    async def delete(self, scope: Scope, actor: Actor, invite_id: str) -> Object:
        """Raises 404, and 400 where it is accepted."""
        async with self._accounts.change(scope, actor) as change:
            await store.hold_organization(change.connection, scope)
            invite = await _read_invite(change, invite_id)
            if invite["status"] == "deleted":
                raise missing("Invite")
            if invite["status"] == "accepted":
                raise invalid("An invite that is accepted cannot be deleted: remove the user.")
            await store.end_invite(change.connection, scope, invite_id, "deleted")
            await change.note("invite.deleted", invite_id, email=invite["email"])
        return {"id": invite_id, "type": "invite_deleted"}


def found(row: Row[Any] | None, what: str) -> Row[Any]:
    """Raises 404 in one set of words: for what never was, and for what is another organization's."""
    if row is None:
        raise missing(what)
    return row


def missing(what: str) -> ApiError:
    return ApiError(Kind.NOT_FOUND, f"{what} not found.")


def _refused(code: str, words: str) -> ApiError:
    return ApiError(Kind.INVALID_REQUEST, words, details={"error_code": code})


async def _join(change: Change, email: str, name: str, role: OrganizationRole) -> Object:
    await _check_is_new(change, email)
    user_id = await store.add_user(change.connection, change.scope, email, name, role, change.now)
    await change.note("user.added", user_id, email=email, role=role)
    return _user(found(await store.find_user(change.connection, change.scope, user_id), "User"))


async def _stop_refused_keys(change: Change, user: Row[Any]) -> None:
    """A key that belongs to nobody is held to no role: what `user`'s role refused must not work from now on."""
    for key in await store.keys_of(change.connection, change.scope, user.id):
        member = Member(user.id, user.role, key.workspace_role)
        works = roles.may_administer(member) if key.kind == "admin" else roles.may_call(member)
        if not works:
            await store.deactivate_key(change.connection, change.scope, key.id)
            await change.note("api_key.updated", key.id, status="inactive", user_id=user.id)


async def _check_is_new(change: Change, email: str) -> None:
    if user := await store.find_user_by_email(change.connection, change.scope, email):
        raise _refused("already_member", f"{email} is a member of the organization already: {user.id}")


async def _read_invite(change: Change, invite_id: str) -> Object:
    return _invite(found(await store.find_invite(change.connection, change.scope, invite_id), "Invite"), change.now)


async def _is_last_administrator(change: Change, user: Row[Any]) -> bool:
    if not _administers(user.id, user.role):
        return False
    everybody = await store.roles_of(change.connection, change.scope)
    return not any(_administers(other, role) for other, role in everybody if other != user.id)


def _administers(user_id: str, role: OrganizationRole) -> bool:
    return roles.may_administer(Member(user_id, role, None))


def _user(row: Row[Any]) -> Object:
    added_at = rfc3339(row.added_at)
    return {"id": row.id, "type": "user", "email": row.email, "name": row.name, "role": row.role, "added_at": added_at}


def _invite(row: Row[Any], now: float) -> Object:
    is_late = row.status == "pending" and row.expires_at <= now
    return {
        "id": row.id,
        "type": "invite",
        "email": row.email,
        "role": row.role,
        "status": "expired" if is_late else row.status,
        "invited_at": rfc3339(row.invited_at),
        "expires_at": rfc3339(row.expires_at),
        "accepted_at": None if row.accepted_at is None else rfc3339(row.accepted_at),
        "rbac_group_ids": [],
    }
