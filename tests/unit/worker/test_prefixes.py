"""Which requests of a batch wait for the first of their kind."""

from __future__ import annotations

from typing import Any

from antiphon.wire.batch import NUM_LEVEL_CHARS, levels_of
from antiphon.worker.prefixes import Prefixes


def place(system: str, question: str, number: int = 0) -> str:
    params: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": question}], "system": system}
    return f"{levels_of(params)}{number:06}"


LONG, OTHER = "word " * 1000, "term " * 1000


def test_the_first_of_those_that_begin_alike_runs_alone():
    prefixes = Prefixes()
    first, second, other = place(LONG, "a"), place(LONG, "b", 1), place(OTHER, "a", 2)
    assert prefixes.ahead_of(first, []) is None
    assert prefixes.ahead_of(second, [first]) == first
    assert prefixes.ahead_of(other, [first]) is None
    prefixes.note_computed(first)
    assert prefixes.ahead_of(second, [place(LONG, "c", 3)]) is None


def test_short_prompts_wait_for_nobody():
    prefixes = Prefixes()
    assert prefixes.ahead_of(place("word " * 100, "a"), [place("word " * 100, "b")]) is None


def test_what_is_known_may_be_shorter_than_what_is_being_computed():
    prefixes = Prefixes()
    prefixes.note_computed(place(LONG, "a"))
    longer = LONG + "more " * 4000
    assert prefixes.ahead_of(place(longer, "b"), [place(longer, "c")]) == place(longer, "c")


def test_prompts_are_compared_in_the_order_in_which_a_model_reads_them():
    a = {"messages": [{"role": "user", "content": "a"}], "system": LONG, "max_tokens": 5}
    b = {"max_tokens": 9, "system": LONG, "messages": [{"role": "user", "content": "b"}]}
    assert levels_of(a)[:-6] == levels_of(b)[:-6]
    assert len(levels_of({})) == NUM_LEVEL_CHARS


def test_what_cannot_be_written_is_nothing_that_is_shared():
    assert set(levels_of({"model": 10**30, "system": LONG})) == {"0"}
