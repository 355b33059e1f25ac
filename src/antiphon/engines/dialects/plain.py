"""The plain chat-completions dialect: any server that speaks `/v1/chat/completions`, and its own template behind it."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson

from antiphon.core.errors import internal
from antiphon.engines.dialects.listing import created_at, rows
from antiphon.engines.http import Upstream, reading
from antiphon.engines.protocol import EngineModel, silent
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import Piece, Prompt, Sampling, Stop, Wish

_CHARS_PER_TOKEN = 4
_TOKENS_PER_TURN = 4
_DEFAULT_WINDOW = 32_768
_CAUSES: Mapping[str, Stop] = {"length": Stop("length")}


class Plain:
    """Its counts are estimates until the engine's own usage arrives with the last chunk."""

    def __init__(self, upstream: Upstream, *, num_slots: int) -> None:
        self._upstream = upstream
        self._num_slots = num_slots

    async def models(self) -> tuple[EngineModel, ...]:
        listed = await rows(self._upstream)
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
        )

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        messages = [{"role": turn.role, "content": turn.text} for turn in chat.turns]
        num_chars = sum(len(turn.text) for turn in chat.turns) + len(chat.prefill)
        num_tokens = num_chars // _CHARS_PER_TOKEN + _TOKENS_PER_TURN * (len(chat.turns) + 1)
        body: dict[str, Any] = {"model": model, "messages": messages}
        if chat.prefill:
            messages.append({"role": "assistant", "content": chat.prefill})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return Prompt(body, num_tokens, is_exact=False)

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        body = prompt.payload | _sampling(wish.sampling) | {"max_tokens": max(wish.max_tokens, 1)}
        if wish.is_awaited_whole:
            piece = _whole(await self._upstream.post_and_wait("/v1/chat/completions", body))
            yield [piece if wish.max_tokens else silent(piece)]
            return
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        reader = _Reader()
        async with self._upstream.stream("/v1/chat/completions", body) as events:
            while not reader.is_done:
                pieces = reader.read(await events.read())
                if not wish.max_tokens:
                    pieces = [silent(piece) for piece in pieces if piece.stop]
                if pieces:
                    yield pieces

    async def aclose(self) -> None:
        await self._upstream.aclose()


class _Reader:
    """Chunks become pieces. The stop waits for the stream's end, because the usage comes after the finish reason."""

    def __init__(self) -> None:
        self.is_done = False
        self._num_output = 0
        self._stop: Stop | None = None
        self._num_input: int | None = None

    def read(self, lines: list[bytes]) -> list[Piece]:
        """No lines are the end: a good one, even without `[DONE]`, if there was a finish reason."""
        with reading():
            text = "".join([self._read_line(line) for line in lines])
        if not lines and not self._stop:
            raise internal()
        self.is_done = self.is_done or not lines
        if not text and not self.is_done:
            return []
        stop = (self._stop or Stop("end"))._replace(num_input=self._num_input) if self.is_done else None
        return [Piece(text, self._num_output, stop=stop)]

    def _read_line(self, line: bytes) -> str:
        if line == b"[DONE]":
            self.is_done = True
            return ""
        chunk = orjson.loads(line)
        if usage := chunk.get("usage"):
            self._num_input = usage.get("prompt_tokens")
            self._num_output = max(self._num_output, usage.get("completion_tokens") or 0)
        if choices := chunk.get("choices"):
            return self._read_choice(choices[0])
        if "error" in chunk:
            raise internal()
        return ""

    def _read_choice(self, choice: dict[str, Any]) -> str:
        if reason := choice.get("finish_reason"):
            self._stop = _CAUSES.get(reason, Stop("end"))
        delta: dict[str, Any] = choice.get("delta") or {}
        text: str = delta.get("content") or ""
        self._num_output += bool(text)
        return text


def _whole(reply: dict[str, Any]) -> Piece:
    """The one piece of a reply that was not streamed."""
    with reading():
        choice: dict[str, Any] = reply["choices"][0]
        usage: dict[str, Any] = reply.get("usage") or {}
        text: str = choice["message"].get("content") or ""
        stop = _CAUSES.get(choice.get("finish_reason") or "", Stop("end"))._replace(
            num_input=usage.get("prompt_tokens")
        )
        return Piece(text, usage.get("completion_tokens") or 0, stop=stop)


def _sampling(sampling: Sampling) -> dict[str, Any]:
    chosen: dict[str, Any] = {"temperature": sampling.temperature}
    if sampling.top_p is not None:
        chosen["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        chosen["top_k"] = sampling.top_k
    return chosen
