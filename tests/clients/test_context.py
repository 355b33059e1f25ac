"""Context management through the door: what is cleared, what is told, what is counted."""

from typing import Any

import pytest

from antiphon.turn.edits import CLEARED
from antiphon.turn.pieces import Piece, Stop
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import World, ask

TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}]
BETAS = ["context-management-2025-06-27"]
TEN_WORDS = "one two three four five six seven eight nine ten"


def history(num_uses: int = 5) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
    for number in range(num_uses):
        call = {"type": "tool_use", "id": f"t{number}", "name": "weather", "input": {}}
        messages.append({"role": "assistant", "content": [call]})
        answer = {"type": "tool_result", "tool_use_id": f"t{number}", "content": TEN_WORDS}
        messages.append({"role": "user", "content": [answer, {"type": "text", "text": "And?"}]})
    return messages


def clearing(**fields: Any) -> dict[str, Any]:
    return {"edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 2}} | fields]}


def body(**fields: Any) -> dict[str, Any]:
    return ask(tools=TOOLS, tool_choice={"type": "none"}) | {"messages": history()} | fields


def longer(request: dict[str, Any]) -> dict[str, Any]:
    """The same, with results that are longer than what is put in their place."""
    for message in request["messages"]:
        if message["role"] == "user" and not isinstance(message["content"], str):
            message["content"][0]["content"] = f"{TEN_WORDS} " * 3
    return request


async def test_old_results_are_cleared_and_the_reply_says_so():
    async with World() as world, world.sdk() as client:
        plain = await client.beta.messages.create(**longer(body()))
        message = await client.beta.messages.create(**longer(body(context_management=clearing())), betas=BETAS)
    assert plain.context_management is None
    assert message.context_management is not None
    (edit,) = message.context_management.applied_edits
    assert (edit.type, edit.cleared_tool_uses) == ("clear_tool_uses_20250919", 2)
    assert edit.cleared_input_tokens == plain.usage.input_tokens - message.usage.input_tokens > 0


async def test_a_stream_says_so_in_its_message_delta():
    async with World() as world:
        events = await world.stream(longer(body(context_management=clearing())))
        async with world.sdk() as client:
            request = longer(body(context_management=clearing()))
            async with client.beta.messages.stream(**request, betas=BETAS) as stream:
                message = await stream.get_final_message()
    (told,) = [event["context_management"] for event in events if "context_management" in event]
    assert told["applied_edits"][0]["cleared_tool_uses"] == 2
    assert events[-2]["context_management"] == told
    assert message.context_management is not None
    assert message.context_management.to_dict() == told


async def test_the_count_is_that_of_the_edited_prompt_and_tells_the_other():
    request = longer(body(context_management=clearing()))
    del request["max_tokens"]
    async with World() as world, world.sdk() as client:
        counted = await client.beta.messages.count_tokens(**request, betas=BETAS)
        message = await client.beta.messages.create(**request, max_tokens=10)
        plain = await client.messages.count_tokens(**{k: v for k, v in request.items() if k != "context_management"})
    assert counted.context_management is not None
    assert counted.context_management.original_input_tokens == plain.input_tokens
    assert counted.input_tokens == message.usage.input_tokens < plain.input_tokens


async def test_what_the_model_reads_is_the_edited_history():
    engine = ScriptedEngine()
    engine.say("ok")
    async with World(engine) as world:
        status, _ = await world.post("/v1/messages", body(model="scripted", context_management=clearing()))
    results = [turn.text for turn in engine.chats[-1].turns if turn.role == "tool"]
    assert (status, results) == (200, [CLEARED] * 2 + [TEN_WORDS] * 3)


NOT_DUE = [
    clearing(trigger={"type": "input_tokens", "value": 5000}),
    clearing(keep={"type": "tool_uses", "value": 5}),
    {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    {"edits": []},
    {},
]


@pytest.mark.parametrize("management", NOT_DUE)
async def test_edits_that_are_not_due_are_told_as_none_and_cost_no_second_count(management: dict[str, Any]):
    engine = ScriptedEngine()
    engine.say("ok")
    async with World(engine) as world:
        _, message = await world.post("/v1/messages", body(model="scripted", context_management=management))
    assert message["context_management"] == {"applied_edits": []}
    assert len(engine.chats) == 1


async def test_an_edit_that_would_not_clear_enough_is_not_applied():
    management = clearing(clear_at_least={"type": "input_tokens", "value": 5000})
    async with World() as world:
        _, message = await world.post("/v1/messages", longer(body(context_management=management)))
        _, plain = await world.post("/v1/messages", longer(body()))
    assert message["context_management"] == {"applied_edits": []}
    assert message["usage"]["input_tokens"] == plain["usage"]["input_tokens"]
    assert "context_management" not in plain


async def test_a_prompt_that_only_fits_after_its_edits_is_served():
    request = longer(body(model="lorem", max_tokens=5))
    request["messages"][2]["content"][0]["content"] = "word " * 200_001
    async with World() as world:
        status, refusal = await world.post("/v1/messages", request)
        assert (status, refusal["error"]["message"].split(":")[0]) == (400, "prompt is too long")
        status, _ = await world.post("/v1/messages", request | {"context_management": clearing()})
    assert status == 200


def turns_of_thought(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each block in a turn of its own, and a last question."""
    turns = [turn for block in blocks for turn in (user("Hi"), {"role": "assistant", "content": [block, TEXT]})]
    return [*turns, user("And?")]


TEXT = {"type": "text", "text": "ok"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def test_earlier_thinking_is_cleared():
    engine = ScriptedEngine()
    async with World(engine) as world:
        engine.feed([Piece("ok", 1, stop=Stop("end"))])
        block = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
        management = {"edits": [{"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 2}}]}
        request = ask(model="scripted", context_management=management) | {"messages": turns_of_thought([block] * 3)}
        _, message = await world.post("/v1/messages", request)
    edit = {"type": "clear_thinking_20251015", "cleared_thinking_turns": 1, "cleared_input_tokens": 0}
    assert message["context_management"] == {"applied_edits": [edit]}


REFUSED = [
    (
        [{"type": "compact_20260112"}],
        "context_management.edits.0: edits of type 'compact_20260112' are not supported by this server yet.",
    ),
    (
        [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}],
        "context_management.edits.1: `clear_thinking_20251015` must be the first edit",
    ),
]


@pytest.mark.parametrize(("edits", "words"), REFUSED)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_edits_are_refused_in_words(path: str, edits: list[Any], words: str):
    async with World() as world:
        status, answer = await world.post(path, ask(context_management={"edits": edits}))
    assert (status, answer["error"]["message"]) == (400, words)
