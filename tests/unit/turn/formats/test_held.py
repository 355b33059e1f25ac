"""How much of a reply is kept back: no more than may yet become a call."""

import pytest

from antiphon.turn.formats.outputs import Text
from antiphon.turn.formats.recogniser import Recogniser
from tests.unit.turn.formats.samples import NAMED, NO_CALLS, SAMPLES, TOOLS, Sample

LONGEST_OPENER = 50


def shown(text: str, form: str = "general", tools: dict = TOOLS) -> str:
    recogniser = Recogniser(tools, NAMED[form])
    outs = [out for char in text for out in recogniser.feed(char)]
    assert all(isinstance(out, Text) for out in outs)
    return "".join(out.text for out in outs if isinstance(out, Text))


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "a {",
        "a [1] {b} `c` ```d",
        "a <b",
        "<tooling",
        "1 < 2",
        "{x |",
        '{"x": 1',
        '{"name": "Ann"',
        '{"type": "person"',
        '{"id": 5, "age": 1',
        '{"name": "now", "age": 1',
        '{"name": "now", "arguments": 5,',
        '{"arguments": 5',
        '{"input": "',
        "[1",
        '["a"',
        '[{"x": 1',
        '```json\n{"x": 1',
        "```python",
        "```json\nx",
        "<tool_call>\n- a",
        "<tool_call>now is",
        '<tool_call>{"name": "nope"',
        "<function=nope>",
        "[TOOL_CALLS] is a",
        '{"a": {"name": "now", "arguments": {',
        '{"a":\n{"name": "now", "arguments": {',
        '{"name": "now", "parameters": {"type": 1',
        "x\n  - y",
    ],
)
def test_what_cannot_become_a_call_is_shown_at_once(text: str):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("start", "held"),
    [
        ("Hello", " "),
        ("Hello", "\n\n"),
        ("Hello", " <tool_c"),
        ("Hello", "<"),
        ("Hello", "\n{"),
        ("Hello", '\n{"name": "no'),
        ("Hello", '\n[ {"name": "now", "arg'),
        ("Hello", "\n```js"),
        ("Hello", '\n```json\n{"na'),
        ("", '{"arguments": {"a": 1}'),
        ("", "<think"),
    ],
)
def test_what_may_become_a_call_is_held(start: str, held: str):
    assert shown(start + held) == start


@pytest.mark.parametrize("text", ["Hello ", "a\n{", "x\n\n", 'a\n{"name": "now", "arguments": {', "a <think>", "a <"])
def test_without_tools_nothing_is_held_once_text_has_begun(text: str):
    assert shown(text, tools={}) == text


@pytest.mark.parametrize("text", NO_CALLS)
def test_what_is_held_begins_like_a_call(text: str):
    for at in range(1, len(text) + 1):
        held = text[len(shown(text[:at])) : at].lstrip()
        assert not held or held[0] in "<[{`f"


def test_blanks_before_text_that_is_no_call_leave_with_it():
    recogniser = Recogniser(TOOLS, NAMED["general"])
    assert recogniser.feed("a\n") == [Text("a")]
    assert recogniser.feed("b") == [Text("\nb")]
    assert recogniser.finish(is_cut=False) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{sample.form}-{i}" for i, sample in enumerate(SAMPLES)])
def test_hardly_anything_is_ever_read_twice(sample: Sample):
    recogniser = Recogniser(TOOLS, NAMED[sample.form])
    reader = recogniser._scan.reader
    for char in sample.text:
        recogniser.feed(char)
        assert len(reader.text) - reader.place < LONGEST_OPENER


LONG = 30_000
LONG_REPLIES = {
    "prose": "The quick brown fox.\n" * (LONG // 21),
    "code": "if (a < b) { x[i] = {1}; }\n    [a] <b>\n" * (LONG // 40),
    "JSON": '{"a": [\n' + '{"name": "x", "b": [1, 2]},\n' * (LONG // 28) + "]}",
    "a long argument": '{"name": "now", "arguments": {"a": "' + "lorem \\n" * (LONG // 8) + '"}}',
    "arguments first": '<tool_call>{"arguments": {"a": "' + "lorem " * (LONG // 6) + '"}, "name": "now"}',
    "a long value between tags": "<function=now><parameter=a>" + "lorem < " * (LONG // 8) + "</parameter></function>",
    "digits": '<tool_call>{"name": "now", "arguments": {"a": ' + "1" * LONG,
    "blanks": "a" + " \n" * (LONG // 2),
    "brackets": "{\n" * (LONG // 2),
    "openers": "<tool_call>" * (LONG // 11),
    "calls that never end": '{"arguments": {"a": 1}\n' * (LONG // 23),
    "thinking": "<think>" + "hm < </thin " * (LONG // 12),
}


@pytest.mark.parametrize("text", LONG_REPLIES.values(), ids=list(LONG_REPLIES))
@pytest.mark.parametrize("step", [5, LONG])
def test_a_long_reply_takes_no_longer_a_piece_than_a_short_one(text: str, step: int):
    recogniser = Recogniser(TOOLS, NAMED["general"])
    reader, num_copied = recogniser._scan.reader, 0
    for at in range(0, len(text), step):
        num_copied += len(reader.text) - reader.place
        recogniser.feed(text[at : at + step])
    recogniser.finish(is_cut=False)
    assert num_copied < LONGEST_OPENER * len(text) / 5
