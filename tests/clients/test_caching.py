"""Prompt caching through the door: what is told of it, for how long, and to whom."""

from typing import Any

import pytest

from antiphon.core.clock import ManualClock
from antiphon.turn.breakpoints import LOOKBACK
from antiphon.turn.pieces import Piece, Progress, Stop
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import ADMIN_KEY, World, ask

HERE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
WORDS = "word " * 600


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words} | fields


def system(words: str = WORDS, control: Any = HERE) -> list[dict[str, Any]]:
    return [text(words, cache_control=control)]


async def usage_of(world: World, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    status, message = await world.post("/v1/messages", body, **headers)
    assert status == 200, message
    return message["usage"]


def told(usage: dict[str, Any]) -> tuple[int, int, int]:
    """(read, written, the rest)."""
    return usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"], usage["input_tokens"]


async def test_what_a_breakpoint_covers_is_written_once_and_then_read():
    async with World() as world:
        first = await usage_of(world, ask("Hi", system=system()))
        second = await usage_of(world, ask("Bye then", system=system()))
    read, written, rest = told(first)
    assert (read, rest) == (0, 2)  # a word and the role that replies
    assert written > 600
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0}
    assert told(second) == (written, 0, 3)


async def test_a_stream_tells_it_at_its_start_and_at_its_end():
    async with World() as world:
        await usage_of(world, ask(system=system()))
        events = await world.stream(ask(system=system()))
    (ending,) = [event for event in events if event["type"] == "message_delta"]
    assert told(events[0]["message"]["usage"]) == told(ending["usage"])
    assert ending["usage"]["cache_read_input_tokens"] > 600


async def test_hours_and_minutes_are_told_apart():
    async with World() as world:
        body = ask(system=[text(WORDS, cache_control=HOUR), text("And " + WORDS, cache_control=HERE)])
        usage = await usage_of(world, body)
        hour, minutes = usage["cache_creation"].values(), usage["cache_creation_input_tokens"]
    assert sum(hour) == minutes
    assert min(hour) > 500


async def test_a_conversation_reads_its_last_turn_with_automatic_caching():
    messages = [{"role": "user", "content": WORDS}]
    async with World() as world:
        written = told(await usage_of(world, ask(cache_control=HERE) | {"messages": messages}))[1]
        messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Go on"}]
        read, more, rest = told(await usage_of(world, ask(cache_control=HERE) | {"messages": messages}))
    assert (read, rest) == (written, 1)
    assert 0 < more < 10


@pytest.mark.parametrize(("num_blocks", "is_read"), [(LOOKBACK - 1, True), (LOOKBACK, False)])
async def test_an_earlier_prefix_is_looked_for_twenty_blocks_back(num_blocks: int, is_read: bool):
    first = [text(WORDS, cache_control=HERE)]
    later = [text(WORDS), *(text(f"block {number}") for number in range(num_blocks))]
    later[-1] |= {"cache_control": HERE}
    async with World() as world:
        await usage_of(world, ask(first))
        read = told(await usage_of(world, ask(later)))[0]
    assert (read > 500) == is_read


async def test_too_short_a_prefix_is_not_cached_and_nothing_is_said():
    async with World() as world:
        for _ in range(2):
            read, written, rest = told(await usage_of(world, ask(system=system("word " * 400))))
            assert (read, written) == (0, 0)
            assert rest > 400


@pytest.mark.parametrize(("control", "lifetime_s"), [(HERE, 300), (HOUR, 3600)])
async def test_an_entry_lives_its_time_and_each_reading_renews_it(control: Any, lifetime_s: float):
    clock = ManualClock()
    async with World(clock=clock) as world:
        body = ask(system=system(control=control))
        reads: list[int] = []
        for wait_s in (0, lifetime_s - 1, lifetime_s - 1, lifetime_s + 1):
            clock.advance(wait_s)
            reads.append(told(await usage_of(world, body))[0])
    assert [read > 0 for read in reads] == [False, True, True, False]


async def test_no_workspace_reads_what_another_has_cached():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        other = (await client.organization.workspaces.create(name="Other")).id
        async with world.http.post(
            "/antiphon/api_keys",
            json={"name": "Theirs", "workspace_id": other},
            headers={"x-api-key": ADMIN_KEY, "anthropic-version": "2026-10-21"},
        ) as reply:
            key = (await reply.json())["key"]
        body = ask(system=system())
        own = [told(await usage_of(world, body))[0] for _ in range(2)]
        theirs = [told(await usage_of(world, body, **{"x-api-key": key}))[0] for _ in range(2)]
    assert own[0] == theirs[0] == 0
    assert own[1] == theirs[1] > 0


