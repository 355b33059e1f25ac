"""The scripted engine's own memory."""

from antiphon.core.clock import ManualClock
from antiphon.engines.fake import NUM_SLOTS, WINDOW, FakeEngine
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Wish


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
