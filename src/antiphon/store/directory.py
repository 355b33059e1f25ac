"""Who holds which key, and what is allowed to whom: the accounts of the database, held in memory.

A call asks no database. What it is told was true at most `MAX_AGE_S` ago: a key that was revoked anywhere stops working
within that time, and where the database cannot say, nobody is let in (docs/decisions).
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Row, and_, select

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError, OperatorError
from antiphon.core.scope import Member, Principal, Scope
from antiphon.core.secrets import digest
from antiphon.store import tables
from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database
from antiphon.store.secret import Secret

T = TypeVar("T")
MAX_AGE_S = 1.0
_LOOK_EVERY_S = 0.6
_FOLLOW_S = 5.0
"""After a call, for how long what is known is kept fresh: an idle server asks its database nothing."""
_DOUBT_S = 0.05
"""A key that nobody holds may have been made just now, elsewhere: asked again, but no more often than this."""

Party = tuple[str, str]
"""(organization, workspace or key; its id)"""


class Pair(NamedTuple):
    """Whom a pair of an access key id and a secret signs for, and its sealed secret."""

    principal: Principal
    sealed: str


class Snapshot(NamedTuple):
    """The accounts at one moment. `rates` holds (model class, type, value) of each party, `budgets` nano-dollars.

    `holders` are by the digest of their key, `pairs` by their access key id, `keys` by their own id.
    """

    number: int
    home: Scope
    holders: Mapping[str, Principal]
    rates: Mapping[Party, list[tuple[str, str, int]]]
    budgets: Mapping[Party, int]
    pairs: Mapping[str, Pair]
    keys: Mapping[str, Principal] = {}


class Directory:
    def __init__(self, database: Database, pepper: bytes, clock: Clock, environment: Iterable[str] = ()) -> None:
        """`environment` are the digests of the keys that the operator has set for this process."""
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._environment = frozenset(environment)
        self._asking = asyncio.Lock()
        self._seen_at = self._asked_at = float("-inf")
        self.now: Snapshot

    @property
    def home(self) -> Scope:
        """The first organization and its default workspace."""
        return self.now.home

    def check_fresh(self) -> bool:
        """Whether what is known may be used as it is. Whoever asks has it kept so for a while."""
        self._asked_at = self._clock.monotonic()
        return self._asked_at - self._seen_at < MAX_AGE_S

    def holder_of(self, key: str) -> Principal | None:
        """Who holds `key`, as far as is known now. Looked up by HMAC: how long it takes says nothing of any key."""
        return self.now.holders.get(digest(self._pepper, key))

    async def find(self, key: str) -> Principal | None:
        """Who holds `key`. Asks the database only if what is known is too old, or knows no such key."""
        return await self._see(lambda: self.holder_of(key))

    async def find_pair(self, access_key_id: str) -> Pair | None:
        """Whom `access_key_id` signs for; as fresh as `find`."""
        return await self._see(lambda: self.now.pairs.get(access_key_id))

    async def find_by_id(self, key_id: str) -> Principal | None:
        """The holder of the key with this id; as fresh as `find`."""
        return await self._see(lambda: self.now.keys.get(key_id))

    def secret_of(self, access_key_id: str, pair: Pair) -> str:
        """The secret access key of a pair, in the clear: only it can tell whether a signature is right."""
        return Secret(self._pepper).unseal(access_key_id, pair.sealed)

    async def _see(self, look: Callable[[], T | None]) -> T | None:
        if not self.check_fresh():
            await self.refresh()
        found = look()
        if found is None and self._clock.monotonic() - self._seen_at > _DOUBT_S:
            await self.refresh()
            found = look()
        return found

    async def refresh(self) -> None:
        """See what has changed. Whoever comes while another looks takes what that one finds, if it looked after."""
        asked_at = self._clock.monotonic()
        async with self._asking:
            if self._seen_at <= asked_at:
                await self._look()

    async def _look(self) -> None:
        began_at = self._clock.monotonic()
        async with self._database.read() as connection:
            number = await _epoch(connection)
            if not hasattr(self, "now") or number != self.now.number:
                self.now = await _load(connection, number, self._environment)
        self._seen_at = began_at

    async def follow(self) -> None:
        """Keep what is known fresh while there are calls, until cancelled."""
        while True:
            await sleep(self._clock, _LOOK_EVERY_S)
            if self._clock.monotonic() - self._asked_at > _FOLLOW_S:
                continue
            try:
                await self.refresh()
            except (ApiError, OSError):
                continue  # told by the database; calls ask for themselves meanwhile


async def _epoch(connection: AsyncConnection) -> int:
    epochs = tables.epochs
    return (await connection.execute(select(epochs.c.number).where(epochs.c.name == "accounts"))).scalar_one()


async def _load(connection: AsyncConnection, number: int, environment: frozenset[str]) -> Snapshot:
    holders = await _holders(connection, environment)
    return Snapshot(
        number,
        await _home(connection),
        holders,
        await _rates(connection),
        await _budgets(connection),
        await _pairs(connection, holders.values()),
        {principal.key_id: principal for principal in holders.values()},
    )


async def _home(connection: AsyncConnection) -> Scope:
    workspaces, organizations = tables.workspaces, tables.organizations
    query = (
        select(workspaces.c.organization_id, workspaces.c.id)
        .join(organizations, organizations.c.id == workspaces.c.organization_id)
        .where(workspaces.c.is_default)
        .order_by(organizations.c.created_at, organizations.c.id)
    )
    row = (await connection.execute(query)).first()
    if row is None:
        raise OperatorError("The database holds no organization: restore it from a backup.")
    return Scope(*row)


async def _holders(connection: AsyncConnection, environment: frozenset[str]) -> dict[str, Principal]:
    """Every key that works, by its digest."""
    keys, workspaces, users, members = tables.api_keys, tables.workspaces, tables.users, tables.workspace_members
    query = (
        select(keys, users.c.role, members.c.workspace_role)
        .join(workspaces, workspaces.c.id == keys.c.workspace_id)
        .outerjoin(users, users.c.id == keys.c.created_by)
        .outerjoin(members, and_(members.c.user_id == users.c.id, members.c.workspace_id == keys.c.workspace_id))
        .where(keys.c.status == "active", workspaces.c.archived_at.is_(None))
    )
    rows = (await connection.execute(query)).all()
    return {row.digest: _principal(row) for row in rows if row.source == "made" or row.digest in environment}


def _principal(row: Row[Any]) -> Principal:
    member = Member(row.created_by, row.role, row.workspace_role) if row.created_by else None
    return Principal(
        row.id,
        Scope(row.organization_id, row.workspace_id),
        row.kind,
        member,
        row.expires_at,
        frozenset(json.loads(row.allowed_models)),
        tuple(ip_network(address) for address in json.loads(row.allowed_addresses)),
    )


async def _pairs(connection: AsyncConnection, holders: Iterable[Principal]) -> dict[str, Pair]:
    """The pairs of keys that work."""
    by_key = {principal.key_id: principal for principal in holders}
    rows = (await connection.execute(select(tables.aws_keys))).all()
    return {row.access_key_id: Pair(by_key[row.key_id], row.secret) for row in rows if row.key_id in by_key}


async def _rates(connection: AsyncConnection) -> dict[Party, list[tuple[str, str, int]]]:
    rates: dict[Party, list[tuple[str, str, int]]] = {}
    for row in await connection.execute(select(tables.rate_limits)):
        rates.setdefault((row.party_kind, row.party_id), []).append((row.model_class, row.type, row.value))
    return rates


async def _budgets(connection: AsyncConnection) -> dict[Party, int]:
    rows = await connection.execute(select(tables.spend_limits))
    return {(row.party_kind, row.party_id): row.amount for row in rows}
