"""What a recogniser finds in replies, whole, cut to pieces and cut off."""

import json

import pytest

from antiphon.turn.formats.outputs import CallArgs, CallEnd, CallStart, Text, Thinking
from antiphon.turn.formats.recogniser import Recogniser
from antiphon.turn.schema.repair import repaired
from tests.unit.turn.formats.samples import (
    ARGS,
    NAMED,
    NO_CALLS,
    NOW,
    SAMPLES,
    TOOLS,
    WEATHER,
    Call,
    Sample,
    folded,
    outputs,
    read,
)

ids = [f"{sample.form}-{i}" for i, sample in enumerate(SAMPLES)]
each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=ids)
each_plain = pytest.mark.parametrize("text", NO_CALLS)


@each_sample
def test_a_reply_is_understood(sample: Sample):
    assert read(sample.text, sample.form) == list(sample.found)


@each_sample
def test_a_reply_is_understood_character_by_character(sample: Sample):
    assert read(sample.text, sample.form) == read(list(sample.text), sample.form)


@each_sample
def test_a_reply_is_understood_wherever_it_is_split_in_two(sample: Sample):
    for at in range(1, len(sample.text)):
        assert read((sample.text[:at], sample.text[at:]), sample.form) == list(sample.found)


@each_sample
@pytest.mark.parametrize("is_cut", [True, False])
def test_a_reply_that_ends_anywhere_loses_nothing_and_invents_nothing(sample: Sample, *, is_cut: bool):
    whole = [out for out in sample.found if isinstance(out, Call)]
    for at in range(len(sample.text)):
        calls = [out for out in read(sample.text[:at], sample.form, is_cut=is_cut) if isinstance(out, Call)]
        assert [call.name for call in calls] == [call.name for call in whole[: len(calls)]]
        for call, expected in zip(calls, whole, strict=False):
            if call.is_complete:
                assert json.loads(call.arguments).items() <= json.loads(expected.arguments).items() or not is_cut
            else:
                assert expected.arguments.startswith(call.arguments)


@each_sample
def test_arguments_are_streamed_in_whole_pairs(sample: Sample):
    fragments: list[str] = []
    for out in outputs(list(sample.text), sample.form):
        match out:
            case CallArgs():
                fragments.append(out.fragment)
            case CallEnd():
                for num in range(1, len(fragments)):
                    json.loads("".join(fragments[:num]) + "}")
                fragments.clear()
            case _:
                pass


@each_sample
def test_eager_arguments_are_the_same_in_other_pieces(sample: Sample):
    assert read(list(sample.text), sample.form, eager=TOOLS) == list(sample.found)


@each_plain
@pytest.mark.parametrize("form", ["general", "hermes", "mistral", "deepseek", "qwen3-coder", "glm"])
def test_a_reply_without_a_call_is_text_byte_for_byte(text: str, form: str):
    assert read(text, form) == [Text(text)]
    assert read(list(text), form) == [Text(text)]
    assert read(text, form, is_cut=True) == [Text(text)]


@each_sample
def test_without_tools_nothing_is_a_call(sample: Sample):
    assert not any(isinstance(out, Call) for out in read(sample.text, sample.form, tools={}))


def test_fragments_are_as_the_api_sends_them():
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris",\n "where": {"a": [1]}}}</tool_call>'
    assert list(outputs(text)) == [
        CallStart("get_weather"),
        CallArgs('{"city": "Paris"'),
        CallArgs(',\n "where": {"a": [1]}'),
        CallArgs("}"),
        CallEnd(is_complete=True),
    ]


def test_eager_arguments_leave_with_each_feed():
    recogniser = Recogniser(TOOLS, NAMED["hermes"], eager=("write_file",))
    recogniser.feed('<tool_call>{"name": "write_file", "arguments": {"content": "on')
    assert recogniser.feed("e tw") == [CallArgs("e tw")]
    assert recogniser.feed('o\\n"') == [CallArgs('o\\n"')]


def test_valid_json_is_not_reformatted():
    arguments = '{ "where" : {"b":1.50e+3,\t"a":[ ]} ,"city":"\\u00e9\\/\\ud83d\\ude00 é" }'
    text = f'<tool_call>{{"name": "get_weather", "arguments": {arguments}}}</tool_call>'
    assert read(text) == [Call("get_weather", arguments)]


