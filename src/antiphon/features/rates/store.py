"""Limits in SQL. A rate limit is of a party, a class of models ("" for each of them) and a type."""

from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select, update

from antiphon.core.ids import new_id
from antiphon.core.scope import Scope
from antiphon.limits.policy import PartyKind
from antiphon.store.connection import AsyncConnection
from antiphon.store.tables import api_keys, organizations, rate_limits, spend_limits, workspaces


async def hold_organization(connection: AsyncConnection, scope: Scope) -> None:
    """Limits are changed by one at a time."""
    query = select(organizations.c.id).where(organizations.c.id == scope.organization_id)
    await connection.execute(query.with_for_update(key_share=True))


async def party_exists(connection: AsyncConnection, scope: Scope, kind: PartyKind, party_id: str) -> bool:
    if kind == "organization":
        return party_id == scope.organization_id
    table = workspaces if kind == "workspace" else api_keys
    query = select(table.c.id).where(table.c.organization_id == scope.organization_id, table.c.id == party_id)
    return (await connection.execute(query)).first() is not None


async def list_rates(
    connection: AsyncConnection, scope: Scope, kind: PartyKind | None = None, party_id: str = ""
) -> list[Row[Any]]:
    """Those of one party, or of all."""
    limits = rate_limits.c
    mine = [limits.organization_id == scope.organization_id]
    if kind:
        mine += [limits.party_kind == kind, limits.party_id == party_id]
    order = (limits.party_kind, limits.party_id, limits.model_class, limits.type)
    return list(await connection.execute(select(rate_limits).where(*mine).order_by(*order)))


async def set_rate(
    connection: AsyncConnection,
    scope: Scope,
    kind: PartyKind,
    party_id: str,
    model_class: str,
    type: str,
    value: int | None,
) -> None:
    """Without a value, the limit is taken away."""
    limits = rate_limits.c
    place = {"party_kind": kind, "party_id": party_id, "model_class": model_class, "type": type}
    mine = and_(limits.organization_id == scope.organization_id, *(limits[name] == it for name, it in place.items()))
    await connection.execute(delete(rate_limits).where(mine))
    if value is not None:
        await connection.execute(
            insert(rate_limits).values(organization_id=scope.organization_id, value=value, **place)
        )


async def list_spends(connection: AsyncConnection, scope: Scope) -> list[Row[Any]]:
    """Newest first."""
    limits = spend_limits.c
    mine = limits.organization_id == scope.organization_id
    query = select(spend_limits).where(mine).order_by(limits.created_at.desc(), limits.id)
    return list(await connection.execute(query))


async def find_spend(connection: AsyncConnection, scope: Scope, spend_limit_id: str) -> Row[Any] | None:
    mine = and_(spend_limits.c.organization_id == scope.organization_id, spend_limits.c.id == spend_limit_id)
    return (await connection.execute(select(spend_limits).where(mine))).first()


async def find_spend_of(connection: AsyncConnection, scope: Scope, kind: PartyKind, party_id: str) -> Row[Any] | None:
    return (await connection.execute(select(spend_limits).where(_spend_of(scope, kind, party_id)))).first()


async def set_spend(
    connection: AsyncConnection, scope: Scope, kind: PartyKind, party_id: str, amount: int, now: float
) -> None:
    """`amount` in nano-dollars."""
    changed = update(spend_limits).where(_spend_of(scope, kind, party_id)).values(amount=amount, updated_at=now)
    if (await connection.execute(changed)).rowcount:
        return
    values = {"id": new_id("spl"), "party_kind": kind, "party_id": party_id, "amount": amount}
    times = {"created_at": now, "updated_at": now}
    await connection.execute(insert(spend_limits).values(organization_id=scope.organization_id, **values, **times))


async def delete_spend(connection: AsyncConnection, scope: Scope, spend_limit_id: str) -> None:
    mine = and_(spend_limits.c.organization_id == scope.organization_id, spend_limits.c.id == spend_limit_id)
    await connection.execute(delete(spend_limits).where(mine))


def _spend_of(scope: Scope, kind: PartyKind, party_id: str) -> ColumnElement[bool]:
    party = and_(spend_limits.c.party_kind == kind, spend_limits.c.party_id == party_id)
    return and_(spend_limits.c.organization_id == scope.organization_id, party)
