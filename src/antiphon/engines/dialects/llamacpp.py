"""The llama.cpp dialect: its raw routes. Token ids go in, text comes out; template and tokenizer are the engine's."""

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from antiphon.core.clock import Clock, SystemClock
from antiphon.core.errors import ApiError, Kind, internal, invalid
from antiphon.engines.dialects.listing import created_at, rows
from antiphon.engines.dialects.llamacpp_pictures import NO_WIDTH, Eyes, Seen, marker_of, numbered, seen_in
from antiphon.engines.dialects.messages import Guard, messages_of, tools_of, written
from antiphon.engines.dialects.thinking import Thinking, thinking_of
from antiphon.engines.http import Upstream, reading
from antiphon.engines.protocol import EngineModel, later, silent
from antiphon.engines.saved import SavedPrompts
from antiphon.engines.slots import Held, Slots
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.formats.table import Format, format_of, is_thinking_open
from antiphon.turn.pieces import Piece, Progress, Prompt, Stop, Wish

_MAX_PREPARING = 4
SystemTurns = Literal["anywhere", "first", "nowhere"]
"""Where a template keeps the text of a system turn."""

# Every default of the server that would change the model's own distribution, switched off. The order of the samplers
# is that of the other engines: temperature, then the cuts.
_NEUTRAL: dict[str, Any] = {
    "samplers": ["temperature", "top_k", "top_p"],
    "min_p": 0.0,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "dynatemp_range": 0.0,
    "repeat_penalty": 1.0,
    "repeat_last_n": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "dry_multiplier": 0.0,
    "mirostat": 0,
    "adaptive_target": -1.0,
    "ignore_eos": False,
    "n_probs": 0,
    "stop": [],
    "seed": -1,
}
# The likeliest token, found without a look at how likely the others are: of 150,000 that is a tenth of a small model's
# time.
_GREEDY: dict[str, Any] = {"samplers": ["top_k"], "top_k": 1}
_STREAM: dict[str, Any] = {
    "stream": True,
    "return_progress": True,
    "timings_per_token": False,
    "response_fields": ["stop", "content", "stop_type", "tokens_predicted", "tokens_evaluated", "timings"],
}


@dataclass(frozen=True, slots=True)
class _Habits:
    """What has to be known of a model before its first prompt; it never changes while the server runs."""

    bos: str
    bos_ids: list[int]
    """What the server puts before a prompt with pictures; it takes away what a template has written of it."""
    system_turns: SystemTurns
    controls: re.Pattern[str] | None
    form: Format
    thinking: Thinking
    preserved: list[str]
    """The control tokens that say something in what the model writes; the server leaves out all others."""
    sees: bool


