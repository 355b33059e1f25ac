"""The Admin API's rate limits and spend limits, and /antiphon/...: those of keys, and of every party in one way."""

from collections.abc import Sequence
from typing import Any

from starlette.routing import Route

from antiphon.core.errors import invalid
from antiphon.features.rates.service import Rates
from antiphon.features.rates.spends import SpendLimits, describe_spend
from antiphon.web.admin import actor_of, path_id, read_fields, require_admin
from antiphon.web.call import AdminCall
from antiphon.web.cursors import Mark, page_behind, parse_cursor
from antiphon.web.routing import route
from antiphon.wire.admin import parse_query
from antiphon.wire.rates import (
    Party,
    PartyRates,
    PartySpend,
    RateFilter,
    RateUpdate,
    SpendFilter,
    SpendUpdate,
    WorkspaceScope,
)

Object = dict[str, Any]

_SPENDS_PAGE = {"limit": ["20"]}


def routes(rates: Rates, spends: SpendLimits) -> list[Route]:
    return [*_rate_routes(rates), *_spend_routes(spends), *_own_routes(rates, spends)]


def _rate_routes(rates: Rates) -> list[Route]:
    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        query = call.query()
        entries = await rates.list(call.principal.scope, parse_query(RateFilter, query), call.version)
        await call.reply_json(page_behind(_marked(entries), parse_cursor(query)))

    async def list_workspace(call: AdminCall) -> None:
        require_admin(call)
        query = call.query()
        only, workspace_id = parse_query(RateFilter, query), path_id(call, "workspace_id")
        entries = await rates.list_workspace(call.principal.scope, workspace_id, only, call.version)
        await call.reply_json(page_behind(_marked(entries), parse_cursor(query)))

    async def update(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, RateUpdate)
        place = path_id(call, "workspace_id"), path_id(call, "rate_limit_id")
        entry = await rates.update_workspace(call.principal.scope, actor_of(call), *place, wish.limits, call.version)
        await call.reply_json(entry)

    workspace = "/v1/organizations/workspaces/{workspace_id}/rate_limits"
    return [
        route("/v1/organizations/rate_limits", GET=list_page),
        route(workspace, GET=list_workspace),
        route(workspace + "/{rate_limit_id}", POST=update),
    ]


def _spend_routes(spends: SpendLimits) -> list[Route]:
    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        query = call.query()
        limits = await spends.list(call.principal.scope, parse_query(SpendFilter, query))
        marked = [((-row.created_at, row.id), describe_spend(row)) for row in limits]
        await call.reply_json(page_behind(marked, parse_cursor(_SPENDS_PAGE | query)))

    async def change(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, SpendUpdate)
        scope = call.principal.scope
        party_id = wish.scope.workspace_id if isinstance(wish.scope, WorkspaceScope) else scope.organization_id
        await call.reply_json(await spends.set(scope, actor_of(call), wish.scope.type, party_id, wish.amount))

    async def retrieve(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(await spends.retrieve(call.principal.scope, path_id(call, "spend_limit_id")))

    async def delete(call: AdminCall) -> None:
        require_admin(call)
        spend_limit_id = path_id(call, "spend_limit_id")
        await call.reply_json(await spends.delete(call.principal.scope, actor_of(call), spend_limit_id))

    return [
        route("/v1/organizations/spend_limits", GET=list_page, POST=change),
        route("/v1/organizations/spend_limits/{spend_limit_id}", GET=retrieve, DELETE=delete),
    ]


def _own_routes(rates: Rates, spends: SpendLimits) -> list[Route]:
    async def show_rates(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json({"data": await rates.stored(call.principal.scope)})

    async def set_rates(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, PartyRates)
        scope, party_id = call.principal.scope, _id_of(call, wish.party)
        model_class = rates.class_of(wish.model)
        await rates.set(scope, actor_of(call), wish.party.type, party_id, model_class, wish.limits)
        limits = [entry for entry in await rates.stored(scope) if entry["party"]["id"] == party_id]
        await call.reply_json({"data": limits})

    async def show_spends(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json({"data": await spends.stored(call.principal.scope)})

    async def set_spend(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, PartySpend)
        scope, actor, party_id = call.principal.scope, actor_of(call), _id_of(call, wish.party)
        if wish.amount is None:
            await spends.remove(scope, actor, wish.party.type, party_id)
            await call.reply_json({"data": []})
        else:
            await call.reply_json({"data": [await spends.set(scope, actor, wish.party.type, party_id, wish.amount)]})

    return [
        route("/antiphon/rate_limits", GET=show_rates, POST=set_rates),
        route("/antiphon/spend_limits", GET=show_spends, POST=set_spend),
    ]


def _id_of(call: AdminCall, party: Party) -> str:
    if party.id is None and party.type != "organization":
        raise invalid("party.id: Field required")
    return call.principal.scope.organization_id if party.id is None else party.id


def _marked(entries: Sequence[Object]) -> list[tuple[Mark, Object]]:
    """Entries of an order that does not change."""
    return [((i, ""), entry) for i, entry in enumerate(entries)]
