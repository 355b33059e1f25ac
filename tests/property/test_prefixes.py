"""Whatever is said: each request of a conversation begins with the tokens of the one before."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.core.clock import ManualClock
from antiphon.engines.fake import FakeEngine
from antiphon.turn.reuse import num_common
from tests.fixtures.conversations import (
    CONVERSATIONS,
    Json,
    assistant,
    called,
    chat_in,
    growing,
    result,
    text,
    thought,
    tool,
    user,
)
from tests.property.strategies import inputs, words


async def lost(bodies: list[Json]) -> list[int]:
    """Of each prompt: how many of its tokens the next one does not begin with."""
    engine = FakeEngine(ManualClock())
    prompts = [(await engine.prepare("echo", chat_in(body))).tokens for body in bodies]
    return [len(one) - num_common(one, other) for one, other in itertools.pairwise(prompts)]


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_each_prompt_is_the_beginning_of_the_next(name: str):
    assert set(await lost(CONVERSATIONS[name])) == {0}


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    """Turns of texts, of calls with their results, of thinking and of system messages."""
    turns: list[Json] = []
    content: Any = draw(words)
    for number in range(draw(st.integers(2, 5))):
        turns.append(user(content))
        if draw(st.booleans()):
            turns.append({"role": "system", "content": draw(words)})
        blocks = [thought(draw(words))] if draw(st.booleans()) else []
        blocks.append(text(draw(words)))
        content = draw(words)
        if draw(st.booleans()):
            blocks.append(called(number, **draw(inputs)))
            content = [result(number, draw(words)), text(draw(words))]
        turns.append(assistant(blocks))
    return growing([*turns, user(content)], tools=[tool("weather")], system=draw(words))


@given(conversations())
async def test_so_it_is_for_any_conversation(bodies: list[Json]):
    assert set(await lost(bodies)) == {0}
