"""Thinking that comes back: signed, verified, tolerated or refused."""

from typing import Any

import pytest
from anthropic.types import Message

from antiphon.engines.fake import FakeEngine
from antiphon.turn.chat import Chat
from antiphon.turn.formats.table import FORMATS, GENERAL
from antiphon.turn.kinds import ALWAYS_THINKING
from antiphon.turn.pieces import Piece, Prompt, Stop
from antiphon.turn.script import script_of
from antiphon.turn.signature import Signer
from antiphon.wire.parse import parse_message
from antiphon.wire.versions import Version
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import ADMIN_KEY, World, ask
from tests.unit.wire.requests import assistant, call, encode, result, says, system, text, tool, user

ADAPTIVE = {"type": "adaptive"}
ENABLED = {"type": "enabled", "budget_tokens": 1024}
CHANGED = (
    "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
    "modified. These blocks must remain as they were in the original response."
)
BROKEN = "messages.1.content.0: Invalid `signature` in `thinking` block"
FOREIGN = {"type": "thinking", "thinking": "Elsewhere.", "signature": "RXJVQkNrZ0lCeEFCR0FJaVFM"}
REDACTED = {"type": "redacted_thinking", "data": "RW1zQ0NrWUlCeEFC"}
THOUGHT = "\nThe user says: Hi\n"


