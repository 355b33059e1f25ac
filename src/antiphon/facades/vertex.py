"""Vertex AI's doors: rawPredict, streamRawPredict and the count of tokens, in any project and location.

The path names the model and the body the version; all the rest is a Messages request.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.routing import Route

from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.encode import sse
from antiphon.encode.collect import collect
from antiphon.facades.google import edge_error
from antiphon.features.messages.callers import caller_of
from antiphon.features.messages.service import Messages
from antiphon.web.body import check_path_is_text
from antiphon.web.call import NATIVE, CloudCall, Manners, PublicCall
from antiphon.web.routing import route
from antiphon.web.stream import send_events
from antiphon.wire import betas, versions
from antiphon.wire.decode import parse_object
from antiphon.wire.parse import parse_count, validate_message
from antiphon.wire.request import CountRequest, MessageRequest
from antiphon.wire.versions import Version

LIMIT_BYTES = 30 * 1024 * 1024
_MODELS = "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/"
_NOT_OF_THE_MODEL = (
    Kind.AUTHENTICATION,
    Kind.PERMISSION,
    Kind.NOT_FOUND,
    Kind.METHOD_NOT_ALLOWED,
    Kind.RATE_LIMIT,
    Kind.TOO_LARGE,
)
"""What Google answers itself, before the model is asked."""

Json = dict[str, Any]


def routes(messages: Messages) -> list[Route]:
    async def predict(call: CloudCall) -> None:
        await _create(call, messages, is_streamed=False)

    async def predict_as_stream(call: CloudCall) -> None:
        await _create(call, messages, is_streamed=True)

    async def count_tokens(call: CloudCall) -> None:
        async with call.watch():
            request = await _read_count(call)
            call.outcome.model = request.model
            count, call.more_headers = await messages.count(call.principal, request)
        await call.reply_json({"input_tokens": count.num_tokens})

    async def refuse(call: PublicCall) -> None:
        raise ApiError(Kind.NOT_FOUND, "Not Found")

    return [
        route(_MODELS + "count-tokens:rawPredict", MANNERS, POST=count_tokens),
        route(_MODELS + "{model:path}:rawPredict", MANNERS, POST=predict),
        route(_MODELS + "{model:path}:streamRawPredict", MANNERS, POST=predict_as_stream),
        route("/v1/projects/{project}/locations/{location}/publishers/{rest:path}", MANNERS, GET=refuse, POST=refuse),
    ]


async def _create(call: CloudCall, messages: Messages, *, is_streamed: bool) -> None:
    async with call.watch():
        request = await _read_message(call, is_streamed=is_streamed)
        call.outcome.model = request.model
        async with messages.create(caller_of(call), request) as reply:
            call.more_headers = reply.headers
            try:
                if request.stream:
                    await send_events(call, reply.events, sse.encode)
                else:
                    await call.reply_json((await collect(reply.events)).as_json())
            finally:
                call.outcome.note(reply.model, reply.usage)


async def _read_message(call: CloudCall, *, is_streamed: bool) -> MessageRequest:
    """The body says whether it is to be streamed; where it does not, the method in the path does."""
    data, version, strict = await _read(call)
    if "model" in data:
        raise invalid("model: Extra inputs are not permitted")
    named = betas.from_header(call.header(b"anthropic-beta"), strict=strict)
    own = {"model": check_path_is_text(call.params["model"])}
    return validate_message({"stream": is_streamed} | data | own, version, strict=strict, betas=named)


async def _read_count(call: CloudCall) -> CountRequest:
    data, version, strict = await _read(call)
    return parse_count(orjson.dumps(data), version, strict=strict)


async def _read(call: CloudCall) -> tuple[Json, Version, bool]:
    """(the body without its version, the version, whether the server is strict)."""
    data = parse_object(await call.body(LIMIT_BYTES))
    named = data.pop("anthropic_version", None)
    if named is not None and not isinstance(named, str):
        raise invalid("anthropic_version: Input should be a valid string")
    return data, versions.from_cloud_body(named), call.shared.settings.strict


def _refuse(error: ApiError, call_id: str) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
    return (edge_error if error.kind in _NOT_OF_THE_MODEL else NATIVE.refuse)(error, call_id)


MANNERS = Manners(_refuse, NATIVE.break_off, id_prefix="req_vrtx")
