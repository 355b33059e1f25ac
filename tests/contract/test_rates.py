"""Rate limits and spend limits on both databases, and how they become the limits of a call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.core.scope import Principal, Scope
from antiphon.engines.catalog import Catalog
from antiphon.features.rates.groups import Group
from antiphon.features.rates.policy import Policy, rates_of
from antiphon.features.rates.service import Rates
from antiphon.features.rates.spends import SpendLimits
from antiphon.limits.policy import Party, PartyKind
from antiphon.limits.policy import Rates as Limits
from antiphon.settings import RateLimits, Settings
from antiphon.store.accounts import OPERATOR, add_organization
from antiphon.store.directory import Snapshot
from antiphon.wire.rates import LimitChange, LimitType, SpendFilter
from tests.fixtures.databases import BACKENDS, Books, books

on_both = pytest.mark.parametrize("backend", BACKENDS)

SECOND = Scope("org_second", "wrkspc_second")
HOME = Scope("org_a", "wrkspc_a")
DEFAULTS = RateLimits(
    requests_per_minute=100, input_tokens_per_minute=1000, output_tokens_per_minute=500, concurrent_requests=9
)
SETTINGS = Settings(engine="fake:", rate_limits=DEFAULTS)  # type: ignore[call-arg]


def one(value: int | None, type: LimitType = "requests_per_minute") -> list[LimitChange]:
    return [LimitChange(type=type, value=value)]


def service(own: Books) -> Rates:
    return Rates(own.accounts, Catalog({}), SETTINGS)


def caller(own: Books) -> Principal:
    assert own.first.api
    holder = own.directory.holder_of(own.first.api)
    assert holder
    return holder


def snapshot(rates: Any = None, budgets: Any = None) -> Snapshot:
    return Snapshot(number=1, home=HOME, holders={}, pairs={}, rates=rates or {}, budgets=budgets or {})


def test_without_limits_of_anybodys_the_settings_hold_for_the_organization():
    parties = rates_of(snapshot(), DEFAULTS, Principal("apikey_a", HOME))
    assert parties == (
        Party("organization", "org_a", Limits(100, 1000, 500, 9)),
        Party("workspace", "wrkspc_a"),
        Party("key", "apikey_a"),
    )


def test_a_class_of_models_has_what_is_set_for_it_and_else_what_is_set_for_all():
    rates = {
        ("organization", "org_a"): [("", "requests_per_minute", 50), ("echo", "output_tokens_per_minute", 0)],
        ("key", "apikey_a"): [("echo", "requests_per_minute", 2)],
        ("key", "apikey_other"): [("", "requests_per_minute", 1)],
    }
    organization, workspace, key = rates_of(snapshot(rates), DEFAULTS, Principal("apikey_a", HOME))
    assert organization.rates_of("lorem") == Limits(50, 1000, 500, 9)
    assert organization.rates_of("echo") == Limits(50, 1000, 0, 9)
    assert workspace.rates_of("echo") == Limits()
    assert (key.rates_of("echo"), key.rates_of("lorem")) == (Limits(2), Limits())


def test_a_party_has_its_spend_limit_and_zero_is_one():
    budgets = {("workspace", "wrkspc_a"): 0, ("key", "apikey_a"): 7}
    parties = rates_of(snapshot(budgets=budgets), DEFAULTS, Principal("apikey_a", HOME))
    assert [party.spend_limit for party in parties] == [None, 0, 7]


def test_a_group_is_the_same_everywhere_and_its_entry_is_the_organizations_own():
    group, same, other = Group("echo", ["echo"]), Group("echo", ["echo", "x"]), Group("lorem", ["lorem"])
    assert group.id == same.id != other.id
    assert group.entry_id("org_a") == same.entry_id("org_a")
    assert group.entry_id("org_a") != group.entry_id("org_b")
    assert group.entry_id("org_a") != other.entry_id("org_a")


@on_both
async def test_a_limit_counts_for_the_next_call(backend: str):
    async with books(backend, ManualClock()) as own:
        policy, principal = Policy(own.directory, DEFAULTS), caller(own)
        assert policy.parties_of(principal)[2].rates == Limits()
        await service(own).set(own.scope, OPERATOR, "key", principal.key_id, "", one(5))
        assert policy.parties_of(principal)[2].rates == Limits(5)
        await service(own).set(own.scope, OPERATOR, "key", principal.key_id, "", one(None))
        assert policy.parties_of(principal)[2].rates == Limits()


@on_both
async def test_parties_are_worked_out_once_for_each_change(backend: str):
    async with books(backend, ManualClock()) as own:
        policy, principal = Policy(own.directory, DEFAULTS), caller(own)
        parties = policy.parties_of(principal)
        await own.directory.refresh()
        assert policy.parties_of(principal) is parties
        await SpendLimits(own.accounts).set(own.scope, OPERATOR, "organization", own.scope.organization_id, "100")
        assert policy.parties_of(principal)[0].spend_limit == 1_000_000_000


@on_both
async def test_a_workspaces_limit_may_stand_above_its_organizations(backend: str):
    """Both are counted, so the lower one is what holds."""
    async with books(backend) as own:
        rates, home = service(own), own.scope.workspace_id
        await rates.set(own.scope, OPERATOR, "organization", own.scope.organization_id, "echo", one(10))
        await rates.set(own.scope, OPERATOR, "workspace", home, "echo", one(11))
        organization, workspace, _ = Policy(own.directory, DEFAULTS).parties_of(caller(own))
    assert organization.rates_of("echo").requests_per_minute == 10
    assert workspace.rates_of("echo").requests_per_minute == 11


@on_both
async def test_limits_of_another_organization_are_neither_seen_nor_changed(backend: str):
    async with books(backend) as own:
        async with own.accounts.change(SECOND, OPERATOR) as change:
            await add_organization(change.connection, SECOND, "Second", change.now)
        rates, spends = service(own), SpendLimits(own.accounts)
        await rates.set(SECOND, OPERATOR, "workspace", SECOND.workspace_id, "", one(1))
        theirs = await spends.set(SECOND, OPERATOR, "workspace", SECOND.workspace_id, "100")
        parties: list[tuple[PartyKind, str, str]] = [
            ("workspace", SECOND.workspace_id, "Workspace"),
            ("workspace", "wrkspc_x", "Workspace"),
            ("organization", SECOND.organization_id, "Organization"),
            ("key", "apikey_x", "API key"),
        ]
        for kind, party_id, what in parties:
            for work in (
                rates.set(own.scope, OPERATOR, kind, party_id, "", one(2)),
                spends.set(own.scope, OPERATOR, kind, party_id, "5"),
                spends.remove(own.scope, OPERATOR, kind, party_id),
            ):
                with pytest.raises(ApiError, match=rf"{what} not found\."):
                    await work
        for work in (spends.retrieve(own.scope, theirs["id"]), spends.delete(own.scope, OPERATOR, theirs["id"])):
            with pytest.raises(ApiError, match=r"Spend limit not found\."):
                await work
        assert await rates.stored(own.scope) == []
        assert await spends.stored(own.scope) == []
        assert len(await rates.stored(SECOND)) == 1
        assert await spends.stored(SECOND) == [theirs]


@on_both
async def test_limits_that_are_set_at_once_end_as_one(backend: str):
    async with books(backend) as own:
        rates, spends, whole = service(own), SpendLimits(own.accounts), own.scope.organization_id
        await asyncio.gather(
            *[rates.set(own.scope, OPERATOR, "organization", whole, "", one(value)) for value in range(4)],
            *[spends.set(own.scope, OPERATOR, "organization", whole, str(value)) for value in range(4)],
        )
        assert len((await rates.stored(own.scope))[0]["limits"]) == 1
        assert len(await spends.list(own.scope, SpendFilter())) == 1
