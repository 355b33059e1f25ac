"""The scripted engine: its memory, and what it says."""

from typing import Any

import orjson
import pytest

from antiphon.core.clock import ManualClock
from antiphon.engines.fake import NUM_SLOTS, WINDOW, FakeEngine
from antiphon.turn.chat import Chat, ChatCall, ChatTurn
from antiphon.turn.formats.written import HERMES
from antiphon.turn.pieces import ForcedCall, Grammar, Wish
from antiphon.turn.schema.check import problem_of
from antiphon.turn.tools.offer import OfferedTool

PLACE = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
WEATHER = OfferedTool("weather", "Tells the weather.", PLACE)
CLOCK = OfferedTool("clock", "Tells the time.", {"type": "object", "properties": {}})
CALL = ChatCall("toolu_1", "clock", "{}")
HI = ChatTurn("user", "hi there")
CHAT = Chat((HI,), tools=(CLOCK, WEATHER), callable=(CLOCK, WEATHER))


async def num_cached(engine: FakeEngine, text: str) -> int | None:
    prompt = await engine.prepare("echo", Chat((ChatTurn("user", text),)))
    bursts = [burst async for burst in engine.generate("echo", prompt, Wish(1))]
    return bursts[-1][-1].stop and bursts[-1][-1].stop.num_cached


async def test_the_cache_holds_one_window_of_tokens_in_all():
    engine = FakeEngine(ManualClock())
    texts = [f"{number} " * (WINDOW // 4) for number in range(NUM_SLOTS)]
    for text in texts:
        await num_cached(engine, text)
    assert sum(map(len, engine._cache)) <= WINDOW
    assert (await num_cached(engine, texts[-1]) or 0) > WINDOW // 4, "the newest is forgotten"


async def test_a_prompt_larger_than_the_cache_is_remembered_alone():
    engine = FakeEngine(ManualClock())
    text = "word " * (WINDOW + 10)
    await num_cached(engine, text)
    assert (await num_cached(engine, text) or 0) > WINDOW
    assert len(engine._cache) == 1


async def said(model: str, chat: Chat, wish: Wish = Wish(500)) -> str:  # noqa: B008 it is frozen
    engine = FakeEngine(ManualClock())
    prompt = await engine.prepare(model, chat)
    return "".join([piece.text async for burst in engine.generate(model, prompt, wish) for piece in burst])


def call_in(text: str) -> tuple[str, object]:
    """The call that is the whole text."""
    assert text.startswith(HERMES.before)
    assert text.endswith(HERMES.after)
    call = orjson.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))
    return call["name"], call["arguments"]


@pytest.mark.parametrize("model", ["echo", "lorem", "json", "tool-caller", "thinker"])
@pytest.mark.parametrize(("wanted", "called"), [(None, CLOCK), ("clock", CLOCK), ("weather", WEATHER)])
async def test_a_call_that_is_demanded_goes_on_after_its_opening(model: str, wanted: str | None, called: OfferedTool):
    opening = HERMES.prefix(wanted)
    text = await said(model, CHAT, Wish(500, opening=opening, forced=ForcedCall(wanted)))
    name, arguments = call_in(opening + text)
    assert name == called.name
    assert problem_of(called.schema, arguments) is None


@pytest.mark.parametrize("opening", ["", "<think>\nhm\n</think>\n\n"])
async def test_a_document_that_is_demanded_is_written_whatever_came_before(opening: str):
    text = await said("echo", CHAT, Wish(500, opening=opening, grammar=Grammar("", PLACE)))
    assert problem_of(PLACE, orjson.loads(text)) is None


async def test_the_tool_caller_calls_the_first_tool_and_then_tells_the_results():
    assert call_in(await said("tool-caller", CHAT)) == ("clock", {})
    called = ChatTurn("assistant", "", (CALL, CALL))
    results = [ChatTurn("tool", text, answers=CALL) for text in ("noon", "late")]
    assert await said("tool-caller", CHAT._replace(turns=(HI, called, *results))) == "noon\nlate"


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ('Please: weather {"place": {"name": "Oslo"}} now', ("weather", {"place": {"name": "Oslo"}})),
        ('weather{"a": 1}', ("weather", {"a": 1})),
        ('weather {"a": 1', ("clock", {})),
        ('wheather {"a": 1}', ("clock", {})),
    ],
)
async def test_the_tool_caller_makes_the_call_that_is_spelled_out(text: str, called: tuple[str, Any]):
    chat = CHAT._replace(turns=(ChatTurn("user", text),))
    assert call_in(await said("tool-caller", chat)) == called


async def test_the_tool_caller_calls_what_a_search_has_just_found():
    search = ChatCall("toolu_1", "tool_search_tool_regex", "{}")
    turns = (HI, ChatTurn("assistant", "", (search,)), ChatTurn("tool", "weather", answers=search))
    chat = Chat(turns, tools=(CLOCK,), callable=(CLOCK, WEATHER))
    assert call_in(await said("tool-caller", chat))[0] == "weather"


@pytest.mark.parametrize("chat", [CHAT._replace(callable=()), Chat((HI,))])
async def test_the_tool_caller_says_what_it_heard_where_it_may_call_nothing(chat: Chat):
    assert await said("tool-caller", chat) == "hi there"


@pytest.mark.parametrize(("thinks", "begins"), [(True, "<think>"), (False, "hi"), (None, "hi")])
async def test_the_thinker_thinks_where_it_should(thinks: bool | None, begins: str):
    text = await said("thinker", Chat((HI,), thinks=thinks))
    assert text.startswith(begins)
    assert text.endswith("hi there")


async def test_a_reply_that_is_resumed_says_the_rest():
    whole = await said("thinker", Chat((HI,), thinks=True))
    opening, rest = whole[:20], whole[20:]
    assert await said("thinker", Chat((HI,), thinks=True), Wish(500, opening=opening)) == rest
