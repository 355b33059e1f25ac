"""Any text at all, in any pieces, read as a model's reply."""

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.turn.formats.outputs import CallArgs, Text, Thinking
from antiphon.turn.formats.tags import CALLS
from tests.unit.turn.formats.samples import NAMED, SAMPLES, TOOLS, Call, folded, outputs, read

ALPHABET = [
    *(tag.opener for tag in CALLS),
    *(tag.closer for tag in CALLS if tag.closer),
    *TOOLS,
    *"{}[]()<>\"'`\\:,=\n +1é",
    *'nope name arguments "name" "now" "arguments" {"name":" ","arguments":{ {"city":"x"} true None \\u d83d'.split(),
    *'<parameter= </parameter> <parameter\\ name=" "> <arg_key> </arg_key> <arg_value> </arg_value> [ARGS]'.split(),
    *'<think> </think> <|message|> analysis to=functions.now <|"|> "tool_calls":[ "type":"function" text more'.split(),
]
SILENT = {"harmony", "kimi-k3", "command-r7b"}
"""Formats with words of their own that are never shown."""

thorough = settings(max_examples=400, deadline=None)
forms = st.sampled_from(sorted(NAMED))
soups = st.lists(st.sampled_from(ALPHABET) | st.text(max_size=3), max_size=25).map("".join)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, str]:
    """A reply with some of it left out, doubled or replaced, and its format."""
    sample = draw(st.sampled_from(SAMPLES))
    text = sample.text
    for _ in range(draw(st.integers(0, 3))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        middle = draw(st.sampled_from(["", text[start:end] * 2, draw(soups)]))
        text = text[:start] + middle + text[end:]
    return text, sample.form


def cuts_of(text: str) -> st.SearchStrategy[list[str]]:
    places = st.lists(st.integers(0, len(text)), max_size=12).map(lambda places: [0, *sorted(places), len(text)])
    return places.map(lambda places: [text[a:b] for a, b in itertools.pairwise(places)])


replies = damaged() | st.tuples(soups, forms)


@thorough
@given(st.data(), replies, st.booleans(), st.booleans())
def test_any_split_gives_the_same(data: st.DataObject, reply: tuple[str, str], is_cut: bool, is_thinking: bool):
    check_split(data, reply, is_cut, is_thinking)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.timeout(900)
@given(st.data(), replies, st.booleans(), st.booleans())
def test_a_long_run_of_replies_breaks_nothing(
    data: st.DataObject, reply: tuple[str, str], is_cut: bool, is_thinking: bool
):
    check_split(data, reply, is_cut, is_thinking)


def check_split(data: st.DataObject, reply: tuple[str, str], is_cut: bool, is_thinking: bool) -> None:
    text, form = reply
    parts = data.draw(cuts_of(text))
    whole = list(outputs(text, form, is_cut=is_cut, is_thinking=is_thinking))
    split = list(outputs(parts, form, is_cut=is_cut, is_thinking=is_thinking))
    assert folded(split) == folded(whole)
    assert fragments(split) == fragments(whole)
    assert folded(outputs(parts, form, is_cut=is_cut, is_thinking=is_thinking, eager=TOOLS)) == folded(whole)


def fragments(outs: list) -> list[CallArgs]:
    return [out for out in outs if isinstance(out, CallArgs)]


@thorough
@given(replies, st.booleans())
def test_complete_arguments_are_an_object(reply: tuple[str, str], is_cut: bool):
    text, form = reply
    for out in read(text, form, is_cut=is_cut):
        if isinstance(out, Call) and out.is_complete:
            assert isinstance(json.loads(out.arguments), dict)


@thorough
@given(replies, st.booleans())
def test_a_reply_without_a_call_is_itself(reply: tuple[str, str], is_cut: bool):
    text, form = reply
    found = read(text, form, is_cut=is_cut)
    if (
        form not in SILENT
        and not any(isinstance(out, Call | Thinking) for out in found)
        and "think" not in text.lower()
    ):
        assert "".join(out.text for out in found if isinstance(out, Text)) == text


@thorough
@given(st.text(max_size=200), forms)
def test_any_text_that_opens_nothing_passes(text: str, form: str):
    if not any(char in text for char in "<[{`"):
        assert "".join(out[0] for out in read(text, form) if isinstance(out, Text)) == text


@thorough
@given(replies)
def test_without_tools_nothing_is_a_call_and_only_thinking_is_no_text(reply: tuple[str, str]):
    text, form = reply
    found = read(text, form, tools={})
    assert all(isinstance(out, Text | Thinking) for out in found)
    if form not in SILENT and not any(isinstance(out, Thinking) for out in found) and "think" not in text.lower():
        assert "".join(out[0] for out in found if isinstance(out, Text)) == text