class ReadingEngine(FakeEngine):
    """The scripted engine, and every chat it was given."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.chats: list[Chat] = []

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        self.chats.append(chat)
        return await super().prepare(model, chat)


def reading() -> tuple[World, ReadingEngine]:
    world = World()
    engine = ReadingEngine(world)
    world._engine = engine
    return world, engine


def thinking(**fields: Any) -> dict[str, Any]:
    return ask("Hi", model="thinker", thinking=ADAPTIVE, max_tokens=2000) | fields


async def think(world: World, **fields: Any) -> dict[str, Any]:
    """The block of thinking of a reply."""
    status, message = await world.post("/v1/messages", thinking(**fields))
    assert status == 200, message
    return message["content"][0]


def sent_back(*blocks: Any, **fields: Any) -> dict[str, Any]:
    """A request after a reply that held `blocks` before its text."""
    return thinking(messages=[user("Hi"), assistant([*blocks, text("Hi")]), user("And?")]) | fields


@pytest.mark.parametrize("wanted", [ADAPTIVE, ENABLED], ids=["adaptive", "enabled"])
async def test_thinking_is_a_signed_block_before_the_text(wanted: dict[str, Any]):
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**thinking(thinking=wanted))
        async with client.messages.stream(**thinking(thinking=wanted)) as stream:
            streamed = await stream.get_final_message()
    assert blocks_of(message) == blocks_of(streamed)
    block, answer = message.content
    assert block.type == "thinking"
    assert "The user says: Hi" in block.thinking
    assert block.signature
    assert (answer.to_dict()["text"], message.stop_reason) == ("Hi", "end_turn")
    details = message.usage.output_tokens_details
    assert details is not None
    assert 0 < details.thinking_tokens < message.usage.output_tokens


def blocks_of(message: Message) -> list[dict[str, Any]]:
    return [block.to_dict() for block in message.content]


@pytest.mark.parametrize("fields", [{"thinking": {"type": "disabled"}}, {}], ids=["disabled", "absent"])
async def test_without_thinking_there_is_no_block(fields: dict[str, Any]):
    request = {key: value for key, value in thinking().items() if key != "thinking"} | fields
    async with World() as world, world.sdk() as client:
        message = await client.messages.create(**request)
    assert [block.type for block in message.content] == ["text"]


async def test_omitted_thinking_is_a_signature_alone():
    wanted = ADAPTIVE | {"display": "omitted"}
    async with World() as world:
        block = await think(world, thinking=wanted)
        events = await world.stream(thinking(thinking=wanted))
    assert (block["thinking"], bool(block["signature"])) == ("", True)
    deltas = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert deltas.count("signature_delta") == 1
    assert "thinking_delta" not in deltas


@pytest.mark.parametrize("display", ["summarized", "omitted"])
async def test_our_thinking_reaches_the_model_when_it_comes_back(display: str):
    world, engine = reading()
    wanted = ADAPTIVE | {"display": display}
    async with world, world.sdk() as client:
        first = await client.messages.create(**thinking(thinking=wanted))
        messages = [user("Hi"), {"role": "assistant", "content": first.content}, user("And?")]
        await client.messages.create(**thinking(thinking=wanted, messages=messages))
    assert [turn.thinking.strip() for turn in engine.chats[-1].turns] == ["", "The user says: Hi", ""]


CHANGES = [
    ({"thinking": "I was told to obey."}, CHANGED),
    ({"thinking": ""}, BROKEN),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=["another text", "no text"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_a_changed_block_in_the_latest_assistant_message_is_refused(path: str, change: Any, words: str):
    async with World() as world:
        block = await think(world)
        status, answer = await world.post(path, sent_back(block | change))
    assert (status, answer["error"]["type"], answer["error"]["message"]) == (400, "invalid_request_error", words)


async def test_the_refusal_names_the_blocks_own_place():
    async with World() as world:
        block = await think(world)
        changed = block | {"thinking": "No."}
        status, answer = await world.post("/v1/messages", sent_back(block, changed))
    assert (status, answer["error"]["message"]) == (400, CHANGED.replace("content.0", "content.1"))


async def test_an_omitted_block_with_a_broken_signature_is_refused():
    async with World() as world:
        block = await think(world, thinking=ADAPTIVE | {"display": "omitted"})
        signature = block["signature"][:40] + "AAAA" + block["signature"][44:]
        status, answer = await world.post("/v1/messages", sent_back(block | {"signature": signature}))
    assert (status, answer["error"]["message"]) == (400, BROKEN)


async def key_of_another_workspace(world: World) -> str:
    admin = {"x-api-key": ADMIN_KEY}
    _, workspace = await world.post("/v1/organizations/workspaces", {"name": "Other"}, **admin)
    _, made = await world.post("/antiphon/api_keys", {"name": "Other", "workspace_id": workspace["id"]}, **admin)
    return made["key"]


async def test_another_workspaces_block_is_refused_as_changed():
    async with World() as world:
        key = await key_of_another_workspace(world)
        block = await think(world)
        status, answer = await world.post("/v1/messages", sent_back(block), **{"x-api-key": key})
    assert (status, answer["error"]["message"]) == (400, CHANGED)


async def test_a_changed_block_of_an_earlier_message_is_left_out():
    world, engine = reading()
    async with world:
        changed = await think(world) | {"thinking": "No."}
        first = [user("Hi"), assistant([changed, text("Hi")])]
        status, _ = await world.post("/v1/messages", thinking(messages=[*first, user("a"), assistant("b"), user("c")]))
    assert (status, engine.chats[-1].turns[1].thinking) == (200, "")


@pytest.mark.parametrize("wanted", [{"type": "disabled"}, None], ids=["disabled", "absent"])
async def test_a_client_that_has_stopped_thinking_is_not_held_to_its_blocks(wanted: Any):
    async with World() as world:
        changed = await think(world) | {"thinking": "No."}
        request = sent_back(changed, thinking=wanted)
        request = {key: value for key, value in request.items() if value is not None}
        status, _ = await world.post("/v1/messages", request)
    assert status == 200


@pytest.mark.parametrize("block", [FOREIGN, FOREIGN | {"signature": ""}, REDACTED], ids=["foreign", "none", "redacted"])
@pytest.mark.parametrize("wanted", [ADAPTIVE, ENABLED], ids=["adaptive", "enabled"])
async def test_what_another_server_has_thought_is_tolerated_and_not_read(wanted: Any, block: dict[str, Any]):
    world, engine = reading()
    async with world:
        loop = [user("Hi"), assistant([block, call()]), user([result(content="Sun")])]
        request = thinking(messages=loop, thinking=wanted, tools=[tool()])
        status, message = await world.post("/v1/messages", request)
    assert status == 200, message
    assert [turn.thinking for turn in engine.chats[-1].turns] == ["", "", ""]


@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ({}, 16384),
        ({"output_config": {"effort": "low"}}, 1024),
        ({"output_config": {"effort": "medium"}}, 4096),
        ({"output_config": {"effort": "high"}}, 16384),
        ({"output_config": {"effort": "xhigh"}}, None),
        ({"output_config": {"effort": "max"}}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low"}}, 2000),
        ({"thinking": {"type": "between_tools"}, "output_config": {"effort": "low"}}, 1024),
    ],
)
def test_effort_bounds_the_thinking_of_a_model_that_judges_for_itself(fields: dict[str, Any], budget: int | None):
    assert budget_of(says(user("Hi"), **{"max_tokens": 9000, "thinking": ADAPTIVE} | fields)) == budget


def test_the_last_word_on_effort_counts():
    messages = [user("Hi"), system([], output_config={"effort": "low"}), assistant("ok"), user("And?")]
    fields = {"thinking": ADAPTIVE, "output_config": {"effort": "max"}}
    assert budget_of(says(*messages, **fields)) == 1024


def budget_of(body: dict[str, Any]) -> int | None:
    request = parse_message(encode(body), Version.V2023_06_01)
    script = script_of(request, GENERAL, Signer(b"key", "wrkspc_a"), thinks=True)
    assert script
    return script.thinking.budget


@pytest.mark.parametrize("model", ["tool-caller", "lorem"])
@pytest.mark.parametrize("display", ["summarized", "omitted"])
async def test_a_reply_to_demanded_thinking_begins_with_a_block_that_can_be_sent_back(model: str, display: str):
    """A model that did not think: the API would refuse its call without a block when it comes back."""
    fields = {"thinking": ENABLED | {"display": display}, "max_tokens": 1100, "tools": [tool()]}
    async with World() as world, world.sdk() as client:
        request: Any = ask("Rain?", model=model, **fields)
        async with client.messages.stream(**request) as stream:
            reply = await stream.get_final_message()
        thought: Any = reply.content[0]
        call: Any = reply.content[-1]
        again: Any = request | {
            "messages": [
                *request["messages"],
                {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in reply.content]},
                user([result(call.id)] if model == "tool-caller" else [text("Go on.")]),
            ]
        }
        after = await client.messages.create(**again)
    assert (thought.type, thought.thinking) == ("thinking", "")
    assert [block.type for block in after.content] == ["thinking", "text"]


HARMONY = next(form for form in FORMATS if form.name == "harmony")
THOUGHT_IN_CHANNELS = "<|channel|>analysis<|message|>A greeting."
ANSWER = "<|end|><|start|>assistant<|channel|>final<|message|>"


def in_channels() -> ScriptedEngine:
    return ScriptedEngine(window=9000, form=HARMONY, thinking=ALWAYS_THINKING)


@pytest.mark.parametrize(
    ("fields", "types"),
    [({}, ["text"]), ({"thinking": ADAPTIVE}, ["thinking", "text"])],
    ids=["not asked for", "adaptive"],
)
async def test_what_a_model_thinks_in_channels_is_no_text(fields: dict[str, Any], types: list[str]):
    engine = in_channels()
    async with World(engine) as world:
        engine.say(THOUGHT_IN_CHANNELS, ANSWER, "Hello.")
        _, message = await world.post("/v1/messages", ask("Hi", model="scripted", max_tokens=3000, **fields))
    assert [block["type"] for block in message["content"]] == types
    assert message["content"][-1]["text"] == "Hello."


async def test_thinking_in_channels_ends_at_its_budget_with_the_channel_of_the_answer():
    engine = in_channels()
    async with World(engine) as world:
        engine.feed([Piece(THOUGHT_IN_CHANNELS, 1024)])
        engine.feed([Piece("Hello.", 1025)], [Piece("", 1026, stop=Stop("end"))])
        request = ask("Hi", model="scripted", thinking=ENABLED, max_tokens=3000)
        _, message = await world.post("/v1/messages", request)
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert (message["content"][0]["thinking"], message["content"][1]["text"]) == ("A greeting.", "Hello.")
    assert engine.wishes[1].opening == THOUGHT_IN_CHANNELS + ANSWER


async def test_what_a_format_always_writes_around_a_reply_is_no_text():
    form = next(form for form in FORMATS if form.name == "command-r7b")
    engine = ScriptedEngine(form=form)
    async with World(engine) as world:
        engine.say("<|START_RESPONSE|>", "Hello.", "<|END_RESPONSE|>")
        _, message = await world.post("/v1/messages", ask("Hi", model="scripted"))
    assert [block["text"] for block in message["content"]] == ["Hello."]
