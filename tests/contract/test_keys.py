"""Keys and workspaces on both databases: the rules, and what happens at the same moment."""

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy import insert, select

from antiphon.core.clock import Clock, ManualClock, rfc3339
from antiphon.core.errors import ApiError
from antiphon.core.scope import Principal, Scope
from antiphon.features.keys.service import Keys, check_model
from antiphon.features.workspaces.service import MAX_WORKSPACES, Workspaces
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR, NewKey, add_key, add_organization, add_workspace
from antiphon.web.pages import Page
from antiphon.wire.admin import (
    KeyCreate,
    KeyFilter,
    KeyUpdate,
    WorkspaceCreate,
    WorkspaceFilter,
    WorkspaceUpdate,
)
from tests.fixtures.databases import BACKENDS, SECRET, Books, books

both = pytest.mark.parametrize("backend", BACKENDS)


def services(own: Books, clock: Clock) -> tuple[Keys, Workspaces]:
    return Keys(own.accounts, SECRET.pepper, clock), Workspaces(own.accounts)


def first_page(limit: int = 1000, **place: str) -> Page:
    return Page(place.get("after_id"), place.get("before_id"), limit)


async def rows_of(own: Books, table: Any) -> list[Any]:
    async with own.database.read() as connection:
        return list(await connection.execute(select(table)))


async def team_of(own: Books, workspaces: Workspaces, name: str = "Team") -> str:
    return (await workspaces.create(own.scope, WorkspaceCreate(name=name), OPERATOR)).id


