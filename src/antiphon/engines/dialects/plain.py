"""The plain chat-completions dialect: any server that speaks `/v1/chat/completions`, and its own template behind it.

Such a server takes a model's text apart by itself. It is put together again, so that one recogniser reads every engine.
"""

import hashlib
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

import orjson

from antiphon.core.errors import internal
from antiphon.engines.dialects.listing import created_at, rows
from antiphon.engines.dialects.messages import messages_of, tools_of
from antiphon.engines.dialects.plain_pictures import estimate_of, messages_with_pictures, probe_sight, sight_of
from antiphon.engines.http import Upstream, reading
from antiphon.engines.protocol import EngineModel, silent
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.formats.outputs import CallArgs, CallEnd, CallStart
from antiphon.turn.formats.recogniser import Recogniser
from antiphon.turn.formats.table import GENERAL
from antiphon.turn.formats.tags import THINK
from antiphon.turn.formats.written import HERMES
from antiphon.turn.pieces import ForcedCall, Piece, Prompt, Sampling, Stop, StopCause, Wish
from antiphon.wire.fields import JsonObject

_CHARS_PER_TOKEN = 4
_TOKENS_PER_TURN = 4
_DEFAULT_WINDOW = 32_768
_CAUSES: Mapping[str, StopCause] = {"length": "length"}
_SPOKEN = ("content", "reasoning_content", "reasoning", "tool_calls")
_BEGUN = re.compile(re.escape(HERMES.before) + r'(?:([^"]*)' + re.escape(HERMES.between) + r")?\Z")
"""The beginning of a call at the end of a text, and its name if that is there."""


class _Rendered(NamedTuple):
    """A prompt's payload: the part of the body that no wish changes, and the chat that it was made of."""

    body: dict[str, Any]
    chat: Chat


class _Order(NamedTuple):
    """`begun` is the beginning of a call that the reply goes on after. `is_resumed`: so it does after a text."""

    body: dict[str, Any]
    schemas: Mapping[str, JsonObject]
    begun: str
    is_resumed: bool
    shows_thinking: bool


class Plain:
    """Its counts are estimates until the engine's own usage arrives with the last chunk."""

    def __init__(self, upstream: Upstream, *, num_slots: int, sees: bool | None = None) -> None:
        """`sees` is what the operator says; None to ask the upstream."""
        self._upstream = upstream
        self._num_slots = num_slots
        self._sees = sees
        self._takes_salt = False

    async def models(self) -> tuple[EngineModel, ...]:
        listed = await rows(self._upstream)
        self._takes_salt = any(row.get("owned_by") == "vllm" for row in listed)
        if self._sees is None and all(sight_of(row) is None for row in listed):
            self._sees = await probe_sight(self._upstream)
        with reading():
            return tuple(self._model(row) for row in listed)

    def _model(self, row: dict[str, Any]) -> EngineModel:
        meta: dict[str, Any] = row.get("meta") or {}
        return EngineModel(
            row["id"],
            window=int(row.get("max_model_len") or meta.get("n_ctx") or _DEFAULT_WINDOW),
            counts_exactly=False,
            num_slots=self._num_slots,
            created_at=created_at(row),
            sees=bool(sight_of(row) if self._sees is None else self._sees),
        )

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        messages = messages_with_pictures(chat) if chat.mark else messages_of(chat.turns, str)
        body: dict[str, Any] = {"model": model, "messages": messages}
        num_chars = len(chat.prefill) + sum(map(_num_chars, chat.turns))
        if chat.tools:
            body["tools"] = tools_of(chat, str)
            num_chars += len(orjson.dumps(body["tools"]))
        num_tokens = num_chars // _CHARS_PER_TOKEN + _TOKENS_PER_TURN * (len(chat.turns) + 1)
        num_tokens += sum([estimate_of(turn) for turn in chat.turns if turn.pictures])
        return Prompt(_Rendered(body, chat), num_tokens, is_exact=False)

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        """An opening that begins a call becomes the demand for one; any other the upstream is asked to continue.

        Of a grammar only the schema is passed on; a strict tool's arguments are as true as the upstream makes them.
        """
        order = _order(prompt.payload, wish)
        if wish.salt and self._takes_salt:
            order.body["cache_salt"] = hashlib.sha256(wish.salt.encode()).hexdigest()
        reader = _Reader(order)
        if wish.is_awaited_whole:
            piece = reader.read_whole(await self._upstream.post_and_wait("/v1/chat/completions", order.body))
            yield [piece if wish.max_tokens else silent(piece)]
            return
        body = order.body | {"stream": True, "stream_options": {"include_usage": True}}
        async with self._upstream.stream("/v1/chat/completions", body) as events:
            while not reader.is_done:
                pieces = reader.read(await events.read())
                if not wish.max_tokens:
                    pieces = [silent(piece) for piece in pieces if piece.stop]
                if pieces:
                    yield pieces

    async def aclose(self) -> None:
        await self._upstream.aclose()


