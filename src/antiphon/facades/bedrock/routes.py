"""Amazon Bedrock's doors: InvokeModel and Converse, streamed or not, CountTokens, and the lists of models.

What they take becomes a Messages request, and what they answer is written from the same events as everywhere.
"""

from collections.abc import Awaitable, Callable, Sequence

import orjson
from starlette.routing import Route

from antiphon.encode import eventstream
from antiphon.encode.collect import collect
from antiphon.engines.catalog import Catalog
from antiphon.facades.bedrock import models
from antiphon.facades.bedrock.answers import ConverseStream, reply_of
from antiphon.facades.bedrock.errors import MANNERS
from antiphon.facades.bedrock.reading import read_converse, read_count, read_invoke
from antiphon.features.messages.callers import caller_of
from antiphon.features.messages.service import Messages
from antiphon.features.messages.serving import Reply
from antiphon.web.body import check_path_is_text
from antiphon.web.call import CloudCall
from antiphon.web.routing import Handler, route
from antiphon.web.stream import Medium, send_events
from antiphon.wire.events import Event, MessageStart, Usage
from antiphon.wire.request import MessageRequest

_JSON = (b"content-type", b"application/json")
_CHUNKS = Medium(eventstream.CONTENT_TYPE, eventstream.PING)
_EVENTS = Medium(eventstream.CONTENT_TYPE, b"")


def routes(messages: Messages, catalog: Catalog) -> list[Route]:
    async def invoke(call: CloudCall) -> None:
        async with call.watch():
            request = await read_invoke(call, "invoke", is_streamed=False)
            await _answer(call, messages, request, _send_message)

    async def invoke_with_stream(call: CloudCall) -> None:
        async with call.watch():
            request = await read_invoke(call, "invoke-with-response-stream", is_streamed=True)
            call.more_headers = [(b"x-amzn-bedrock-content-type", b"application/json")]
            await _answer(call, messages, request, _send_chunks)

    async def converse(call: CloudCall) -> None:
        async with call.watch():
            order = await read_converse(call, catalog, "converse", is_streamed=False)

            async def send(call: CloudCall, reply: Reply) -> None:
                message = await collect(reply.events)
                await call.reply_json(reply_of(message, _elapsed_ms(call), order.paths))

            await _answer(call, messages, order.request, send)

    async def converse_with_stream(call: CloudCall) -> None:
        async with call.watch():
            order = await read_converse(call, catalog, "converse-stream", is_streamed=True)

            async def send(call: CloudCall, reply: Reply) -> None:
                stream = ConverseStream(lambda: _elapsed_ms(call), order.paths)
                await send_events(call, reply.events, stream.frames, _EVENTS)

            await _answer(call, messages, order.request, send)

    async def count_tokens(call: CloudCall) -> None:
        async with call.watch():
            request = await read_count(call)
            call.outcome.model = request.model
            count, call.more_headers = await messages.count(call.principal, request)
        await call.reply_json({"inputTokens": count.num_tokens})

    return [
        _route("/model/{model:path}/invoke", POST=invoke),
        _route("/model/{model:path}/invoke-with-response-stream", POST=invoke_with_stream),
        _route("/model/{model:path}/converse", POST=converse),
        _route("/model/{model:path}/converse-stream", POST=converse_with_stream),
        _route("/model/{model:path}/count-tokens", POST=count_tokens),
        *_catalog_routes(catalog),
    ]


def _catalog_routes(catalog: Catalog) -> list[Route]:
    async def list_models(call: CloudCall) -> None:
        await call.reply_json(models.list_models(catalog, call.query()))

    async def describe_model(call: CloudCall) -> None:
        await call.reply_json(models.describe_model(catalog, check_path_is_text(call.params["model"])))

    async def list_profiles(call: CloudCall) -> None:
        await call.reply_json(models.list_profiles(catalog, call.query()))

    async def describe_profile(call: CloudCall) -> None:
        await call.reply_json(models.describe_profile(catalog, check_path_is_text(call.params["model"])))

    return [
        _route("/foundation-models", GET=list_models),
        _route("/foundation-models/{model:path}", GET=describe_model),
        _route("/inference-profiles", GET=list_profiles),
        _route("/inference-profiles/{model:path}", GET=describe_profile),
    ]


def _route(path: str, **handlers: Handler) -> Route:
    return route(path, MANNERS, **handlers)


async def _answer(
    call: CloudCall, messages: Messages, request: MessageRequest, send: Callable[[CloudCall, Reply], Awaitable[None]]
) -> None:
    call.outcome.model = request.model
    async with messages.create(caller_of(call), request) as reply:
        call.more_headers = [*call.more_headers, *reply.headers]
        try:
            await send(call, reply)
        finally:
            call.outcome.note(reply.model, reply.usage)


async def _send_message(call: CloudCall, reply: Reply) -> None:
    message = await collect(reply.events)
    counts = {
        b"x-amzn-bedrock-input-token-count": message.usage.input_tokens,
        b"x-amzn-bedrock-output-token-count": message.usage.output_tokens,
        b"x-amzn-bedrock-invocation-latency": _elapsed_ms(call),
    }
    headers = [(name, b"%d" % count) for name, count in counts.items()]
    await call.reply(orjson.dumps(message.as_json()), 200, [_JSON, *headers])


async def _send_chunks(call: CloudCall, reply: Reply) -> None:
    first_ms: int | None = None

    def metrics() -> dict[str, int]:
        latency = {"invocationLatency": _elapsed_ms(call), "firstByteLatency": first_ms or 0}
        return _counts(reply.usage) | latency

    def encode(events: Sequence[Event]) -> bytes:
        nonlocal first_ms
        if first_ms is None and not _is_start(events):
            first_ms = _elapsed_ms(call)
        return eventstream.encode(events, metrics)

    await send_events(call, reply.events, encode, _CHUNKS)


def _is_start(events: Sequence[Event]) -> bool:
    """Whether they only say that a reply has begun, before the model has written anything."""
    return isinstance(events[-1], MessageStart)


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "inputTokenCount": usage.input_tokens,
        "outputTokenCount": usage.output_tokens,
        "cacheReadInputTokenCount": usage.cache_read,
        "cacheWriteInputTokenCount": usage.cache_creation_5m + usage.cache_creation_1h,
    }


def _elapsed_ms(call: CloudCall) -> int:
    return round((call.shared.clock.monotonic() - call.started_at) * 1e3)