@pytest.mark.parametrize(
    ("end", "arguments", "is_complete"),
    [
        ("", "", False),
        ("{", "", False),
        ('{"city": "Pa', '{"city": "Pa', False),
        ('{"city": "Paris", "da', '{"city": "Paris", "da', False),
        ('{"city": "Paris", "days": 2', '{"city": "Paris", "days": 2', False),
        ('{"city": "Paris", "is_deep": tr', '{"city": "Paris", "is_deep": ', False),
        (ARGS, ARGS, True),
    ],
)
def test_a_call_that_is_cut_off_keeps_what_came(end: str, arguments: str, *, is_complete: bool):
    text = '<tool_call>{"name": "get_weather", "arguments": ' + end
    assert read(text, is_cut=True) == [Call("get_weather", arguments, is_complete)]


@pytest.mark.parametrize(
    ("end", "arguments"),
    [
        ("{", "{}"),
        ('{"city": "Paris"', '{"city": "Paris"}'),
        ('{"city": "Paris"\n', '{"city": "Paris"}'),
        ('{"where": {"a": [1, 2', '{"where": {"a": [1, 2]}}'),
        ('{"days": 2', '{"days": 2}'),
        ('{"city": "Paris"\n</tool_call>', '{"city": "Paris"}'),
        ('{"where": {"a": [1</tool_call> ', '{"where": {"a": [1]}}'),
    ],
)
def test_a_model_that_forgets_to_close_has_called_all_the_same(end: str, arguments: str):
    text = '<tool_call>{"name": "get_weather", "arguments": ' + end
    assert read(text) == [Call("get_weather", arguments)]


@pytest.mark.parametrize("end", ['{"city": "Pa', '{"city":', '{"city": "Paris",', '{"city": tru', '{"city'])
def test_a_model_that_stops_within_a_value_has_not_called_completely(end: str):
    text = '<tool_call>{"name": "get_weather", "arguments": ' + end
    [out] = [out for out in read(text) if isinstance(out, Call)] or [None]
    assert out is None or not out.is_complete


def test_a_call_that_breaks_midway_ends_incomplete_and_its_rest_is_text():
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": oops}}</tool_call>'
    assert read(text) == [
        Call("get_weather", '{"city": "Paris", "days": ', is_complete=False),
        Text("oops}}</tool_call>"),
    ]


def test_a_value_between_tags_that_is_cut_off_keeps_what_came():
    text = '<tool_call>\n<function=write_file>\n<parameter=path>\n/a\n</parameter>\n<parameter=content>\nHello "wor'
    assert read(text, is_cut=True) == [Call("write_file", '{"path": "/a", "content": "Hello \\"wor', False)]


def test_an_unknown_call_in_a_list_is_text_and_the_others_are_calls():
    text = '[{"name": "now", "arguments": {}}, {"name": "nope", "arguments": {}}] Hm.'
    assert read(text) == [NOW, Text(', {"name": "nope", "arguments": {}}] Hm.')]


def test_thinking_that_the_prompt_has_opened_ends_at_its_tag():
    assert read("hm\n</think>\n\nHi", is_thinking=True) == [Thinking("hm"), Text("Hi")]
    assert read("hm", is_thinking=True) == [Thinking("hm")]


def test_each_format_ends_thinking_in_its_own_way():
    text = "hm<|close|>think<|sep|><|open|>response<|sep|>Hi<|close|>response<|sep|>"
    assert read(text, "kimi-k3", is_thinking=True) == [Thinking("hm"), Text("Hi")]
    assert read("hm[/THINK]Hi", "mistral", is_thinking=True) == [Thinking("hm"), Text("Hi")]


def test_thinking_that_never_ends_is_thinking():
    assert read("<think>hm \n", is_cut=True) == [Thinking("hm")]


def test_a_prefilled_beginning_may_be_fed_first():
    shape = NAMED["hermes"].shape
    assert read((shape.prefix("get_weather"), ARGS, shape.after)) == [WEATHER]
    assert read((shape.prefix(None), 'now", "arguments": {}}')) == [NOW]


