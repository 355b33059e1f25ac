"""GET /antiphon/audit: the audit of the caller's organization, newest first."""

from starlette.routing import Route

from antiphon.features.audits.service import Audit
from antiphon.web.admin import require_admin
from antiphon.web.call import AdminCall
from antiphon.web.cursors import cursor_at, parse_cursor
from antiphon.web.routing import route

_NUM_LINES = 20


def routes(audit: Audit) -> list[Route]:
    async def list_page(call: AdminCall) -> None:
        require_admin(call)
        page = parse_cursor(call.query())
        before = int(page.after[0]) if page.after else None
        found = await audit.read(call.principal.scope, page.limit or _NUM_LINES, before=before)
        next_page = None if found.next is None else cursor_at((found.next, ""))
        await call.reply_json({"data": found.lines, "next_page": next_page})

    return [route("/antiphon/audit", GET=list_page)]
