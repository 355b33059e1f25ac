"""A pre-encoded engine on raw asyncio: `python -m bench.mock PORT [--dialect plain|llamacpp]`.

plain      POST /v1/chat/completions, GET /v1/models, /health
llamacpp   POST /apply-template, /tokenize, /v1/messages/count_tokens, /completion (ids, text or text with pictures,
           return_progress), GET /props, /v1/models, /health

One word is one token, and so is a picture; each reply is as many times `antiphon` as it may be. Other paths are 404.
POST /control sets prefill_ms (nothing leaves before that), pace_ms (between tokens), is_held (nothing after the first
token, until it is false again); any request to it is told what the mock has seen so far.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle, islice
from typing import Any, TypeVar

import orjson

WORDS = (" antiphon", " antiphon,")
"""In turns: LiteLLM ends a stream that says the same a hundred times."""
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_GENERATE = (b"/v1/chat/completions", b"/completion")

Parts = tuple[bytes, ...]
T = TypeVar("T")


class State:
    """What /control sets and shows. Times are CLOCK_MONOTONIC, which all processes of a machine share."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.prefill_ms = 0.0
        self.pace_ms = 0.0
        self.is_held = False
        self.num_requests = 0
        self.num_open = 0
        self.aborted_at: list[float] = []
        self.held: set[Upstream] = set()

    def control(self, changes: dict[str, Any]) -> dict[str, Any]:
        for name, value in changes.items():
            setattr(self, name, value)
        if not self.is_held:
            held, self.held = self.held, set()
            for stream in held:
                stream.release()
        return {"requests": self.num_requests, "open": self.num_open, "aborted_at": self.aborted_at}


def _reply(data: Any, status: bytes = b"200 OK") -> bytes:
    body = orjson.dumps(data)
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def _frame(data: Any) -> bytes:
    line = b"data: %b\n\n" % (data if isinstance(data, bytes) else orjson.dumps(data))
    return b"%x\r\n%b\r\n" % (len(line), line)


def _in_turns(values: Sequence[T], number: int) -> list[T]:
    return list(islice(cycle(values), number))


def _chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": choices} | more


@lru_cache(maxsize=64)
def _chat_stream(num_tokens: int) -> Parts:
    words = _in_turns([_frame(_chunk({"content": word})) for word in WORDS], num_tokens)
    usage = _chunk({}, usage=_chat_usage(num_tokens)) | {"choices": []}
    end = _frame(_chunk({}, "length")) + _frame(usage) + _frame(b"[DONE]") + _END
    start = _frame(_chunk({"role": "assistant", "content": ""}))
    return (_HEAD + start, *words, end)


@lru_cache(maxsize=64)
def _chat_whole(num_tokens: int) -> bytes:
    message = {"role": "assistant", "content": "".join(_in_turns(WORDS, num_tokens))}
    choices = [{"index": 0, "message": message, "finish_reason": "length"}]
    reply = {"id": "c1", "object": "chat.completion", "created": 1, "model": "mock", "choices": choices}
    return _reply(reply | {"usage": _chat_usage(num_tokens)})