@both
async def test_pages_hold_each_key_once_even_those_of_one_moment(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        keys, _ = services(own, clock)
        for n in range(7):  # two at a time, beside the two first keys
            clock.advance(n % 2)
            await keys.create(own.scope, KeyCreate(name=f"K{n}"), OPERATOR)
        whole = [row.id for row in (await keys.list(own.scope, first_page(), KeyFilter())).rows]
        forward: list[str] = []
        has_more = True
        while has_more:
            page = first_page(2, **({"after_id": forward[-1]} if forward else {}))
            rows, has_more = await keys.list(own.scope, page, KeyFilter())
            forward += [row.id for row in rows]
        rows, has_more = await keys.list(own.scope, first_page(3, before_id=whole[5]), KeyFilter())
    assert len(set(whole)) == 9
    assert forward == whole
    assert ([row.id for row in rows], has_more) == (whole[2:5], True)


@both
async def test_a_new_key_works_and_is_stored_as_a_digest_only(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        keys, workspaces = services(own, clock)
        team = await team_of(own, workspaces)
        wish = KeyCreate(name="ci", workspace_id=team, allowed_models=["echo"], expires_at=rfc3339(clock.now() + 60))  # type: ignore[arg-type]
        made = await keys.create(own.scope, wish, OPERATOR)
        holder = own.directory.holder_of(made.key)
        stored = str(await rows_of(own, tables.api_keys)) + str(await rows_of(own, tables.audit))
    assert holder
    assert (holder.scope, holder.models) == (Scope(own.scope.organization_id, team), frozenset(["echo"]))
    assert holder.expires_at == clock.now() + 60
    assert made.key not in stored


@both
async def test_a_rotated_key_hands_its_limits_on(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        keys, _ = services(own, clock)
        old = (await keys.create(own.scope, KeyCreate(name="ci"), OPERATOR)).row
        party = {"organization_id": own.scope.organization_id, "party_kind": "key", "party_id": old.id}
        rate = party | {"model_class": "", "type": "requests_per_minute", "value": 7}
        spend = party | {"id": "spl_old", "amount": 5} | dict.fromkeys(_times(), clock.now())
        async with own.accounts.change(own.scope, OPERATOR) as change:
            await change.connection.execute(insert(tables.rate_limits).values(rate))
            await change.connection.execute(insert(tables.spend_limits).values(spend))
        new = (await keys.rotate(own.scope, old.id, 0, OPERATOR)).row
        now = own.directory.now
    assert now.rates["key", new.id] == [("", "requests_per_minute", 7)]
    assert now.budgets["key", new.id] == 5


def _times() -> list[str]:
    return [column.name for column in tables.spend_limits.c if column.name.endswith("_at")]


@both
async def test_the_grace_of_a_rotated_key_never_makes_it_live_longer(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        keys, _ = services(own, clock)
        wish = KeyCreate(name="ci", expires_at=rfc3339(clock.now() + 10))  # type: ignore[arg-type]
        soon = (await keys.create(own.scope, wish, OPERATOR)).row
        await keys.rotate(own.scope, soon.id, 60, OPERATOR)
        assert (await keys.retrieve(own.scope, soon.id)).expires_at == clock.now() + 10
        clock.advance(10)
        with pytest.raises(ApiError, match="this one is expired"):
            await keys.rotate(own.scope, soon.id, 0, OPERATOR)


@both
async def test_no_key_outlives_its_workspace_whatever_happens_at_the_same_moment(backend: str):
    async with books(backend) as own:
        keys, workspaces = services(own, ManualClock())
        team = await team_of(own, workspaces)
        ids = [
            (await keys.create(own.scope, KeyCreate(name="K", workspace_id=team), OPERATOR)).row.id for _ in range(4)
        ]

        async def attempt(work: Any) -> None:
            with contextlib.suppress(ApiError):  # some come too late
                await work

        create = KeyCreate(name="K", workspace_id=team)
        await asyncio.gather(
            *[attempt(keys.create(own.scope, create, OPERATOR)) for _ in range(4)],
            *[attempt(keys.rotate(own.scope, key_id, 0, OPERATOR)) for key_id in ids[:2]],
            workspaces.archive(own.scope, team, OPERATOR),
            *[attempt(keys.rotate(own.scope, key_id, 60, OPERATOR)) for key_id in ids[2:]],
            *[attempt(keys.update(own.scope, ids[3], KeyUpdate(status="active"), OPERATOR)) for _ in range(4)],
        )
        statuses = {row.status for row in await rows_of(own, tables.api_keys) if row.workspace_id == team}
    assert statuses == {"archived"}


@both
async def test_an_archived_key_stays_so_whatever_happens_at_the_same_moment(backend: str):
    async with books(backend) as own:
        keys, _ = services(own, ManualClock())
        made = await keys.create(own.scope, KeyCreate(name="K"), OPERATOR)

        async def say(status: Any) -> None:
            with contextlib.suppress(ApiError):
                await keys.update(own.scope, made.row.id, KeyUpdate(status=status), OPERATOR)

        await asyncio.gather(*[say(status) for status in ("active", "inactive", "archived", "active", "inactive")])
        assert (await keys.retrieve(own.scope, made.row.id)).status == "archived"
        assert own.directory.holder_of(made.key) is None


@both
async def test_the_hundredth_workspace_is_made_once(backend: str):
    async with books(backend) as own:
        _, workspaces = services(own, ManualClock())
        async with own.accounts.change(own.scope, OPERATOR) as change:
            for n in range(MAX_WORKSPACES - 1):
                new = Scope(own.scope.organization_id, f"wrkspc_{n}")
                await add_workspace(change.connection, new, "W", change.now)
        made = await asyncio.gather(*[team_of(own, workspaces) for _ in range(4)], return_exceptions=True)
    assert [isinstance(one, str) for one in made].count(True) == 1
    assert [isinstance(one, ApiError) for one in made].count(True) == 3


@both
async def test_another_organization_sees_and_changes_nothing(backend: str):
    async with books(backend) as own:
        keys, workspaces = services(own, ManualClock())
        foreign = Scope("org_b", "wrkspc_b")
        async with own.accounts.change(foreign, OPERATOR) as change:
            await add_organization(change.connection, foreign, "B", change.now)
            key_id = await add_key(change.connection, foreign, NewKey("api", "B", "d" * 64, "..."), change.now)
        team = await team_of(own, workspaces)
        mine = await keys.create(own.scope, KeyCreate(name="K", workspace_id=team), OPERATOR)
        before = [await rows_of(own, table) for table in (tables.api_keys, tables.workspaces)]
        attempts = [
            keys.retrieve(foreign, mine.row.id),
            keys.update(foreign, mine.row.id, KeyUpdate(status="archived"), OPERATOR),
            keys.rotate(foreign, mine.row.id, 0, OPERATOR),
            keys.create(foreign, KeyCreate(name="K", workspace_id=team), OPERATOR),
            workspaces.retrieve(foreign, team),
            workspaces.update(foreign, team, WorkspaceUpdate(name="B"), OPERATOR),
            workspaces.archive(foreign, team, OPERATOR),
            keys.retrieve(own.scope, key_id),
        ]
        for attempt in attempts:
            with pytest.raises(ApiError) as raised:
                await attempt
            assert raised.value.kind.status == 404
        assert [await rows_of(own, table) for table in (tables.api_keys, tables.workspaces)] == before
        everything = WorkspaceFilter(include_archived=True, include_default=True, ids=[team, foreign.workspace_id])
        seen = (await workspaces.list(foreign, first_page(), everything)).rows
        assert [row.id for row in seen] == [foreign.workspace_id]
        assert [row.id for row in (await keys.list(foreign, first_page(), KeyFilter())).rows] == [key_id]
        assert (await workspaces.organization(foreign))["name"] == "B"


@pytest.mark.parametrize(
    ("models", "requested", "resolved", "is_allowed"),
    [
        ([], "claude-x", "echo", True),
        (["echo"], "claude-x", "echo", True),
        (["claude-x"], "claude-x", "echo", True),
        (["claude-x"], "echo", "echo", False),
        (["echo"], "lorem", "lorem", False),
    ],
)
def test_a_key_may_be_kept_to_models_by_either_name(models: Any, requested: str, resolved: str, is_allowed: bool):
    principal = Principal("apikey_a", Scope("org", "wrkspc"), models=frozenset(models))
    with contextlib.nullcontext() if is_allowed else pytest.raises(ApiError) as raised:
        check_model(principal, requested, resolved)
    if not is_allowed:
        assert raised.value.kind.status == 403  # type: ignore[union-attr]
        assert str(raised.value) == f"This API key may not use the model {requested}."  # type: ignore[union-attr]
