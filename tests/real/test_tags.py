"""The control tokens of a model's format, on a real engine: SmolLM2 with some of its tokens renamed to another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Grammar, Sampling, Wish
from antiphon.wire.options import Effort
from tests.real.test_thinking import with_template

pytestmark = pytest.mark.real
HI = (ChatTurn("user", "Hi"),)
TURNS = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
ASSISTANT = "{{ '<|im_start|>assistant\n' }}"
EFFORT = TURNS + "{% if reasoning_effort %}{{ 'Reasoning: ' + reasoning_effort }}{% endif %}" + ASSISTANT
CALLS = TURNS + ASSISTANT + "{# tools: <|tool_call|> #}"


def renamed(model: Path, tokens: dict[str, str]) -> Path:
    """The same file, with other names for some of its tokens: as long as their own."""
    data = bytearray(model.read_bytes())
    for old, new in tokens.items():
        assert len(old) == len(new)
        length = len(old).to_bytes(8, "little")
        at = data.index(length + old.encode()) + len(length)
        data[at : at + len(new)] = new.encode()
    model.write_bytes(data)
    return model


@pytest.fixture
def engine_of(smollm2: Path, tmp_path: Path) -> Callable[..., ChildEngine]:
    def engine_of(template: str, **tokens: str) -> ChildEngine:
        names = {f"<{name}>": token for name, token in tokens.items()}
        model = renamed(with_template(smollm2, template, tmp_path), names)
        plan = gguf.plan(model, gguf.available_bytes(), gguf.num_cores())
        return ChildEngine(model, tmp_path, SystemClock(), name="m", plan=plan)

    return engine_of


async def said(engine: ChildEngine, grammar: str) -> str:
    wish = Wish(12, Sampling(0.0), grammar=Grammar(grammar))
    bursts = engine.generate("m", await engine.prepare("m", Chat(HI)), wish)
    return "".join([piece.text async for burst in bursts for piece in burst])


async def test_the_control_tokens_of_a_models_format_are_in_its_text_and_others_are_not(
    engine_of: Callable[..., ChildEngine],
):
    """A grammar names tokens without quotes."""
    engine = engine_of(CALLS, issue_start="<|tool_call|>")
    await engine.start()
    try:
        (model,) = await engine.models()
        assert model.form.name == "granite"
        assert await said(engine, 'root ::= <|tool_call|> "[]" <gh_stars> "."') == "<|tool_call|>[]."
    finally:
        await engine.aclose()


async def test_a_template_that_asks_how_hard_to_think_is_told(engine_of: Callable[..., ChildEngine]):
    engine = engine_of(EFFORT)
    await engine.start()
    try:
        efforts: list[Effort | None] = [None, "low", "max"]
        prompts = [await engine.prepare("m", Chat(HI, thinks=True, effort=effort)) for effort in efforts]
    finally:
        await engine.aclose()
    assert prompts[0].num_tokens < min(prompts[1].num_tokens, prompts[2].num_tokens)
    assert prompts[1].tokens != prompts[2].tokens