class LlamaCpp:
    """llama.cpp's server at `upstream`, with one model: `name`, or what the server calls it.

    `saved` is where a server of our own moves prompts to.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        name: str | None = None,
        clock: Clock | None = None,
        saved: SavedPrompts | None = None,
    ) -> None:
        self._upstream = upstream
        self._name = name
        self._habits: _Habits | None = None
        self._clock = clock or SystemClock()
        self._saved = saved
        self._slots: Slots | None = None
        # The server answers what it need not compute with a few threads: some stay free to say that it is well.
        self._preparing = asyncio.Semaphore(_MAX_PREPARING)
        self._cut = secrets.token_hex(16)  # marks places in a text; must be one that no text contains
        self._place = secrets.token_hex(16)  # the same for pictures
        self._eyes = Eyes(upstream)

    async def models(self) -> tuple[EngineModel, ...]:
        props = await self._upstream.get_json("/props")
        row = (await rows(self._upstream))[0]
        habits = await self._learn()
        with reading():
            model = EngineModel(
                self._name or _short(row["id"]),
                window=int(props["default_generation_settings"]["n_ctx"]),
                counts_exactly=True,
                num_slots=int(props["total_slots"]),
                created_at=created_at(row),
                thinking=habits.thinking.kinds,
                sees=habits.sees,
                keeps_to_grammars=True,
                form=habits.form,
            )
        return (model,)

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        habits = await self._learn()
        chat, pictures = numbered(chat, self._place)

        def guard(text: str) -> str:
            return guarded(text, habits.controls, NO_WIDTH if pictures else self._cut)

        async with self._preparing:
            rendered = await self._render(self._request(habits, chat, guard))
            text = rendered + guard(chat.prefill)
            if pictures:
                payload = seen_in(text, self._place, pictures)
                tokens = await self._look(habits, payload)
            else:
                has_bos = bool(habits.bos) and text.startswith(habits.bos)
                payload = tokens = await self._tokenize(text.split(self._cut), add_special=not has_bos)
        is_thinking = not chat.prefill and is_thinking_open(habits.form, rendered)
        return Prompt(payload, len(tokens), is_exact=True, is_thinking=is_thinking, tokens=tokens)

    async def _look(self, habits: _Habits, seen: Seen) -> list[int | str]:
        """The prompt's tokens: the server tokenizes each text for itself."""
        ids = habits.bos_ids + await self._tokenize(seen.parts())
        return await self._eyes.put_in(ids, seen.pictures)

    def _request(self, habits: _Habits, chat: Chat, guard: Guard) -> dict[str, Any]:
        """What the template is asked to render."""
        request: dict[str, Any] = {"add_generation_prompt": True}
        if told := habits.thinking.told(chat):
            request["chat_template_kwargs"] = told
        if habits.form.knows_tools:
            if chat.tools:
                request["tools"] = tools_of(chat, guard)
            turns = chat.turns
        else:
            turns = written(chat, habits.form)
        return request | {"messages": messages_of(fold(turns, habits.system_turns), guard)}

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        given, num_opening = await self._given(prompt.payload, wish.opening)
        num_counted = min(num_opening, wish.max_tokens) if wish.is_opening_counted else 0
        wish = wish._replace(max_tokens=wish.max_tokens - num_counted)
        body = completion(given, wish)
        if preserved := (await self._learn()).preserved:
            body["preserved_tokens"] = preserved
        slots = await self._open_slots()
        async with slots.hold(prompt.tokens, wish) as held:
            if slots.can_share(held, wish.num_waiting):
                async for pieces in self._read_alone(body, held):
                    yield pieces
                await slots.share(held, wish.num_waiting)
            async with self._upstream.stream("/completion", body | held.fields) as events:
                while lines := await events.read():
                    read = (_read(line, wish, num_opening) for line in lines)
                    pieces = [later(piece, num_counted) for piece in read if piece != _NOTHING]
                    if pieces:
                        held.note(pieces)
                        yield held.told(pieces)
                    if pieces and pieces[-1].stop:
                        return
        raise internal()

    async def _read_alone(self, body: dict[str, Any], held: Held) -> AsyncGenerator[list[Piece], None]:
        """Have the prompt computed, and nothing written. That it is done is not told: it is not shared yet."""
        wish = Wish(0)
        async with self._upstream.stream("/completion", body | held.fields | {"n_predict": 0}) as events:
            while lines := await events.read():
                pieces = [_read(line, wish, 0) for line in lines]
                held.note(pieces)
                if far := [piece for piece in pieces if piece.progress and not piece.progress.is_done]:
                    yield far
                if pieces[-1].stop:
                    return
        raise internal()

    async def _given(self, payload: list[int] | Seen, opening: str) -> tuple[Any, int]:
        """What the server is to compute, and how many tokens of it are the opening's."""
        if not isinstance(payload, Seen):
            ids = await self._tokenize([opening]) if opening else []
            return payload + ids, len(ids)
        given = payload.prompt(marker_of(await self._upstream.get_json("/props")), opening)
        if not opening:
            return given, 0
        alone, continued = [await self._tokenize([payload.texts[-1] + text]) for text in ("", opening)]
        return given, len(continued) - len(alone)

    @property
    def num_unread(self) -> int:
        """Tokens of prompts that are still to be computed."""
        return self._slots.num_unread if self._slots else 0

    async def save_idle(self, idle_s: float) -> None:
        """Save the prompts that nobody has used for so long."""
        if self._slots:
            await self._slots.save_idle(idle_s)

    async def aclose(self) -> None:
        if self._slots:
            self._slots.close()
        await self._upstream.aclose()

    async def _open_slots(self) -> Slots:
        if self._slots is None:
            props = await self._upstream.get_json("/props")
            with reading():
                slots = Slots(self._upstream, self._clock, self._saved, int(props["total_slots"]))
            self._slots = self._slots or slots
        return self._slots

    async def _render(self, request: dict[str, Any]) -> str:
        """The template's text. Raises 400 if the template refuses the turns."""
        try:
            reply = await self._upstream.post_json("/apply-template", request)
        except ApiError as error:
            if error.kind is not Kind.INTERNAL:
                raise
            raise invalid("messages: the model's chat template refuses this conversation") from error
        with reading():
            return reply["prompt"]

    async def _tokenize(
        self, parts: Sequence[str | int], *, add_special: bool = False, parse_special: bool = True
    ) -> list[int]:
        content = parts[0] if len(parts) == 1 else parts
        body = {"content": content, "add_special": add_special, "parse_special": parse_special}
        reply = await self._upstream.post_json("/tokenize", body)
        with reading():
            return reply["tokens"]

    async def _learn(self) -> _Habits:
        if self._habits is None:
            props = await self._upstream.get_json("/props")
            with reading():
                bos, eos = props.get("bos_token") or "", props.get("eos_token") or ""
                template: str = props.get("chat_template") or ""
            marker = marker_of(props)
            bos_ids = await self._tokenize([""], add_special=True) if marker else []
            controls = control_pattern({bos, eos, marker} | await self._control_tokens())
            system_turns = await self._probe_system_turns()
            form = format_of(template)
            self._habits = _Habits(
                bos,
                bos_ids,
                system_turns,
                controls,
                form,
                thinking_of(template, form),
                preserved=sorted(set(controls.findall(form.words)) - {eos}) if controls else [],
                sees=bool(marker),
            )
        return self._habits

    async def _control_tokens(self) -> set[str]:
        """The names of all tokens that a text is read as control tokens by."""
        meta: dict[str, Any] = (await rows(self._upstream))[0].get("meta") or {}
        if "n_vocab" not in meta:
            return set()
        listing = await self._upstream.post_json(
            "/tokenize", {"content": list(range(meta["n_vocab"])), "with_pieces": True}
        )
        with reading():
            pieces = {
                token["id"]: token["piece"]
                for token in listing["tokens"]
                if isinstance(token["piece"], str) and _LOOKS_LIKE_CONTROL.search(token["piece"])
            }
        names = list(pieces.values())
        as_tokens = await self._tokenize(names)
        as_text = await self._tokenize(names, parse_special=False)
        return {pieces[token] for token in set(as_tokens) - set(as_text) if token in pieces}

    async def _probe_system_turns(self) -> SystemTurns:
        if await self._keeps("system", "user", "system", "assistant", "system", "user"):
            return "anywhere"
        return "first" if await self._keeps("system", "user", "assistant", "user") else "nowhere"

    async def _keeps(self, *roles: Literal["system", "user", "assistant"]) -> bool:
        """Whether the template renders turns of these roles, each with its text, in their order."""
        turns = [ChatTurn(role, f"{self._cut}{number}") for number, role in enumerate(roles)]
        try:
            text = await self._render({"messages": messages_of(turns, str), "add_generation_prompt": True})
        except ApiError as error:
            if error.kind is not Kind.INVALID_REQUEST:
                raise
            return False
        places = [text.find(turn.text) for turn in turns]
        return -1 not in places and places == sorted(places)


