"""POST /v1/messages and /v1/messages/count_tokens."""

from typing import Any

from starlette.routing import Route

from antiphon.encode import sse
from antiphon.encode.collect import collect
from antiphon.features.messages.callers import caller_of
from antiphon.features.messages.service import Messages
from antiphon.web.body import MESSAGES_LIMIT_BYTES
from antiphon.web.call import Call
from antiphon.web.routing import route
from antiphon.web.stream import send_events
from antiphon.wire.parse import parse_count, parse_message


def routes(messages: Messages) -> list[Route]:
    async def create(call: Call) -> None:
        async with call.watch():
            body = await call.body(MESSAGES_LIMIT_BYTES)
            request = parse_message(body, call.version, strict=call.shared.settings.strict, betas=call.betas)
            call.outcome.model = request.model
            async with messages.create(caller_of(call), request) as reply:
                try:
                    if request.stream:
                        call.more_headers = reply.headers
                        await send_events(call, reply.events, sse.encode)
                    else:
                        message = await collect(reply.events)
                        call.more_headers = reply.headers  # as they are now
                        await call.reply_json(message.as_json())
                finally:
                    call.outcome.note(reply.model, reply.usage)

    async def count_tokens(call: Call) -> None:
        async with call.watch():
            body = await call.body(MESSAGES_LIMIT_BYTES)
            request = parse_count(body, call.version, strict=call.shared.settings.strict)
            call.outcome.model = request.model
            count, call.more_headers = await messages.count(call.principal, request)
        counted: dict[str, Any] = {"input_tokens": count.num_tokens}
        if request.context_management:
            counted["context_management"] = {"original_input_tokens": count.num_original}
        await call.reply_json(counted)

    return [
        route("/v1/messages", POST=create),
        route("/v1/messages/count_tokens", POST=count_tokens),
    ]
