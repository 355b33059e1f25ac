"""The first start: an organization, its default workspace, and the keys that are shown once."""

from typing import NamedTuple

from sqlalchemy import insert, select

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError, OperatorError
from antiphon.core.ids import new_id
from antiphon.core.scope import Scope
from antiphon.core.secrets import KeyKind, digest, hint_of, new_key
from antiphon.store import schema, tables
from antiphon.store.accounts import EPOCH, OPERATOR, Change, NewKey, add_key, add_organization, bump
from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database
from antiphon.store.secret import OldFile, Secret


class FirstKeys(NamedTuple):
    """The keys that were made just now, in the clear; None for one that the operator set."""

    api: str | None
    admin: str | None


class OperatorKeys(NamedTuple):
    """The keys that the operator has set for this process, in the clear."""

    api: str | None = None
    admin: str | None = None

    def digests(self, secret: Secret) -> list[str]:
        return [digest(secret.pepper, key) for key in self if key]


async def check_store(database: Database, secret: Secret) -> bool:
    """Whether there has been a first start. Only reads.

    Raises OperatorError for tables that are older than this release, and for those of another secret.
    """
    async with database.read() as connection:
        version = await schema.version_of(connection)
        if version is None:
            return False
        if version < schema.HEAD:
            raise OperatorError(
                f"The tables are of version {version}, not {schema.HEAD}: "
                "start this release's server, or run `antiphon db upgrade`."
            )
        if (known := await _fingerprint(connection)) is not None:
            _compare(known, secret)
        return bool((await connection.execute(select(tables.organizations.c.id).limit(1))).first())


async def open_store(
    database: Database, secret: Secret, old: OldFile | None, keys: OperatorKeys, clock: Clock
) -> FirstKeys | None:
    """Bring `database` to the newest tables and see that somebody lives in it; the keys of a first start.

    Raises OperatorError.
    """
    try:
        database.create()
        await schema.upgrade(database)
        async with database.write() as connection:
            await _check_secret(connection, secret)
            first = None
            if not (await connection.execute(select(tables.organizations.c.id).limit(1))).first():
                first = await _settle(connection, secret, old, keys, clock.now())
            await _adopt(connection, secret, keys, clock.now())
    except OSError as error:
        raise OperatorError(
            f"Cannot use {database.url.database} ({error.strerror}): give --data-dir another."
        ) from error
    except ApiError as error:
        raise OperatorError("The database cannot be used: the error above says why.") from error
    return first


async def _check_secret(connection: AsyncConnection, secret: Secret) -> None:
    known = await _fingerprint(connection)
    if known is None:
        await connection.execute(insert(tables.facts).values(name="secret", value=secret.fingerprint))
        await connection.execute(insert(tables.epochs).values(name=EPOCH, number=1))
    else:
        _compare(known, secret)


async def _fingerprint(connection: AsyncConnection) -> str | None:
    facts = tables.facts
    return (await connection.execute(select(facts.c.value).where(facts.c.name == "secret"))).scalar()


def _compare(known: str, secret: Secret) -> None:
    if known != secret.fingerprint:
        raise OperatorError(
            "This database belongs to another secret: copy its first server's secret.key, or set ANTIPHON_SECRET_KEY."
        )


async def _settle(
    connection: AsyncConnection, secret: Secret, old: OldFile | None, operator: OperatorKeys, now: float
) -> FirstKeys | None:
    """The first organization, with the keys of the release that kept them in a file, or with new ones."""
    scope = old.scope if old else Scope(new_id("org"), new_id("wrkspc"))
    change = Change(connection, scope, OPERATOR, now)
    await add_organization(connection, scope, "Antiphon", now)
    await change.note("organization.created", scope.organization_id, name="Antiphon")
    await change.note("workspace.created", scope.workspace_id, name="Default")
    if old:
        for kind, known in old.keys:
            await _add_key(change, NewKey(kind, f"First {kind} key", known, "..."))
        return None
    first = FirstKeys(*(None if given else new_key(kind) for kind, given in zip(_KINDS, operator, strict=True)))
    for kind, key in zip(_KINDS, first, strict=True):
        if key:
            await _add_key(change, _new(secret, kind, f"First {kind} key", key, "made"))
    return first


async def _add_key(change: Change, key: NewKey) -> None:
    key_id = await add_key(change.connection, change.scope, key, change.now)
    told = {"workspace_id": change.scope.workspace_id, "kind": key.kind, "name": key.name, "source": key.source}
    await change.note("api_key.created", key_id, **told)


_KINDS: tuple[KeyKind, KeyKind] = ("api", "admin")
_VARIABLES: dict[KeyKind, str] = {"api": "ANTIPHON_API_KEY", "admin": "ANTIPHON_ADMIN_KEY"}


def _new(secret: Secret, kind: KeyKind, name: str, key: str, source: str) -> NewKey:
    return NewKey(kind, name, digest(secret.pepper, key), hint_of(key), source)


async def _adopt(connection: AsyncConnection, secret: Secret, operator: OperatorKeys, now: float) -> None:
    """See that the operator's own keys are in the books, so that what they do can be told apart."""
    keys, workspaces = tables.api_keys, tables.workspaces
    for kind, key in zip(_KINDS, operator, strict=True):
        known = select(keys.c.id).where(keys.c.digest == digest(secret.pepper, key or ""))
        if key and not (await connection.execute(known)).first():
            home = select(workspaces.c.organization_id, workspaces.c.id).where(workspaces.c.is_default)
            row = (await connection.execute(home.order_by(workspaces.c.created_at))).first()
            assert row
            change = Change(connection, Scope(*row), OPERATOR, now)
            await _add_key(change, _new(secret, kind, _VARIABLES[kind], key, "environment"))
            await bump(connection)