def fold(turns: Sequence[ChatTurn], system_turns: SystemTurns) -> Sequence[ChatTurn]:
    """System turns that the template would drop become part of the user turn beside them."""
    if system_turns == "anywhere":
        return turns
    folded: list[ChatTurn] = []
    is_start = system_turns == "first"
    for turn in turns:
        is_start = is_start and turn.role == "system"
        role = "user" if turn.role == "system" and not is_start else turn.role
        if folded and folded[-1].role == role and role in ("system", "user"):
            folded[-1] = ChatTurn(role, f"{folded[-1].text}\n\n{turn.text}")
        else:
            folded.append(turn._replace(role=role))
    return folded


_LOOKS_LIKE_CONTROL = re.compile(r"[^\W_][^\w\s]|\|")
"""A letter before a sign, or a bar: what the names of control tokens have, and few others in a vocabulary."""


def control_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """Matches any of `names`; those that start alike are tried together, for there can be a thousand of them."""
    tails: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        if len(name) > 1:
            tails[name[:2]].append(re.escape(name[2:]))
    return re.compile("|".join(f"{re.escape(head)}(?:{'|'.join(tails[head])})" for head in tails)) if tails else None


def guarded(text: str, controls: re.Pattern[str] | None, cut: str) -> str:
    """`text` with `cut` in every control token's name, so that it stays text: nobody can close their own turn."""
    if controls is None or not controls.search(text):
        return text
    starts, end = [0], 0
    while match := controls.search(text, end):
        end = match.start() + 1
        starts.append(end)
    return cut.join(text[i:j] for i, j in zip(starts, [*starts[1:], None], strict=True))


def completion(prompt: Any, wish: Wish) -> dict[str, Any]:
    """The body of a `/completion` request."""
    sampling = wish.sampling
    body = {
        **_NEUTRAL,
        **_STREAM,
        "prompt": prompt,
        "n_predict": wish.max_tokens,
        "temperature": sampling.temperature,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "top_k": sampling.top_k or 0,
    }
    if not sampling.temperature:
        body |= _GREEDY
    return body | {"grammar": wish.grammar.gbnf} if wish.grammar else body


_NOTHING = Piece()


def _read(line: bytes, wish: Wish, num_opening: int) -> Piece:
    try:
        chunk = orjson.loads(line)
        stop = _stop(chunk, num_opening) if chunk["stop"] else None
        progress = chunk.get("prompt_progress")
        piece = Piece(chunk["content"], chunk["tokens_predicted"], progress and _progress(progress), stop)
    except (ValueError, KeyError, TypeError) as error:  # an `error` object, or no JSON
        raise internal() from error
    return piece if wish.max_tokens else silent(piece)


def _progress(data: dict[str, int]) -> Progress:
    return Progress(data["processed"], data["total"], data["cache"])


def _stop(chunk: dict[str, Any], num_opening: int) -> Stop:
    cause = "length" if chunk["stop_type"] == "limit" else "end"
    timings: dict[str, Any] = chunk.get("timings") or {}
    return Stop(cause, chunk["tokens_evaluated"] - num_opening, timings.get("cache_n"))


def _short(name: str) -> str:
    """A server that was not told a name calls its model by the path of the file."""
    return name.rpartition("/")[2].removesuffix(".gguf").lower() if name.endswith(".gguf") else name
