"""What belongs to another organization does not exist: every route that names an id says so in the same words.

The routes are taken from the application itself. One with an id that is not known here fails the test: give each
organization something by that name in `settle`, or say in `SHARED` that it is nobody's.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, get_type_hints

import pytest
from sqlalchemy import select
from starlette.routing import Route

from antiphon.core.scope import Principal, Scope
from antiphon.features.batches.service import Author
from antiphon.features.files.service import Upload
from antiphon.features.keys.service import Keys
from antiphon.features.members.places import WorkspaceMembers
from antiphon.features.members.service import Invites, Users
from antiphon.features.rates.groups import groups_of
from antiphon.features.rates.service import Rates
from antiphon.features.rates.spends import SpendLimits
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR, add_organization
from antiphon.web import door
from antiphon.web.call import AdminCall
from antiphon.wire.admin import KeyCreate
from antiphon.wire.rates import LimitChange
from antiphon.wire.versions import Version
from tests.fixtures.world import ADMIN_KEY, API_KEY, World
from tests.fixtures.world import ask as question

SECOND = Scope("org_01TheOther", "wrkspc_01TheOther")
VERSION = {"anthropic-version": "2026-10-21"}

SHARED = {"model_id"}
"""Parameters that mean the same to everybody."""

UNKNOWN = {
    "key_id": "apikey_01nobodys",
    "workspace_id": "wrkspc_01nobodys",
    "user_id": "user_01nobodys",
    "invite_id": "invite_01nobodys",
    "rate_limit_id": "rl_01nobodys",
    "spend_limit_id": "spl_01nobodys",
    "file_id": "file_01nobodys",
    "batch_id": "msgbatch_01nobodys",
}
BODIES: dict[str, Any] = {
    "/v1/organizations/users/{user_id}": {"role": "billing"},
    "/antiphon/invites/{invite_id}/accept": {"name": "Eve"},
    "/v1/organizations/workspaces/{workspace_id}": {"name": "Taken over"},
    "/v1/organizations/workspaces/{workspace_id}/members": {
        "user_id": "user_01nobodys",
        "workspace_role": "workspace_user",
    },
    "/v1/organizations/workspaces/{workspace_id}/members/{user_id}": {"workspace_role": "workspace_admin"},
    "/v1/organizations/workspaces/{workspace_id}/rate_limits/{rate_limit_id}": {
        "limits": [{"type": "requests_per_minute", "value": 1}]
    },
}
"""Where a POST needs more than an empty object, lest it be refused before the id is looked at."""

BY_BODY: list[tuple[str, Any]] = [
    ("/antiphon/api_keys", {"name": "x", "workspace_id": "{workspace_id}"}),
    ("/antiphon/api_keys", {"name": "x", "created_by_user_id": "{user_id}"}),
    (
        "/v1/organizations/spend_limits",
        {"amount": "1", "scope": {"type": "workspace", "workspace_id": "{workspace_id}"}},
    ),
    ("/antiphon/spend_limits", {"amount": "1", "party": {"type": "key", "id": "{key_id}"}}),
    ("/antiphon/rate_limits", {"limits": [], "party": {"type": "workspace", "id": "{workspace_id}"}}),
    (
        "/v1/organizations/workspaces/{own_workspace_id}/members",
        {"user_id": "{user_id}", "workspace_role": "workspace_user"},
    ),
]
"""Ids that come in bodies."""


async def settle(world: World, scope: Scope) -> dict[str, str]:
    """Give the organization of `scope` one of each; their ids, by the names of the paths' parameters."""
    accounts = world.app.accounts
    users, spends = Users(accounts), SpendLimits(accounts)
    user = await users.add(scope, OPERATOR, f"ada@{scope.organization_id}.example.com", "Ada", "developer")
    place = scope.workspace_id
    await WorkspaceMembers(accounts).add(scope, OPERATOR, place, user["id"], "workspace_user")
    invite = await Invites(accounts).create(scope, OPERATOR, f"bob@{scope.organization_id}.example.com", "user")
    keys = Keys(accounts, world.app._secret.pepper, world.clock)
    made = await keys.create(scope, KeyCreate(name="Their key"), OPERATOR)
    limit: Any = LimitChange(type="requests_per_minute", value=9)
    rates = Rates(accounts, world.app.catalog, world.app.settings)
    await rates.set(scope, OPERATOR, "workspace", place, "echo", [limit])
    spend = await spends.set(scope, OPERATOR, "workspace", place, "100")
    async with world.app.files.draft() as draft:
        await draft.write(b"of " + place.encode())
        file = await world.app.files.add(scope, draft, Upload("a.txt", "text/plain", is_downloadable=True))
    return {
        "key_id": made.row.id,
        "workspace_id": place,
        "user_id": user["id"],
        "invite_id": invite["id"],
        "rate_limit_id": groups_of(world.app.catalog, {})[0].entry_id(scope.organization_id),
        "spend_limit_id": spend["id"],
        "file_id": file.id,
        "batch_id": await ended_batch(world, scope),
    }


async def ended_batch(world: World, scope: Scope) -> str:
    async def body():
        yield json.dumps({"requests": [{"custom_id": "one", "params": question()}]}).encode()

    author = Author(Principal("apikey_01its", scope), Version.V2026_10_21)
    batch = await world.app.batches.create(author, body())
    while (await world.app.batches.retrieve(scope, batch.id)).state != "ended":
        await asyncio.sleep(0.01)
    return batch.id


