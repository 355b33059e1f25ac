"""The ruler: the plainest Messages gateway that Python allows. `python -m bench.bare PORT ENGINE_URL`

Starlette's router and aiohttp, nothing else: no key, no check of the request, no limits, no metrics, no log, no pings,
no watch over the client. It does what a gateway cannot leave out: parse, ask, re-frame; what is ready together is one
send.
"""

import sys
from typing import Any

import aiohttp
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_JSON = {"content-type": "application/json"}
_SSE = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"mock","content":[],"stop_reason":null,"stop_sequence":null,'
    b'"usage":{"input_tokens":10,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
)
_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)
_STOP = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},'
    b'"usage":{"output_tokens":%d}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class Bare:
    """The endpoint, as a raw ASGI application."""

    def __init__(self, engine_url: str) -> None:
        self._url = engine_url + "/v1/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
        wanted = orjson.loads(await Request(scope, receive).body())
        body = orjson.dumps({name: wanted.get(name) for name in ("model", "messages", "max_tokens", "stream")})
        async with self._session.post(self._url, data=body, headers=_JSON) as upstream:
            if wanted.get("stream"):
                await self._stream(upstream, send)
            else:
                await Response(_message(await upstream.read()), headers=_JSON)(scope, receive, send)

    async def _stream(self, upstream: aiohttp.ClientResponse, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _SSE})
        await send({"type": "http.response.body", "body": _START, "more_body": True})
        rest, num_tokens = b"", 0
        while chunk := await upstream.content.readany():
            *lines, rest = (rest + chunk).split(b"\n")
            frames = [_DELTA % orjson.dumps(text) for line in lines if (text := _text(line))]
            if frames:
                num_tokens += len(frames)
                await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})
        await send({"type": "http.response.body", "body": _STOP % num_tokens})


def _text(line: bytes) -> str | None:
    if not line.startswith(b"data: {"):
        return None
    choices = orjson.loads(line[6:])["choices"]
    return choices[0]["delta"].get("content") if choices else None


def _message(content: bytes) -> bytes:
    reply: dict[str, Any] = orjson.loads(content)
    text, usage = reply["choices"][0]["message"]["content"], reply["usage"]
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": reply["model"],
        "stop_reason": "max_tokens",
    }
    counts = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    return orjson.dumps(message | {"content": [{"type": "text", "text": text}], "usage": counts})


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/messages", endpoint=Bare(sys.argv[2]), methods=["POST"])])
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off",
    )
