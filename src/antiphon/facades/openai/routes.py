"""POST /v1/chat/completions: OpenAI's Chat Completions, thin over the same events."""

from collections.abc import Iterable

from starlette.routing import Route

from antiphon.encode.collect import collect
from antiphon.engines.catalog import Catalog
from antiphon.facades.openai import models
from antiphon.facades.openai.answers import PING, ChatStream, completion_of
from antiphon.facades.openai.convert import convert
from antiphon.facades.openai.errors import MANNERS, VERSION, manners_of, rate_headers
from antiphon.facades.openai.shapes import ChatRequest
from antiphon.features.messages.callers import caller_of
from antiphon.features.messages.service import Messages
from antiphon.features.messages.serving import Reply
from antiphon.web.body import MESSAGES_LIMIT_BYTES
from antiphon.web.call import CloudCall
from antiphon.web.routing import route
from antiphon.web.stream import SSE, send_events
from antiphon.wire.parse import parse_fields, validate_message
from antiphon.wire.versions import Version

_CHUNKS = SSE._replace(ping=PING)


def routes(messages: Messages, catalog: Catalog, native_models: Iterable[Route]) -> list[Route]:
    """`native_models` are the native lists of models, which OpenAI's clients find in their own shape."""

    async def create(call: CloudCall) -> None:
        async with call.watch():
            chat = parse_fields(ChatRequest, await call.body(MESSAGES_LIMIT_BYTES))
            call.outcome.model = chat.model
            converted = convert(chat, messages.resolve(call.principal, chat.model).max_output)
            call.manners = manners_of(converted.positions, call.shared.clock)
            request = validate_message(converted.body, Version.V2023_06_01)
            async with messages.create(caller_of(call), request, converted.document) as reply:
                call.more_headers = [VERSION, *rate_headers(reply.headers, call.shared.clock)]
                try:
                    await _send(call, reply, chat)
                finally:
                    call.outcome.note(reply.model, reply.usage)

    return [
        route("/v1/chat/completions", MANNERS, POST=create),
        *models.routes(catalog, native_models),
    ]


async def _send(call: CloudCall, reply: Reply, chat: ChatRequest) -> None:
    created = int(call.shared.clock.now())
    if not chat.stream:
        message = await collect(reply.events)
        await call.reply_json(completion_of(message, created, is_legacy=chat.is_legacy))
        return
    has_usage = bool(chat.stream_options and chat.stream_options.include_usage)
    stream = ChatStream(created, has_usage=has_usage, is_legacy=chat.is_legacy)
    await send_events(call, reply.events, stream.frames, _CHUNKS)
