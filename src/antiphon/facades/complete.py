"""POST /v1/complete: Text Completions, the API's legacy door, over the same events."""

from collections.abc import Sequence
from typing import Any

from starlette.routing import Route

from antiphon.core.ids import new_id
from antiphon.encode.collect import collect
from antiphon.encode.sse import PING, frame
from antiphon.features.messages.callers import caller_of
from antiphon.features.messages.service import Messages
from antiphon.features.messages.serving import Order, Reply
from antiphon.turn.chat import chat_of_completion
from antiphon.web.body import MESSAGES_LIMIT_BYTES
from antiphon.web.call import Call
from antiphon.web.routing import route
from antiphon.web.stream import send_events
from antiphon.wire.events import Event, MessageDelta, MessageStart, Ping, StopReason, TextDelta
from antiphon.wire.parse import parse_complete
from antiphon.wire.request import CompleteRequest

_HUMAN = "\n\nHuman:"


def routes(messages: Messages) -> list[Route]:
    async def complete(call: Call) -> None:
        async with call.watch():
            body = await call.body(MESSAGES_LIMIT_BYTES)
            request = parse_complete(body, call.version, strict=call.shared.settings.strict)
            call.outcome.model = request.model
            model = messages.resolve(call.principal, request.model)
            async with messages.call(caller_of(call), model, _order(messages, request)) as reply:
                call.more_headers = reply.headers
                try:
                    await _send(call, reply, is_streamed=bool(request.stream))
                finally:
                    call.outcome.note(reply.model, reply.usage)

    return [route("/v1/complete", POST=complete)]


async def _send(call: Call, reply: Reply, *, is_streamed: bool) -> None:
    completion = _Completion(new_id("compl"), reply.model)
    if is_streamed:
        await send_events(call, reply.events, completion.frames)
    else:
        message = await collect(reply.events)
        text = "".join(block["text"] for block in message.content)
        await call.reply_json(completion.chunk(text, message.stop_reason, message.stop_sequence))


def _order(messages: Messages, request: CompleteRequest) -> Order:
    stops = (_HUMAN, *(request.stop_sequences or ()))
    return Order(
        chat_of_completion(request.prompt),
        messages.sampling_of(request),
        request.max_tokens_to_sample,
        stops,
        bool(request.stream),
    )


class _Completion:
    """The objects of one completion: whole, or as the chunks of a stream."""

    def __init__(self, id: str, model: str) -> None:
        self._id = id
        self._model = model

    def frames(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._frame(event) for event in events])

    def _frame(self, event: Event) -> bytes:
        match event:
            case TextDelta(_, text):
                return frame("completion", self.chunk(text, None, None))
            case MessageDelta(reason, sequence, _):
                return frame("completion", self.chunk("", reason, sequence))
            case Ping() | MessageStart():
                return PING
            case _:
                return b""

    def chunk(self, text: str, reason: StopReason | None, sequence: str | None) -> dict[str, Any]:
        return {
            "type": "completion",
            "id": self._id,
            "completion": text,
            "stop_reason": _reason(reason),
            "stop": _HUMAN if reason == "end_turn" else sequence,
            "model": self._model,
        }


def _reason(reason: StopReason | None) -> str | None:
    """A natural end counts as the built-in stop sequence; this door has only two reasons."""
    if reason is None:
        return None
    return "stop_sequence" if reason in ("end_turn", "stop_sequence") else "max_tokens"
