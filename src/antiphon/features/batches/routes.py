"""/v1/messages/batches."""

from typing import Any

from sqlalchemy import Row
from starlette.routing import Route

from antiphon.core.errors import ApiError
from antiphon.features.batches.service import Author, Batches, describe
from antiphon.features.messages.callers import caller_of
from antiphon.web.body import check_path_is_text
from antiphon.web.call import Call
from antiphon.web.pages import parse_page
from antiphon.web.routing import route
from antiphon.web.stream import Medium, Outlet
from antiphon.wire.admin import listing
from antiphon.wire.batch import MAX_BYTES

_LINES = Medium(b"application/x-jsonl", b"")
_LOOK_AGAIN = [(b"retry-after", b"10")]


def routes(batches: Batches) -> list[Route]:
    async def create(call: Call) -> None:
        async with call.watch():
            author = Author(call.principal, call.version, call.betas, caller_of(call).client)
            strict = call.shared.settings.strict
            batch = await batches.create(author, call.text_chunks(MAX_BYTES), strict=strict)
        await call.reply_json(_shown(call, batch))

    async def list_page(call: Call) -> None:
        part = await batches.list(call.principal.scope, parse_page(call.query()))
        await call.reply_json(listing([_shown(call, row) for row in part.rows], has_more=part.has_more))

    async def retrieve(call: Call) -> None:
        batch = await batches.retrieve(call.principal.scope, _id(call))
        call.more_headers = [] if batch.state == "ended" else _LOOK_AGAIN
        await call.reply_json(_shown(call, batch))

    async def cancel(call: Call) -> None:
        await call.reply_json(_shown(call, await batches.cancel(call.principal.scope, _id(call))))

    async def delete(call: Call) -> None:
        await batches.delete(call.principal.scope, _id(call))
        await call.reply_json({"id": _id(call), "type": "message_batch_deleted"})

    async def results(call: Call) -> None:
        async with call.watch():
            await _send_results(call, batches)

    return [
        route("/v1/messages/batches", POST=create, GET=list_page),
        route("/v1/messages/batches/{batch_id}", GET=retrieve, DELETE=delete),
        route("/v1/messages/batches/{batch_id}/cancel", POST=cancel),
        route("/v1/messages/batches/{batch_id}/results", GET=results),
    ]


async def _send_results(call: Call, batches: Batches) -> None:
    """A list that has begun and cannot be ended is cut, so that nobody takes a part for all of it."""
    try:
        async with Outlet(call, _LINES) as outlet:
            async for lines in batches.results(call.principal.scope, _id(call)):
                await outlet.write(lines)
    except ApiError:
        if not call.is_streaming:
            raise
        call.outcome.error = "the results are gone, or cannot be read"
        call.connection.abort()


def _id(call: Call) -> str:
    return check_path_is_text(call.params["batch_id"])


def _shown(call: Call, batch: Row[Any]) -> dict[str, Any]:
    """The URL of its results has the host that the client has called."""
    host = call.header(b"host") or "localhost"
    scheme = "https" if call.header(b"x-forwarded-proto") == "https" else call.scope["scheme"]
    return describe(batch, f"{scheme}://{host}")