async def test_what_the_engine_lost_is_told_as_written_and_counted():
    """The start of the stream tells what the records expect, its end what was true."""
    engine = ScriptedEngine(num_input=1000, window=9000)
    async with World(engine) as world:
        body = ask(system=WORDS, model="scripted", cache_control=HERE)
        for num_cached in (0, 0, 700):
            engine.feed([Piece(progress=Progress(0, 1000, num_cached))])
            engine.feed([Piece("ok", 1, stop=Stop("end", 1000, num_cached))])
        first, second, third = [await world.stream(body) for _ in range(3)]
        async with world.http.get("/metrics") as reply:
            metrics = await reply.text()
    usages = [(events[0]["message"]["usage"], events[-2]["usage"]) for events in (first, second, third)]
    assert [tuple(map(told, pair)) for pair in usages] == [
        ((0, 999, 1), (0, 999, 1)),
        ((999, 0, 1), (0, 999, 1)),
        ((999, 0, 1), (700, 299, 1)),
    ]
    assert 'antiphon_cache_lost_tokens_total{model="scripted"} 1298.0' in metrics


async def test_an_engine_that_never_tells_has_read_nothing():
    engine = ScriptedEngine(num_input=1000, window=9000)
    async with World(engine) as world:
        body = ask(system=WORDS, model="scripted", cache_control=HERE)
        engine.say("ok")
        engine.say("ok")
        usages = [await usage_of(world, body) for _ in range(2)]
    assert [told(usage) for usage in usages] == [(0, 999, 1)] * 2


@pytest.mark.parametrize("tells_all", [False, True])
async def test_reuse_without_a_breakpoint_is_told_only_if_the_operator_wants_it(tells_all: bool):
    async with World(cache_tells_all=tells_all) as world:
        body = ask(system=WORDS)
        await usage_of(world, body)
        usage = await usage_of(world, body)
        _, counted = await world.post("/v1/messages/count_tokens", {k: v for k, v in body.items() if k != "max_tokens"})
    assert (usage["cache_read_input_tokens"] > 0) == tells_all
    assert usage["cache_read_input_tokens"] + usage["input_tokens"] == counted["input_tokens"]


async def test_a_call_for_no_tokens_warms_the_cache():
    async with World() as world:
        status, warm = await world.post("/v1/messages", ask(system=system(), max_tokens=0))
        later = await usage_of(world, ask(system=system()))
    assert (status, warm["content"], warm["stop_reason"]) == (200, [], "max_tokens")
    assert warm["usage"]["cache_creation_input_tokens"] == later["cache_read_input_tokens"] > 600


async def test_an_attribution_line_that_changes_does_not_move_the_cache():
    async with World() as world:
        lines = [f"x-anthropic-billing-header: cc_version=2.1.{number}; cch=0{number};" for number in range(2)]
        reads = [told(await usage_of(world, ask(system=[text(line), *system()])))[0] for line in lines]
    async with World(steady_prompts=False) as world:
        as_sent = [told(await usage_of(world, ask(system=[text(line), *system()])))[0] for line in lines]
    assert reads[0] == 0
    assert reads[1] > 600
    assert as_sent == [0, 0]


async def test_the_choice_of_a_tool_keeps_tools_and_system_and_drops_the_messages():
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]
    body = ask([text(WORDS, cache_control=HERE)], system=system(), tools=tools, model="tool-caller")
    async with World() as world:
        await usage_of(world, body)
        same = await usage_of(world, body)
        other = await usage_of(world, body | {"tool_choice": {"type": "any"}})
    assert told(same)[1] == 0
    assert told(other)[0] > 600
    assert told(other)[1] > 500


async def reason_of(world: World, body: dict[str, Any]) -> tuple[str, Any]:
    """The reply's id, and why it missed the cache."""
    status, message = await world.post("/v1/messages", body)
    assert status == 200, message
    return message["id"], message["diagnostics"]["cache_miss_reason"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, None),
        ({"model": "lorem"}, "model_changed"),
        ({"tools": [{"name": "clock", "input_schema": {"type": "object"}}]}, "tools_changed"),
        ({"system": "Be rude."}, "system_changed"),
        ({"messages": [{"role": "user", "content": "Other"}]}, "messages_changed"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}, "unavailable"),
    ],
)
async def test_diagnostics_tell_what_has_changed_since_the_message_before(change: dict[str, Any], kind: str | None):
    async with World() as world:
        message_id, nothing = await reason_of(world, ask("Hi", diagnostics={"previous_message_id": None}))
        body = ask("Hi", diagnostics={"previous_message_id": message_id}) | change
        _, reason = await reason_of(world, body)
    assert nothing is None
    assert (reason and reason["type"]) == kind
    assert ("cache_missed_input_tokens" in (reason or {})) == (kind not in (None, "unavailable"))


async def test_diagnostics_of_a_message_that_nobody_knows():
    async with World() as world:
        body = ask("Hi", diagnostics={"previous_message_id": "msg_01unknown"})
        assert (await reason_of(world, body))[1] == {"type": "previous_message_not_found"}
        _, plain = await world.post("/v1/messages", ask("Hi"))
    assert "diagnostics" not in plain


async def test_what_was_read_does_not_count_against_the_limit_of_input():
    limits = {"input_tokens_per_minute": 1500}
    async with World(rate_limits=limits, clock=ManualClock()) as world:
        for _ in range(6):
            await usage_of(world, ask(system=system()))
