"""GET /v1/organizations/usage_report/messages and claude_code, and /v1/organizations/cost_report."""

from starlette.routing import Route

from antiphon.features.usage.queries import CodeQuery, CostQuery, UsageQuery
from antiphon.features.usage.service import Reports
from antiphon.web.call import AdminCall
from antiphon.web.routing import route
from antiphon.wire.admin import parse_query


def routes(reports: Reports) -> list[Route]:
    """An admin key of a member is good for them with any role that may read reports: `web.auth` sees to it."""

    async def usage(call: AdminCall) -> None:
        query = parse_query(UsageQuery, call.query())
        await call.reply_json(await reports.usage(call.principal.scope, call.version, query))

    async def cost(call: AdminCall) -> None:
        query = parse_query(CostQuery, call.query())
        await call.reply_json(await reports.cost(call.principal.scope, call.version, query))

    async def claude_code(call: AdminCall) -> None:
        query = parse_query(CodeQuery, call.query())
        await call.reply_json(await reports.claude_code(call.principal.scope, query))

    return [
        route("/v1/organizations/usage_report/messages", GET=usage),
        route("/v1/organizations/usage_report/claude_code", GET=claude_code),
        route("/v1/organizations/cost_report", GET=cost),
    ]
