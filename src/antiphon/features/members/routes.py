"""The Admin API's users, invites and members of workspaces."""

from starlette.routing import Route

from antiphon.features.members.places import WorkspaceMembers
from antiphon.features.members.service import Invites, Users
from antiphon.store.accounts import Accounts
from antiphon.web.admin import actor_of, path_id, read_fields, require_admin
from antiphon.web.call import AdminCall
from antiphon.web.pages import page_of, parse_page
from antiphon.web.routing import route
from antiphon.wire.admin import parse_query
from antiphon.wire.members import (
    InviteAccept,
    InviteCreate,
    InviteFilter,
    MemberAdd,
    MemberUpdate,
    UserFilter,
    UserUpdate,
)


def routes(accounts: Accounts) -> list[Route]:
    return [*_user_routes(Users(accounts)), *_invite_routes(Invites(accounts)), *_places(WorkspaceMembers(accounts))]


def _user_routes(users: Users) -> list[Route]:
    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        query = call.query()
        page, only = parse_page(query), parse_query(UserFilter, query)
        await call.reply_json(await users.list(call.principal.scope, page, only))

    async def retrieve(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(await users.retrieve(call.principal.scope, path_id(call, "user_id")))

    async def update(call: AdminCall) -> None:
        require_admin(call)
        body = await read_fields(call, UserUpdate)
        user_id = path_id(call, "user_id")
        await call.reply_json(await users.update(call.principal.scope, actor_of(call), user_id, body.role))

    async def remove(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(await users.remove(call.principal.scope, actor_of(call), path_id(call, "user_id")))

    return [
        route("/v1/organizations/users", GET=list_page),
        route("/v1/organizations/users/{user_id}", GET=retrieve, POST=update, DELETE=remove),
    ]


def _invite_routes(invites: Invites) -> list[Route]:
    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        query = call.query()
        page, only = parse_page(query), parse_query(InviteFilter, query)
        await call.reply_json(await invites.list(call.principal.scope, page, only, call.shared.clock.now()))

    async def create(call: AdminCall) -> None:
        require_admin(call)
        body = await read_fields(call, InviteCreate)
        await call.reply_json(await invites.create(call.principal.scope, actor_of(call), body.email, body.role))

    async def retrieve(call: AdminCall) -> None:
        require_admin(call)
        now = call.shared.clock.now()
        await call.reply_json(await invites.retrieve(call.principal.scope, path_id(call, "invite_id"), now))

    async def delete(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(await invites.delete(call.principal.scope, actor_of(call), path_id(call, "invite_id")))

    async def accept(call: AdminCall) -> None:
        require_admin(call)
        body = await read_fields(call, InviteAccept)
        invite_id = path_id(call, "invite_id")
        await call.reply_json(await invites.accept(call.principal.scope, actor_of(call), invite_id, body.name))

    return [
        route("/v1/organizations/invites", GET=list_page, POST=create),
        route("/v1/organizations/invites/{invite_id}", GET=retrieve, DELETE=delete),
        route("/antiphon/invites/{invite_id}/accept", POST=accept),
    ]


def _places(members: WorkspaceMembers) -> list[Route]:
    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        page = parse_page(call.query())
        found = await members.list(call.principal.scope, path_id(call, "workspace_id"))
        listing = page_of([{"id": member["user_id"], "member": member} for member in found], page)
        await call.reply_json(listing | {"data": [row["member"] for row in listing["data"]]})

    async def add(call: AdminCall) -> None:
        require_admin(call)
        body = await read_fields(call, MemberAdd)
        workspace_id, actor = path_id(call, "workspace_id"), actor_of(call)
        added = await members.add(call.principal.scope, actor, workspace_id, body.user_id, body.workspace_role)
        await call.reply_json(added)

    async def retrieve(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(await members.retrieve(call.principal.scope, *_place_of(call)))

    async def update(call: AdminCall) -> None:
        require_admin(call)
        body = await read_fields(call, MemberUpdate)
        changed = await members.update(call.principal.scope, actor_of(call), *_place_of(call), body.workspace_role)
        await call.reply_json(changed)

    async def remove(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(await members.remove(call.principal.scope, actor_of(call), *_place_of(call)))

    return [
        route("/v1/organizations/workspaces/{workspace_id}/members", GET=list_page, POST=add),
        route(
            "/v1/organizations/workspaces/{workspace_id}/members/{user_id}", GET=retrieve, POST=update, DELETE=remove
        ),
    ]


def _place_of(call: AdminCall) -> tuple[str, str]:
    return path_id(call, "workspace_id"), path_id(call, "user_id")