@pytest.mark.parametrize("row", NAMED.values(), ids=list(NAMED))
def test_each_format_reads_what_it_writes(row):
    text = row.shape.call("get_weather", ARGS)
    assert read(text, row.name) == [WEATHER]
    assert read(text + "\n" + row.shape.call("now", "{}"), row.name) == [WEATHER, NOW]


def test_a_value_is_repaired_by_its_schema():
    seen = []

    def repair(schema, value):
        seen.append((schema, value))
        return int(value) if schema.get("type") == "integer" else value

    text = '<tool_call>{"name": "get_weather", "arguments": {"city": 5.0, "days": "2", "where": {"b" :1}}}</tool_call>'
    assert read(text, repair=repair) == [Call("get_weather", '{"city": 5.0, "days": 2, "where": {"b" :1}}')]
    assert seen == [({"type": "string"}, 5.0), ({"type": "integer"}, "2"), ({"type": "object"}, {"b": 1})]


@pytest.mark.parametrize(
    ("text", "said"), [("</think>\n\nHello", "Hello"), ("Hello\n</think> you", "Hello\n</think> you")]
)
def test_an_end_of_thinking_that_is_over_already_is_not_shown(text: str, said: str):
    """A model that was made to end its thinking may end it once more."""
    for pieces in ([text], list(text)):
        assert read(pieces) == [Text(said)]
    assert read(f"Hm.</think>\n\n{text}", is_thinking=True) == [Thinking("Hm."), Text(said)]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ('{"a": null, "b": "x"}', '{"b": "x"}'),
        ('{"b": "x",\n "a": null, "c": null}', '{"b": "x", "c": null}'),
        ('{\n  "a": null,\n  "d": null\n}', '{"d": null\n}'),
        ('{"a": null, "b": null}', "{}"),
        ('{"e": null}', '{"e": null}'),
    ],
)
def test_a_null_for_a_parameter_that_may_be_absent_and_never_null_is_left_out(written: str, sent: str):
    kinds = {"a": "integer", "b": "string", "c": ["string", "null"], "d": "integer"}
    schema = {"properties": {name: {"type": kind} for name, kind in kinds.items()}, "required": ["d"]}
    text = f'{{"name": "f", "arguments": {written}}}'
    for pieces in ([text], list(text)):
        assert read(pieces, tools={"f": schema}, repair=repaired) == [Call("f", sent)]
        assert json.loads(sent) == {name: value for name, value in json.loads(written).items() if name in sent}


def test_what_definitions_a_parameter_refers_to_is_told_to_the_repair():
    tools = {"f": {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "integer"}}}}
    seen = []
    list(outputs('{"name": "f", "arguments": {"a": 1}}', tools=tools, repair=lambda schema, value: seen.append(schema)))
    assert seen == [{"$ref": "#/$defs/A", "$defs": {"A": {"type": "integer"}}}]


def test_endless_digits_are_not_repaired():
    digits = "1" * 5000
    text = f'{{"name": "get_weather", "arguments": {{"days": {digits}}}}}'
    assert read(text, repair=lambda _, value: value) == [Call("get_weather", f'{{"days": {digits}}}')]


def test_very_deep_arguments_are_not_followed():
    text = '{"name": "get_weather", "arguments": {"where": ' + "[" * 5000
    assert folded(outputs(text))[0] == Call("get_weather", '{"where": ' + "[" * 100, is_complete=False)


@pytest.mark.parametrize("word", ['{"function": ', "[", '{"tool_calls": [', "<tool_call>", "```json\n", "<think>"])
def test_nothing_is_nested_so_deep_that_it_breaks(word: str):
    text = word * 3000
    shown = "".join(out[0] for out in read(text))
    assert shown == text or word == "<think>"


def test_half_a_surrogate_pair_is_no_character():
    text = r'{"name": "get_weather", "arguments": {"city": "\ud83d \udc00"}}'
    assert read(text) == [Call("get_weather", r'{"city": "\ufffd \ufffd"}')]


def test_text_between_calls_is_kept_and_blanks_are_not():
    call = NAMED["hermes"].shape.call("get_weather", ARGS)
    text = f"One. \n{call}\n\n{call} Two.\n{call}\n"
    assert read(text) == [Text("One."), WEATHER, WEATHER, Text(" Two."), WEATHER]