def _chat_usage(num_tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": num_tokens, "total_tokens": num_tokens + 10}


def _raw_token(text: str, num_prompt: int, **more: Any) -> dict[str, Any]:
    token = {"index": 0, "content": text, "tokens": [7], "stop": False, "id_slot": 0}
    return token | {"tokens_predicted": 1, "tokens_evaluated": num_prompt} | more


def _raw_end(num_tokens: int, num_prompt: int) -> dict[str, Any]:
    timings = {"cache_n": 0, "prompt_n": num_prompt, "prompt_ms": 1.0, "predicted_n": num_tokens, "predicted_ms": 1.0}
    end = {"stop": True, "stop_type": "limit", "stopping_word": "", "truncated": False, "timings": timings}
    counts = {"tokens_predicted": num_tokens, "tokens_cached": num_prompt + num_tokens}
    return _raw_token("", num_prompt) | end | counts | {"model": "mock"}


@lru_cache(maxsize=64)
def _raw_stream(num_tokens: int, num_prompt: int, has_progress: bool) -> Parts:
    words = _in_turns([_frame(_raw_token(word, num_prompt)) for word in WORDS], num_tokens)
    progress = [_frame(_raw_token("", num_prompt, prompt_progress=_progress(num_prompt, n))) for n in (0, num_prompt)]
    start = _HEAD + (b"".join(progress) if has_progress else b"")
    return (start, *words, _frame(_raw_end(num_tokens, num_prompt)) + _END)


def _progress(total: int, processed: int) -> dict[str, int]:
    return {"total": total, "cache": 0, "processed": processed, "time_ms": 0}


def _raw_whole(num_tokens: int, num_prompt: int) -> bytes:
    return _reply(_raw_end(num_tokens, num_prompt) | {"content": "".join(_in_turns(WORDS, num_tokens))})


_MODEL = {"id": "mock", "object": "model", "created": 1, "owned_by": "mock", "max_model_len": 262144}
_MODELS = {"object": "list", "data": [_MODEL]}
_PROPS = {
    "default_generation_settings": {"n_ctx": 131072},
    "total_slots": 256,
    "model_path": "mock.gguf",
    "modalities": {"vision": True, "audio": False},
    "media_marker": "<__media_mock__>",
    "chat_template": "",
    "build_info": "b0-unknown",
}


def _tokens(content: str | list[str | int]) -> list[int]:
    parts = [content] if isinstance(content, str) else content
    return [token for part in parts for token in (range(len(part.split())) if isinstance(part, str) else [part])]


def _answer_small(path: bytes, request: dict[str, Any], state: State) -> bytes:
    is_llama = state.dialect == "llamacpp"
    if path == b"/control":
        return _reply(state.control(request))
    if path == b"/health":
        return _reply({"status": "ok"})
    if path == b"/v1/models":
        return _reply(_MODELS)
    if is_llama and path == b"/props":
        return _reply(_PROPS)
    if is_llama and path == b"/apply-template":
        turns = [f"{turn['role']}: {turn.get('content')}" for turn in request["messages"]]
        return _reply({"prompt": "\n".join([*turns, "assistant:"])})
    if is_llama and path == b"/tokenize":
        return _reply({"tokens": _tokens(request["content"])})
    if is_llama and path == b"/v1/messages/count_tokens":
        return _reply({"input_tokens": sum(len(turn["content"]) for turn in request["messages"])})
    return _reply({"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}, b"404 Not Found")


class Upstream(asyncio.Protocol):
    """One connection. `_parts` is what is still to be sent of a reply that does not leave at once."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._buffer = b""
        self._parts: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._parts:
            self._state.num_open -= 1
            self._state.aborted_at.append(time.monotonic())
            self._state.held.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            at = head.lower().find(b"content-length:")
            stop = end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
            self._answer(head.split(b" ", 2)[1].partition(b"?")[0], orjson.loads(body) if body else {})

    def _answer(self, path: bytes, request: dict[str, Any]) -> None:
        state = self._state
        if path != _GENERATE[state.dialect == "llamacpp"]:
            self._transport.write(_answer_small(path, request, state))
            return
        state.num_requests += 1
        parts = _parts(request, state.dialect)
        if not (state.prefill_ms or state.pace_ms or state.is_held):
            self._transport.write(b"".join(parts))
            return
        state.num_open += 1
        self._parts = list(reversed(parts))
        self._at(asyncio.get_running_loop().time() + state.prefill_ms / 1e3, self._begin)

    def _at(self, when: float, then: Any) -> None:
        self._timer = asyncio.get_running_loop().call_at(when, then, when)

    def _begin(self, when: float) -> None:
        """The head and the first token leave together; a reply that is not streamed is late as a whole."""
        if len(self._parts) > 1:
            self._transport.write(self._parts.pop() + self._parts.pop())
        if self._state.is_held:
            self._state.held.add(self)
        else:
            self._at(when + self._state.pace_ms / 1e3, self._go_on)

    def _go_on(self, when: float) -> None:
        self._transport.write(self._parts.pop())
        if self._parts:
            self._at(when + self._state.pace_ms / 1e3, self._go_on)
        else:
            self._state.num_open -= 1

    def release(self) -> None:
        self._transport.write(b"".join(reversed(self._parts)))
        self._parts.clear()
        self._state.num_open -= 1


def _parts(request: dict[str, Any], dialect: str) -> Parts:
    if dialect == "plain":
        num_tokens = int(request.get("max_tokens") or request.get("max_completion_tokens") or 16)
        return _chat_stream(num_tokens) if request.get("stream") else (_chat_whole(num_tokens),)
    prompt = request.get("prompt", "")
    prompt = prompt["prompt_string"] if isinstance(prompt, dict) else prompt
    num_prompt = len(prompt) if isinstance(prompt, list) else len(prompt.split())
    num_tokens = int(request.get("n_predict", 16))
    if request.get("stream"):
        return _raw_stream(num_tokens, num_prompt, bool(request.get("return_progress")))
    return (_raw_whole(num_tokens, num_prompt),)


async def _main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("port", type=int)
    arguments.add_argument("--dialect", choices=("plain", "llamacpp"), default="plain")
    given = arguments.parse_args()
    state = State(given.dialect)
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(state), "127.0.0.1", given.port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
