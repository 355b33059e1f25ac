"""The Admin API's /v1/organizations/workspaces and /v1/organizations/me."""

from starlette.routing import Route

from antiphon.features.workspaces.service import Workspaces, describe
from antiphon.web.admin import actor_of, path_id, read_fields, require_admin
from antiphon.web.call import AdminCall
from antiphon.web.pages import parse_page
from antiphon.web.routing import route
from antiphon.wire.admin import WorkspaceCreate, WorkspaceFilter, WorkspaceUpdate, listing, parse_query


def routes(workspaces: Workspaces) -> list[Route]:
    async def organization(call: AdminCall) -> None:
        require_admin(call)
        await call.reply_json(await workspaces.organization(call.principal.scope))

    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        query = call.query()
        part = await workspaces.list(call.principal.scope, parse_page(query), parse_query(WorkspaceFilter, query))
        await call.reply_json(listing([describe(row) for row in part.rows], has_more=part.has_more))

    async def create(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, WorkspaceCreate)
        await call.reply_json(describe(await workspaces.create(call.principal.scope, wish, actor_of(call))))

    async def retrieve(call: AdminCall) -> None:
        require_admin(call)
        row = await workspaces.retrieve(call.principal.scope, path_id(call, "workspace_id"))
        await call.reply_json(describe(row))

    async def update(call: AdminCall) -> None:
        require_admin(call)
        wish = await read_fields(call, WorkspaceUpdate)
        workspace_id = path_id(call, "workspace_id")
        await call.reply_json(
            describe(await workspaces.update(call.principal.scope, workspace_id, wish, actor_of(call)))
        )

    async def archive(call: AdminCall) -> None:
        require_admin(call)
        workspace_id = path_id(call, "workspace_id")
        await call.reply_json(describe(await workspaces.archive(call.principal.scope, workspace_id, actor_of(call))))

    return [
        route("/v1/organizations/me", GET=organization),
        route("/v1/organizations/workspaces", GET=list_page, POST=create),
        route("/v1/organizations/workspaces/{workspace_id}", GET=retrieve, POST=update),
        route("/v1/organizations/workspaces/{workspace_id}/archive", POST=archive),
    ]