async def test_another_organizations_ids_are_unknown_on_every_route(monkeypatch: pytest.MonkeyPatch):
    routes = watch_routes(monkeypatch)
    async with World() as world:
        own, theirs = await two_organizations(world)
        before = await everything_of(world, SECOND)
        num_asked = 0
        for path, method, key in endpoints(routes):
            for ids in wrong_ids(path, own, theirs):
                body = BODIES.get(path, {})
                foreign = await ask(world, method, path.format_map(ids(theirs)), body, key, ids(theirs))
                unknown = await ask(world, method, path.format_map(ids(UNKNOWN)), body, key, ids(UNKNOWN))
                assert foreign == unknown, f"{method} {path} tells what is another organization's"
                assert unknown[0] == 404, f"{method} {path} answers {unknown} for an id that there is not"
                num_asked += 1
        for path, body in BY_BODY:
            answers = [await ask_by_body(world, path, body, ids, own) for ids in (theirs, UNKNOWN)]
            assert answers[0] == answers[1], f"POST {path} tells what is another organization's"
            assert answers[0][0] == 404, f"POST {path} answers {answers[0]} for an id that there is not"
        assert num_asked > 20
        assert await everything_of(world, SECOND) == before


async def test_another_organizations_ids_are_no_places_in_a_list(monkeypatch: pytest.MonkeyPatch):
    routes = watch_routes(monkeypatch)
    async with World() as world:
        _, theirs = await two_organizations(world)
        for route in routes:
            if route.param_convertors or not route.path.startswith("/v1/organizations"):
                continue
            for parameter in ("after_id", "before_id"):
                answers = [
                    [
                        await ask(world, "GET", f"{route.path}?{parameter}={ids[name]}", None, ADMIN_KEY, ids)
                        for name in ids
                    ]
                    for ids in (theirs, UNKNOWN)
                ]
                assert answers[0] == answers[1], f"GET {route.path} knows another organization's {parameter}"


async def test_each_organization_sees_its_own(monkeypatch: pytest.MonkeyPatch):
    """The ids of the other tests are good ones: where they belong, they are found."""
    routes = watch_routes(monkeypatch)
    async with World() as world:
        own, _ = await two_organizations(world)
        for path, method, key in endpoints(routes):
            if method == "GET":
                assert (await ask(world, method, path.format_map(own), None, key, own))[0] == 200, path


async def two_organizations(world: World) -> tuple[dict[str, str], dict[str, str]]:
    async with world.app.accounts.change(SECOND, OPERATOR) as change:
        await add_organization(change.connection, SECOND, "The other", change.now)
    return await settle(world, world.app.directory.home), await settle(world, SECOND)


def watch_routes(monkeypatch: pytest.MonkeyPatch) -> list[Route]:
    """The routes of the application that is made next."""
    routes: list[Route] = []
    make_router = door.make_router

    def watched(given: list[Route]) -> Any:
        routes.extend(given)
        return make_router(given)

    monkeypatch.setattr(door, "make_router", watched)
    return routes


def endpoints(routes: list[Route]) -> list[tuple[str, str, str]]:
    """(path, method, key) of all that name an id."""
    found: list[tuple[str, str, str]] = []
    for route in routes:
        wanted = {name for name in route.param_convertors if name.endswith("id")} - SHARED
        assert wanted <= UNKNOWN.keys(), f"{route.path}: this test does not know {wanted - UNKNOWN.keys()}"
        native: Any = getattr(route.endpoint, "_native", route.endpoint)  # a path of two doors
        if not hasattr(native, "_handlers"):
            continue  # a path that only leads to others: those are walked as they are
        handlers: dict[str, Any] = native._handlers
        for method, (handler, _) in handlers.items():
            if wanted and method != "HEAD":
                is_of_admin_api = AdminCall in get_type_hints(handler).values()
                found.append((route.path, method, ADMIN_KEY if is_of_admin_api else API_KEY))
    return found


def wrong_ids(path: str, own: dict[str, str], theirs: dict[str, str]) -> list[Any]:
    """For each parameter of `path`: what makes ids that are right up to it, and from it on those that are given."""
    names = re.findall(r"{(\w+)}", path)

    def wrong_from(i: int) -> Any:
        return lambda given: {name: own[name] if n < i else given[name] for n, name in enumerate(names)}

    return [wrong_from(i) for i in range(len(names))]


async def ask(
    world: World, method: str, path: str, body: Any, key: str, ids: dict[str, str]
) -> tuple[int, str, list[str]]:
    """(status, body, names of headers), with the ids of the request taken out."""
    headers = VERSION | {"x-api-key": key}
    async with world.http.request(method, path, headers=headers, json=body if method != "GET" else None) as reply:
        text = (await reply.text()).replace(reply.headers["request-id"], "REQUEST")
        for name, value in ids.items():
            text = text.replace(value, name)
        return reply.status, text, sorted(reply.headers)


async def ask_by_body(
    world: World, path: str, body: Any, ids: dict[str, str], own: dict[str, str]
) -> tuple[int, str, list[str]]:
    text = json.dumps(body)
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    path = path.replace("{own_workspace_id}", own["workspace_id"])
    return await ask(world, "POST", path, json.loads(text), ADMIN_KEY, ids)


async def everything_of(world: World, scope: Scope) -> dict[str, list[Any]]:
    """All rows of an organization."""
    found: dict[str, list[Any]] = {}
    async with world.app.database.read() as connection:
        for name, table in tables.metadata.tables.items():
            if "organization_id" in table.c:
                mine = select(table).where(table.c.organization_id == scope.organization_id)
                found[name] = sorted(map(repr, await connection.execute(mine)))
    return found
