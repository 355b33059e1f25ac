"""The llama.cpp dialect against a small server with its raw routes, which can be told to misbehave."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp.test_utils
import orjson
import pytest
from aiohttp import web

from antiphon.core.errors import ApiError, Kind
from antiphon.engines.dialects.llamacpp import LlamaCpp, completion, control_pattern, fold
from antiphon.engines.http import Upstream
from antiphon.turn.chat import Chat, ChatRole, ChatTurn
from antiphon.turn.kinds import ALL_THINKING, ALWAYS_THINKING, NO_THINKING, Kinds
from antiphon.turn.pieces import Piece, Progress, Prompt, Sampling, Stop, Wish
from antiphon.wire.options import Effort

CONTROLS = {"<s>": 1, "</s>": 2, "<|end|>": 3}
WORDS = re.compile("|".join(map(re.escape, CONTROLS)) + r"|\w+|[^\w]")
PROMPT = Prompt([1, 2, 3], 3, is_exact=True)


def token(text: str, count: int, **more: Any) -> bytes:
    chunk = {"content": text, "tokens_predicted": count, "stop": False} | more
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def end(count: int, stop_type: str = "eos") -> bytes:
    timings = {"cache_n": 2}
    return token("", count, stop=True, stop_type=stop_type, tokens_evaluated=3, timings=timings)


class FakeServer:
    """Tokens are words and signs; control tokens have ids below 10. `roles` are those that the template knows."""

    def __init__(self, *, system: str = "anywhere", writes_bos: bool = False) -> None:
        self.system = system
        self.bos = "<s>" if writes_bos else ""
        self.reply: list[bytes] = []
        self.status = 200
        self.is_cut_off = False
        self.bodies: list[dict[str, Any]] = []
        self.jinja = ""
        self.told: Any = None
        """What the template was told besides the messages, the last time."""
        self.vocabulary: dict[str, int] = dict(CONTROLS)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/props", self.props)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/apply-template", self.template)
        app.router.add_post("/tokenize", self.tokenize)
        app.router.add_post("/completion", self.complete)
        return app

    async def props(self, _: web.Request) -> web.Response:
        slots = {"default_generation_settings": {"n_ctx": 512}, "total_slots": 3}
        return web.json_response(slots | {"bos_token": "<s>", "eos_token": "</s>", "chat_template": self.jinja})

    async def models(self, _: web.Request) -> web.Response:
        row = {"id": "/models/Tiny.gguf", "created": 7, "meta": {"n_vocab": 10}}
        return web.json_response({"data": [row]})

    async def template(self, request: web.Request) -> web.Response:
        body = await request.json()
        messages, self.told = body["messages"], body.get("chat_template_kwargs")
        places = [i for i, message in enumerate(messages) if message["role"] == "system"]
        if (self.system == "nowhere" and places) or (self.system == "first" and any(places)):
            return web.json_response({"error": {"message": "System role not supported"}}, status=500)
        turns = [f"{message['role']}:{message['content']}<|end|>" for message in messages]
        return web.json_response({"prompt": self.bos + "".join(turns) + "assistant:"})

    async def tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("with_pieces"):
            names = {number: name for name, number in CONTROLS.items()}
            return web.json_response({"tokens": [{"id": i, "piece": names.get(i, "x")} for i in body["content"]]})
        content = body["content"]
        parts = [content] if isinstance(content, str) else content
        ids = [1] if body["add_special"] else []
        for part in parts:
            ids += self._ids(part, body["parse_special"])
        return web.json_response({"tokens": ids})

    def _ids(self, text: str, parse_special: bool) -> list[int]:
        words = WORDS.findall(text) if parse_special else re.findall(r"\w+|[^\w]", text)
        return [self.vocabulary.setdefault(word, 10 + len(self.vocabulary)) for word in words]

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        if self.status != 200:
            return web.json_response({"error": {"message": "no"}}, status=self.status)
        response = web.StreamResponse()
        await response.prepare(request)
        for data in self.reply:
            await response.write(data)
        if self.is_cut_off and request.transport:
            request.transport.close()
        return response

    def text(self, ids: list[int]) -> list[str]:
        words = {number: word for word, number in self.vocabulary.items()}
        return [words[number] for number in ids]


@asynccontextmanager
async def serving(fake: FakeServer) -> AsyncGenerator[LlamaCpp]:
    server = aiohttp.test_utils.TestServer(fake.app())
    await server.start_server()
    engine = LlamaCpp(Upstream(str(server.make_url("/"))))
    try:
        yield engine
    finally:
        await engine.aclose()
        await server.close()


def chat(*turns: tuple[ChatRole, str], prefill: str = "") -> Chat:
    return Chat(tuple(ChatTurn(role, text) for role, text in turns), prefill)


async def answer(fake: FakeServer, max_tokens: int = 9) -> list[Piece]:
    async with serving(fake) as engine:
        return [piece async for burst in engine.generate("m", PROMPT, Wish(max_tokens)) for piece in burst]


async def words_of(fake: FakeServer, wanted: Chat) -> list[str]:
    async with serving(fake) as engine:
        prompt = await engine.prepare("m", wanted)
    assert prompt.num_tokens == len(prompt.payload)
    assert prompt.is_exact
    return fake.text(prompt.payload)


async def test_the_model_is_named_after_its_file_and_has_the_window_of_a_slot():
    async with serving(FakeServer()) as engine:
        (model,) = await engine.models()
    assert (model.name, model.window, model.num_slots, model.created_at) == ("tiny", 512, 3, 7.0)
    assert model.counts_exactly


@pytest.mark.parametrize("writes_bos", [True, False])
async def test_a_prompt_begins_with_one_bos(writes_bos: bool):
    words = await words_of(FakeServer(writes_bos=writes_bos), chat(("user", "hi")))
    assert words == ["<s>", "user", ":", "hi", "<|end|>", "assistant", ":"]


async def test_the_prefill_follows_the_rendered_prompt():
    words = await words_of(FakeServer(), chat(("user", "hi"), prefill="Well then"))
    assert words[-5:] == ["assistant", ":", "Well", " ", "then"]


@pytest.mark.parametrize("text", ["<|end|>", "a<|end|><s>b", "</s", "<<s>s>", "<|end|>" * 50])
async def test_a_text_never_becomes_a_control_token(text: str):
    words = await words_of(FakeServer(), chat(("user", text), prefill=text))
    assert [word for word in words if word in CONTROLS] == ["<s>", "<|end|>"]
    assert "".join(words) == f"<s>user:{text}<|end|>assistant:{text}"


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("anywhere", "system:S0<|end|>user:U1<|end|>system:S2<|end|>assistant:A3<|end|>system:S4<|end|>user:U5<|end|>"),
        ("first", "system:S0<|end|>user:U1\n\nS2<|end|>assistant:A3<|end|>user:S4\n\nU5<|end|>"),
        ("nowhere", "user:S0\n\nU1\n\nS2<|end|>assistant:A3<|end|>user:S4\n\nU5<|end|>"),
    ],
)
async def test_no_system_turn_is_dropped_or_refused(system: str, expected: str):
    turns = [("system", "S0"), ("user", "U1"), ("system", "S2"), ("assistant", "A3"), ("system", "S4"), ("user", "U5")]
    words = await words_of(FakeServer(system=system), chat(*turns))  # type: ignore[arg-type]
    assert "".join(words) == f"<s>{expected}assistant:"


def test_two_system_turns_at_the_start_become_one_where_only_the_first_may_be():
    turns = [ChatTurn("system", "a"), ChatTurn("system", "b"), ChatTurn("user", "c")]
    assert fold(turns, "first") == [ChatTurn("system", "a\n\nb"), ChatTurn("user", "c")]


def test_the_names_of_control_tokens_are_found_wherever_they_start():
    pattern = control_pattern(["<s>", "</s>", "[INST]", "<|a|>", "x", ""])
    assert pattern
    assert [match[0] for match in pattern.finditer("x[INST]<<|a|>s></s><s")] == ["[INST]", "<|a|>", "</s>"]
    assert control_pattern(["", "x"]) is None


async def test_pieces_carry_text_progress_counts_and_the_stop():
    fake = FakeServer()
    progress = {"processed": 3, "total": 3, "cache": 2, "time_ms": 1}
    fake.reply = [token("", 0, prompt_progress=progress), token("a", 1), b":\n\n", token("b", 3), end(4)]
    assert await answer(fake) == [
        Piece("", 0, Progress(3, 3, 2)),
        Piece("a", 1),
        Piece("b", 3),
        Piece("", 4, None, Stop("end", 3, 2)),
    ]


async def test_a_line_may_be_cut_anywhere_even_in_a_character():
    fake = FakeServer()
    whole = token("a😀é", 1) + end(1, "limit")
    fake.reply = [bytes([byte]) for byte in whole]
    pieces = await answer(fake)
    assert pieces[0] == Piece("a😀é", 1)
    assert pieces[-1].stop == Stop("length", 3, 2)


async def test_everything_that_has_arrived_comes_in_one_burst():
    fake = FakeServer()
    fake.reply = [b"".join(token(str(i), i + 1) for i in range(20)) + end(20)]
    async with serving(fake) as engine:
        bursts = [burst async for burst in engine.generate("m", PROMPT, Wish(30))]
    assert len(bursts) == 1


async def test_a_call_for_no_tokens_yields_its_stop_and_no_text():
    fake = FakeServer()
    fake.reply = [token("Hi", 1), end(1)]
    assert await answer(fake, max_tokens=0) == [Piece("", 0, None, Stop("length", 3, 2))]


@pytest.mark.parametrize(
    ("reply", "is_cut_off"),
    [
        ([token("a", 1), b'data: {"error": {"code": 500, "message": "out of memory"}}\n\n'], False),
        ([token("a", 1), b"data: half a li\n\n"], False),
        ([token("a", 1)], False),
        ([token("a", 1)], True),
        ([token("a", 1)[:-5]], True),
    ],
)
async def test_a_stream_without_a_good_end_is_an_internal_error(reply: list[bytes], is_cut_off: bool):
    fake = FakeServer()
    fake.reply, fake.is_cut_off = reply, is_cut_off
    with pytest.raises(ApiError) as failed:
        await answer(fake)
    assert failed.value.kind is Kind.INTERNAL


async def test_a_server_that_still_loads_is_overloaded():
    fake = FakeServer()
    fake.status = 503
    with pytest.raises(ApiError) as failed:
        await answer(fake)
    assert failed.value.kind is Kind.OVERLOADED


async def test_a_conversation_that_the_template_refuses_is_the_caller_s_mistake():
    fake = FakeServer()
    async with serving(fake) as engine:
        await engine.models()
        fake.system = "nowhere"
        with pytest.raises(ApiError) as failed:
            await engine.prepare("m", chat(("system", "s"), ("user", "u")))
    assert failed.value.kind is Kind.INVALID_REQUEST


def test_what_is_not_asked_for_does_not_change_the_distribution():
    body = completion([1], Wish(7, Sampling(temperature=0.5)))
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.5, 1.0, 0, 0.0)
    assert body["samplers"] == ["temperature", "top_k", "top_p"]
    assert body["stop"] == []
    cut = completion([1], Wish(7, Sampling(0.5, 0.9, 40)))
    assert (cut["temperature"], cut["top_p"], cut["top_k"], cut["n_predict"]) == (0.5, 0.9, 40, 7)


def test_at_temperature_0_the_likeliest_token_is_taken_at_the_least_cost():
    body = completion([1], Wish(7, Sampling(0.0, 0.9, 40)))
    assert (body["samplers"], body["top_k"]) == (["top_k"], 1)


class SlowTemplate(FakeServer):
    num_busy = most_busy = 0

    async def template(self, request: web.Request) -> web.Response:
        self.num_busy += 1
        self.most_busy = max(self.most_busy, self.num_busy)
        await asyncio.sleep(0.01)
        self.num_busy -= 1
        return await super().template(request)


async def test_the_server_is_never_asked_for_so_many_prompts_that_it_cannot_say_it_is_well():
    fake = SlowTemplate()
    async with serving(fake) as engine:
        await engine.models()
        prompts = await asyncio.gather(*(engine.prepare("m", chat(("user", str(i)))) for i in range(30)))
    assert len(prompts) == 30
    assert fake.most_busy == 4


SWITCHED = "{% if enable_thinking %}<think>{% endif %}"
WITH_EFFORT = "{% if reasoning_effort %}{% endif %}<think>"
ON, OFF = [dict.fromkeys(("enable_thinking", "thinking"), thinks) for thinks in (True, False)]


@pytest.mark.parametrize(
    ("template", "thinks", "effort", "told"),
    [
        (SWITCHED, True, "low", ON),
        (SWITCHED, False, None, OFF),
        ("{%- if not thinking %}</think>{% endif %}<think>", True, None, ON),
        (WITH_EFFORT, True, None, None),
        (WITH_EFFORT, True, "medium", {"reasoning_effort": "medium"}),
        (WITH_EFFORT, True, "max", {"reasoning_effort": "high"}),
        (WITH_EFFORT, False, "medium", {"reasoning_effort": "medium"}),
        (WITH_EFFORT, False, None, {"reasoning_effort": "low"}),
        ("no thinking here", True, "low", None),
    ],
)
async def test_a_template_is_told_whether_and_how_hard_to_think(
    template: str, thinks: bool, effort: Effort | None, told: Any
):
    fake = FakeServer()
    fake.jinja = template
    async with serving(fake) as engine:
        await engine.prepare("m", chat(("user", "hi"))._replace(thinks=thinks, effort=effort))
    assert fake.told == told


@pytest.mark.parametrize(
    ("template", "kinds"),
    [
        (SWITCHED, ALL_THINKING),
        (WITH_EFFORT, ALWAYS_THINKING),
        ("<|channel|>analysis<|message|>", ALWAYS_THINKING),
        ("no thinking here", NO_THINKING),
    ],
)
async def test_a_template_says_which_kinds_of_thinking_its_model_does(template: str, kinds: Kinds):
    fake = FakeServer()
    fake.jinja = template
    async with serving(fake) as engine:
        (model,) = await engine.models()
    assert model.thinking == kinds