def _num_chars(turn: ChatTurn) -> int:
    return len(turn.text) + sum(len(call.name) + len(call.arguments) for call in turn.calls)


def _order(rendered: _Rendered, wish: Wish) -> _Order:
    chat = rendered.chat
    begun = _BEGUN.search(wish.opening)
    said = wish.opening[: begun.start()] if begun else wish.opening
    body: dict[str, Any] = rendered.body | _sampling(wish.sampling) | {"max_tokens": max(wish.max_tokens, 1)}
    if text := (chat.prefill + said if said.strip() else chat.prefill):
        messages = [*body["messages"], {"role": "assistant", "content": text}]
        body |= {"messages": messages, "add_generation_prompt": False, "continue_final_message": True}
    if forced := wish.forced or (begun and ForcedCall(begun[1])):
        body |= _demand(chat, forced)
    elif chat.tools and not chat.callable:
        body["tool_choice"] = "none"
    if wish.grammar and wish.grammar.schema is not None:
        form = {"name": "reply", "schema": wish.grammar.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    is_read = bool(chat.callable or wish.grammar)  # otherwise the reply is shown as it is
    shows_thinking = bool(chat.thinks) and is_read and not wish.opening
    schemas = {tool.name: tool.schema for tool in chat.callable}
    return _Order(body, schemas, begun[0] if begun and wish.max_tokens else "", bool(said.strip()), shows_thinking)


def _demand(chat: Chat, forced: ForcedCall) -> dict[str, Any]:
    """Upstreams refuse a demand for a tool that they were not told of: those that were found since are added."""
    shown = {tool.name for tool in chat.tools}
    found = tuple(tool for tool in chat.callable if tool.name not in shown)
    choice = "required" if forced.name is None else {"type": "function", "function": {"name": forced.name}}
    return {"tools": tools_of(chat._replace(tools=chat.tools + found), str), "tool_choice": choice}


class _Reader:
    """Chunks become pieces. The stop waits for the stream's end, because the usage comes after the finish reason."""

    def __init__(self, order: _Order) -> None:
        self.is_done = False
        self._writer = _Writer(order)
        self._is_resumed = order.is_resumed
        self._num_output = 0
        self._cause: StopCause | None = None
        self._num_input: int | None = None
        self._num_cached: int | None = None

    def read(self, lines: list[bytes]) -> list[Piece]:
        """No lines are the end: a good one, even without `[DONE]`, if there was a finish reason."""
        with reading():
            text = "".join([self._read_line(line) for line in lines])
        if not lines and not self._cause:
            raise internal()
        self.is_done = self.is_done or not lines
        if self.is_done:
            return [self._last(text)]
        return [Piece(text, self._num_output)] if text else []

    def read_whole(self, reply: dict[str, Any]) -> Piece:
        """The one piece of a reply that was not streamed."""
        with reading():
            choice: dict[str, Any] = reply["choices"][0]
            text = self._read_choice(choice, choice["message"])
            self._read_usage(reply.get("usage") or {})
        return self._last(text)

    def _last(self, text: str) -> Piece:
        """The engine's count of a prompt that ends with an opening is not the prompt's."""
        cause = self._cause or "end"
        text += self._writer.close(cause)
        stop = Stop(cause, None if self._is_resumed else self._num_input, self._num_cached)
        return Piece(text, self._num_output, stop=stop)

    def _read_line(self, line: bytes) -> str:
        if line == b"[DONE]":
            self.is_done = True
            return ""
        chunk = orjson.loads(line)
        text = ""
        if choices := chunk.get("choices"):
            text = self._read_choice(choices[0], choices[0].get("delta") or {})
        elif "error" in chunk:
            raise internal()
        if usage := chunk.get("usage"):
            self._read_usage(usage)
        return text

    def _read_usage(self, usage: dict[str, Any]) -> None:
        self._num_input = usage.get("prompt_tokens")
        details: dict[str, Any] = usage.get("prompt_tokens_details") or {}
        self._num_cached = details.get("cached_tokens")
        self._num_output = max(self._num_output, usage.get("completion_tokens") or 0)

    def _read_choice(self, choice: dict[str, Any], message: dict[str, Any]) -> str:
        if reason := choice.get("finish_reason"):
            self._cause = _CAUSES.get(reason, "end")
        self._num_output += any(message.get(name) for name in _SPOKEN)
        return self._writer.write(message)


class _Writer:
    """Messages, or their deltas, as the text that a model would have written: thinking in tags, calls as `HERMES`.

    Where a call was begun already, all that comes before the call is dropped, and `internal` is raised for another one.
    """

    def __init__(self, order: _Order) -> None:
        self._begun = order.begun
        self._schemas = order.schemas
        self._shows_thinking = order.shows_thinking
        self._dropped = ""
        self._is_thinking = self._has_said = False
        self._call: _Call | None = None

    def write(self, message: dict[str, Any]) -> str:
        thought = message.get("reasoning_content") or message.get("reasoning")
        texts = [self._think(thought) if thought else "", self._say(message.get("content") or "")]
        for place, call in enumerate(message.get("tool_calls") or ()):
            texts.append(self._go_on_calling(place, call))
        return "".join(texts)

    def close(self, cause: StopCause) -> str:
        """The end of the text. Raises `internal` if the call that was begun never came, not even as text."""
        if not self._begun:
            return self._end_call() if cause == "end" else ""
        call = _call_in(self._dropped, self._schemas, cause)
        if cause == "end" and not call:
            raise internal()
        return self._after_begun(call)

    def _think(self, text: str) -> str:
        """Thinking is read as such only where nothing was said before it: the rest is dropped."""
        if not self._shows_thinking or self._has_said:
            return ""
        opener = "" if self._is_thinking else f"{self._end_call()}{THINK[0].opener}\n"
        self._is_thinking = True
        return opener + text

    def _say(self, text: str) -> str:
        if self._begun:
            self._dropped += text
            return ""
        if not text:
            return text
        self._has_said = self._has_said or not text.isspace()
        return self._end_part() + text

    def _go_on_calling(self, place: int, delta: dict[str, Any]) -> str:
        index = place if delta.get("index") is None else delta["index"]
        function: dict[str, Any] = delta.get("function") or {}
        call_id, ended = delta.get("id") or "", ""
        if self._call is None or self._call.is_other(index, call_id, function):
            ended = self._end_part()
            self._call, self._has_said = _Call(index, call_id), False
        return ended + self._after_begun(self._call.write(function))

    def _after_begun(self, text: str) -> str:
        if not text:
            return ""
        if not text.startswith(self._begun):
            raise internal()
        text, self._begun = text.removeprefix(self._begun), ""
        return text

    def _end_part(self) -> str:
        if self._is_thinking:
            self._is_thinking = False
            return f"\n{THINK[0].closer}\n\n"
        return self._end_call()

    def _end_call(self) -> str:
        call, self._call = self._call, None
        return call.end() if call else ""


def _call_in(text: str, schemas: Mapping[str, JsonObject], cause: StopCause) -> str:
    """The first call that a text holds, in whatever format, as `HERMES`; "" if it holds none."""
    recogniser = Recogniser(schemas, GENERAL)
    call = ""
    for out in [*recogniser.feed(text), *recogniser.finish(is_cut=cause == "length")]:
        match out:
            case CallStart(name):
                call = HERMES.prefix(name)
            case CallArgs(fragment):
                call += fragment
            case CallEnd(is_complete):
                return call + HERMES.after if is_complete else call
            case _:
                pass
    return ""


class _Call:
    """One call, as its fragments come. Some servers give every call the same index, some each fragment its own id."""

    def __init__(self, index: int, id: str) -> None:
        self._index = index
        self._id = id
        self._is_named = self._has_arguments = False

    def is_other(self, index: int, id: str, function: dict[str, Any]) -> bool:
        return index != self._index or (bool(function.get("name")) and id not in ("", self._id))

    def write(self, function: dict[str, Any]) -> str:
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        if arguments and not (name or self._is_named):
            raise internal()
        head = HERMES.prefix(orjson.dumps(name).decode()[1:-1]) if name and not self._is_named else ""
        self._is_named = self._is_named or bool(name)
        self._has_arguments = self._has_arguments or bool(arguments.strip())
        return head + arguments

    def end(self) -> str:
        if not self._is_named:
            return ""
        return HERMES.after if self._has_arguments else "{}" + HERMES.after


def _sampling(sampling: Sampling) -> dict[str, Any]:
    chosen: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.top_p is not None:
        chosen["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        chosen["top_k"] = sampling.top_k
    return chosen
