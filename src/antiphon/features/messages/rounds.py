"""One reply out of as many of the engine's outputs as it takes: it is asked again where the reply takes a turn."""

from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

import orjson

from antiphon.engines.catalog import Model
from antiphon.features.messages.servertools import Result, ServerTools
from antiphon.turn.assemble import Assembler, Plan
from antiphon.turn.chat import Chat, ChatCall, ChatTurn
from antiphon.turn.pieces import Prompt, Sampling, Wish
from antiphon.turn.reading import Asked
from antiphon.wire.events import Event

MAX_ROUNDS = 10
"""Calls to tools of the server in one reply; then it pauses, and a client may ask for more."""


_WARM = 0.7


class Task(NamedTuple):
    """What the engine is asked for first."""

    model: Model
    chat: Chat
    prompt: Prompt
    plan: Plan
    wish: Wish


async def play(
    task: Task, assembler: Assembler, tools: ServerTools, meter: Callable[[], None]
) -> AsyncGenerator[list[Event], None]:
    """The events of the reply, from the first to the last; `meter` is called for each burst, before it goes out."""
    yield assembler.start()
    if not task.plan.has_room:
        events = assembler.feed_nothing()
        meter()
        yield events
        return
    num_calls, sampling = 0, task.wish.sampling
    while True:
        bursts = task.model.engine.generate(task.model.id, task.prompt, task.wish)
        try:
            async for pieces in bursts:
                events = assembler.feed(pieces)
                meter()
                if events:
                    yield events
                if assembler.is_done:
                    return
                if assembler.asked:
                    break
        finally:
            await bursts.aclose()
        asked = assembler.asked
        if asked is None:
            assembler.check_done()
            return
        if asked.call is None:
            assembler.go_on()
            task = _goes_on(task, asked, assembler, _warm(sampling) if asked.is_again else sampling)
            continue
        num_calls += 1
        result = await tools.run(asked.call)
        task = await _after_call(task, asked, result, assembler)
        yield assembler.begin_again(result.block, task.prompt, result.found)
        if num_calls == MAX_ROUNDS:
            events = assembler.pause()
            meter()
            yield events
            return


def _left(task: Task, assembler: Assembler) -> int:
    return max(task.plan.max_output - assembler.num_output, 1)


def _goes_on(task: Task, asked: Asked, assembler: Assembler, sampling: Sampling) -> Task:
    wish = task.wish._replace(
        max_tokens=_left(task, assembler),
        sampling=sampling,
        opening=asked.text,
        is_opening_counted=False,
        grammar=asked.grammar,
        forced=None,
    )
    return task._replace(wish=wish)


def _warm(sampling: Sampling) -> Sampling:
    """What was drawn in vain is not drawn again (decision 0031)."""
    return sampling._replace(temperature=max(sampling.temperature, _WARM))


async def _after_call(task: Task, asked: Asked, result: Result, assembler: Assembler) -> Task:
    """The chat goes on as `chat_of` will read it from the reply when it is sent back: the prompt's cache holds."""
    assert asked.call
    call = ChatCall(asked.call.id, asked.call.name, orjson.dumps(asked.call.arguments).decode())
    said = ChatTurn("assistant", task.chat.prefill + asked.text, (call,), thinking=asked.thinking)
    turns = (*task.chat.turns, said, ChatTurn("tool", result.text, answers=call))
    known = {tool.name for tool in task.chat.callable}
    found = tuple(tool for tool in result.found if tool.name not in known)
    chat = task.chat._replace(turns=turns, prefill="", callable=(*task.chat.callable, *found))
    prompt = await task.model.engine.prepare(task.model.id, chat)
    wish = task.wish._replace(
        max_tokens=_left(task, assembler), opening="", is_opening_counted=False, grammar=None, forced=None
    )
    return task._replace(chat=chat, prompt=prompt, wish=wish)
