"""Thinking on a real model. None of the small ones thinks by itself: this one's template opens the tag for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from antiphon.core.clock import SystemClock
from antiphon.engines.connect import connect
from antiphon.settings import Settings
from antiphon.turn import script
from tests.fixtures.serving import Served, serving
from tests.fixtures.world import World

pytestmark = pytest.mark.real
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['reasoning_content'] %}{{ '<think>\n' + m['reasoning_content'] + '\n</think>\n\n' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
ADAPTIVE: Any = {"type": "adaptive"}
HELLO: Any = {"role": "user", "content": "Why is the sky blue?"}


def with_template(model: Path, template: str, folder: Path) -> Path:
    """A copy of a model with another chat template: no longer than its own, so that nothing in the file moves."""
    data = bytearray(model.read_bytes())
    key = b"tokenizer.chat_template"
    at = data.index(key) + len(key) + 4  # the type of a string
    num_bytes = int.from_bytes(data[at : at + 8], "little")
    text = template.encode()
    assert len(text) <= num_bytes
    data[at + 8 : at + 8 + num_bytes] = text + b" " * (num_bytes - len(text))
    path = folder / "thinker.gguf"
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("thinking")
    model = with_template(smollm2, TEMPLATE, folder)
    with serving(folder, "--model", str(model), ANTIPHON_TEMPERATURE_SCALE="0") as server:  # it may end at any token
        yield server
    model.unlink()


@pytest.fixture
def client(served: Served) -> Iterator[Anthropic]:
    with served.sdk() as client:
        yield client


def ask(client: Anthropic, *messages: Any, **fields: Any) -> Any:
    given: dict[str, Any] = {"model": "claude-x", "max_tokens": 24, "thinking": ADAPTIVE, "messages": list(messages)}
    return client.messages.create(**given | fields)


def test_a_prompt_that_opens_thinking_makes_a_signed_block(client: Anthropic):
    """Cut by `max_tokens` within it: all that came is thinking."""
    message = ask(client, HELLO)
    (block,) = message.content
    assert (block.type, message.stop_reason) == ("thinking", "max_tokens")
    assert block.thinking
    assert block.signature
    assert message.usage.output_tokens_details.thinking_tokens == message.usage.output_tokens == 24


def test_thinking_that_nobody_asked_for_or_that_is_omitted_is_not_shown(client: Anthropic):
    assert ask(client, HELLO, thinking={"type": "disabled"}).content == []
    (block,) = ask(client, HELLO, thinking=ADAPTIVE | {"display": "omitted"}).content
    assert (block.type, block.thinking) == ("thinking", "")
    assert len(block.signature) > len(ask(client, HELLO).content[0].signature)


@pytest.mark.parametrize("display", ["summarized", "omitted"])
def test_a_block_that_comes_back_is_verified_and_read_again(client: Anthropic, display: str):
    (block,) = ask(client, HELLO, thinking=ADAPTIVE | {"display": display}).content
    said = {"role": "assistant", "content": [block.model_dump(exclude_none=True), {"type": "text", "text": "Light."}]}
    again = {"role": "user", "content": "And the sea?"}
    assert ask(client, HELLO, said, again).content[0].type == "thinking"
    changed = said | {"content": [said["content"][0] | {"thinking": "Something else."}, said["content"][1]]}
    with pytest.raises(anthropic.BadRequestError, match="cannot be modified"):
        ask(client, HELLO, changed, again)
    broken = said["content"][0]["signature"][:-8] + "AAAAAAA="
    with pytest.raises(anthropic.BadRequestError, match=r"cannot be modified|Invalid `signature`"):
        ask(client, HELLO, said | {"content": [said["content"][0] | {"signature": broken}]}, again)


def test_what_the_model_thought_is_in_the_prompt_of_a_tools_result(client: Anthropic):
    """Within one turn of an agent thinking is kept; the count tells."""
    tool: Any = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
    (block,) = ask(client, HELLO, tools=[tool]).content
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "blue"}]}
    counts = []
    for content in ([block.model_dump(exclude_none=True), call], [call]):
        asked = {"model": "claude-x", "thinking": ADAPTIVE, "tools": [tool]}
        messages: Any = [HELLO, {"role": "assistant", "content": content}, result]
        counts.append(client.messages.count_tokens(messages=messages, **asked).input_tokens)  # type: ignore[arg-type]
    assert counts[0] > counts[1] + 10


async def test_a_budget_ends_thinking_and_the_answer_follows(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A budget of 24 tokens, which no client can ask for. A small model may end its turn before: then once more."""
    monkeypatch.setattr(script, "_BUDGETS", {"low": 24})
    model = with_template(smollm2, TEMPLATE, tmp_path)
    given: dict[str, Any] = {"model": str(model), "data_dir": tmp_path}
    engine, _ = await connect(Settings(**given), SystemClock())
    events, kinds = [], []
    async with World(engine) as world:
        for _ in range(8):
            low = {"output_config": {"effort": "low"}, "thinking": ADAPTIVE, "max_tokens": 60}
            events = await world.stream({"model": "thinker", "messages": [HELLO], **low})
            kinds = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
            if len(kinds) == 2:
                break
    usage = next(event["usage"] for event in events if event["type"] == "message_delta")
    texts = [event["delta"]["text"] for event in events if event.get("delta", {}).get("type") == "text_delta"]
    assert kinds == ["thinking", "text"]
    assert usage["output_tokens_details"]["thinking_tokens"] == 24
    assert 24 < usage["output_tokens"] <= 60
    assert "</think>" not in "".join(texts)
