"""The Files API: /v1/files. The beta `files-api-2025-04-14` asks for the lists that the API had before."""

from typing import Any
from urllib.parse import quote

from starlette.routing import Route

from antiphon.features.files.form import FORM_BYTES, read_upload
from antiphon.features.files.service import Files, describe
from antiphon.features.files.store import Wanted
from antiphon.store.listing import Part
from antiphon.web.call import Call
from antiphon.web.cursors import cursor_at, parse_cursor
from antiphon.web.pages import parse_page
from antiphon.web.routing import route
from antiphon.wire.admin import listing, plain_id
from antiphon.wire.files import OLD_SHAPE, parse_file_query

_DEFAULT_LIMIT = 20
_CURSOR = "page_"


def routes(files: Files) -> list[Route]:
    async def upload(call: Call) -> None:
        await files.check_room(call.principal.scope, _announced_bytes(call))
        async with call.watch(), files.draft() as draft:
            wish = await read_upload(call, draft)
            row = await files.add(call.principal.scope, draft, wish)
        await call.reply_json(describe(row, is_old=_is_old(call)))

    async def list_page(call: Call) -> None:
        part = await _part(call, files)
        shown = [describe(row, is_old=_is_old(call)) for row in part.rows]
        if _is_old(call):
            await call.reply_json(listing(shown, has_more=part.has_more))
        else:
            await call.reply_json({"data": shown, "next_page": _next_page(part)})

    async def retrieve(call: Call) -> None:
        row = await files.retrieve(call.principal.scope, call.params["file_id"])
        await call.reply_json(describe(row, is_old=_is_old(call)))

    async def delete(call: Call) -> None:
        await files.delete(call.principal.scope, call.params["file_id"])
        await call.reply_json({"id": call.params["file_id"], "type": "file_deleted"})

    async def content(call: Call) -> None:
        async with files.content(call.principal.scope, call.params["file_id"]) as (row, pieces):
            await call.reply_pieces(pieces, row.size_bytes, _headers(row))

    return [
        route("/v1/files", GET=list_page, POST=upload),
        route("/v1/files/{file_id}", GET=retrieve, DELETE=delete),
        route("/v1/files/{file_id}/content", GET=content),
    ]


def _is_old(call: Call) -> bool:
    return OLD_SHAPE in call.betas


def _announced_bytes(call: Call) -> int:
    """How many bytes the file has at least."""
    announced = call.header(b"content-length") or ""
    return max(int(announced[:20]) - FORM_BYTES, 0) if announced.isdigit() else 0


async def _part(call: Call, files: Files) -> Part:
    query, scope = parse_file_query(call.query()), call.principal.scope
    if query.scope_id:
        return Part((), has_more=False)  # no agent's session has made files here
    if query.ids is not None:
        return Part(await files.find(scope, query.ids), has_more=False)
    return await files.list(scope, await _wanted(call, files))


def _next_page(part: Part) -> str | None:
    last = part.rows[-1] if part.has_more else None
    return _CURSOR + cursor_at((last.created_at, last.id)) if last else None


async def _wanted(call: Call, files: Files) -> Wanted:
    query = call.query()
    if not _is_old(call):
        cursor = query["page"][-1].removeprefix(_CURSOR) if query.get("page") else ""
        after, limit = parse_cursor({**query, "page": [cursor]})
        return Wanted(limit or _DEFAULT_LIMIT, after and (after[0], plain_id(after[1])))
    page = parse_page(query)
    scope = call.principal.scope
    after = await files.place_of(scope, "after_id", page.after_id) if page.after_id else None
    before = await files.place_of(scope, "before_id", page.before_id) if page.before_id else None
    return Wanted(page.limit, after, before)


def _headers(row: Any) -> list[tuple[bytes, bytes]]:
    """The client's own name and type never make a browser run what it gets."""
    return [
        (b"content-type", row.mime_type.encode("latin-1", "replace")),
        (b"content-disposition", f"attachment; filename*=UTF-8''{quote(row.filename)}".encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
