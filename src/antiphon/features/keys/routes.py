"""The Admin API's /v1/organizations/api_keys, and /antiphon/api_keys: to make keys, which that API cannot."""

from typing import Any

from sqlalchemy import Row
from starlette.routing import Route

from antiphon.features.keys.service import Keys, Made, describe, describe_fully
from antiphon.web.admin import actor_of, path_id, read_fields, require_admin
from antiphon.web.call import AdminCall
from antiphon.web.pages import parse_page
from antiphon.web.routing import route
from antiphon.wire.admin import KeyCreate, KeyFilter, KeyLimits, KeyRotate, KeyUpdate, listing, parse_query


def routes(keys: Keys) -> list[Route]:
    return [*_standard_routes(keys), *_own_routes(keys)]


def _standard_routes(keys: Keys) -> list[Route]:
    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        query = call.query()
        part = await keys.list(call.principal.scope, parse_page(query), parse_query(KeyFilter, query))
        await call.reply_json(listing([_shown(call, row) for row in part.rows], has_more=part.has_more))

    async def retrieve(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(_shown(call, await keys.retrieve(call.principal.scope, path_id(call, "key_id"))))

    async def update(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, KeyUpdate)
        row = await keys.update(call.principal.scope, path_id(call, "key_id"), wish, actor_of(call))
        await call.reply_json(_shown(call, row))

    return [
        route("/v1/organizations/api_keys", GET=list_page),
        route("/v1/organizations/api_keys/{key_id}", GET=retrieve, POST=update),
    ]


def _own_routes(keys: Keys) -> list[Route]:
    async def create(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, KeyCreate)
        await call.reply_json(_shown_once(call, await keys.create(call.principal.scope, wish, actor_of(call))))

    async def retrieve(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(_shown_fully(call, await keys.retrieve(call.principal.scope, path_id(call, "key_id"))))

    async def limit(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, KeyLimits)
        row = await keys.limit(call.principal.scope, path_id(call, "key_id"), wish, actor_of(call))
        await call.reply_json(_shown_fully(call, row))

    async def rotate(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, KeyRotate)
        made = await keys.rotate(call.principal.scope, path_id(call, "key_id"), wish.grace_s, actor_of(call))
        await call.reply_json(_shown_once(call, made))

    return [
        route("/antiphon/api_keys", POST=create),
        route("/antiphon/api_keys/{key_id}", GET=retrieve, POST=limit),
        route("/antiphon/api_keys/{key_id}/rotate", POST=rotate),
    ]


def _shown(call: AdminCall, row: Row[Any]) -> dict[str, Any]:
    return describe(row, call.principal.scope, call.version, call.shared.clock.now())


def _shown_fully(call: AdminCall, row: Row[Any]) -> dict[str, Any]:
    return describe_fully(row, call.principal.scope, call.version, call.shared.clock.now())


def _shown_once(call: AdminCall, made: Made) -> dict[str, Any]:
    return _shown_fully(call, made.row) | {"key": made.key}
