"""What is written for models: tools, calls, results."""

import json

import pytest

from antiphon.turn.formats.outputs import CallEnd, CallStart, Text
from antiphon.turn.formats.recogniser import Recogniser
from antiphon.turn.formats.table import FORMATS, GENERAL, UNTAUGHT, Format
from antiphon.turn.formats.written import DEEPSEEK, HERMES, write_result, write_tools

TOOLS = [
    ("get_weather", "The weather of a city.\nNow.", {"type": "object", "properties": {"city": {"type": "string"}}}),
    ("now", "", {"type": "object", "required": [], "title": "Zeit für {alle}"}),
]


def test_tools_are_written_one_a_line_as_they_were_given():
    lines = write_tools(TOOLS).split("<tools>\n")[1].split("\n</tools>")[0].splitlines()
    assert [json.loads(line) for line in lines] == [
        {"name": name, "description": text, "parameters": schema} for name, text, schema in TOOLS
    ]
    assert lines[1].index('"type"') < lines[1].index('"required"') < lines[1].index('"title"')
    assert "für {alle}" in lines[1]


def test_the_same_tools_give_the_same_bytes():
    assert write_tools(TOOLS) == write_tools(iter(TOOLS))


def test_the_model_is_told_the_shape_that_is_read():
    assert HERMES.call("...", "{...}") in write_tools(TOOLS)


def test_a_prefix_and_its_arguments_make_a_call():
    for shape in (HERMES, DEEPSEEK):
        assert shape.prefix("now") + "{}" + shape.after == shape.call("now", "{}")
        assert shape.prefix("now").startswith(shape.prefix(None))


@pytest.mark.parametrize("form", [*FORMATS, GENERAL, UNTAUGHT], ids=lambda form: form.name)
def test_calls_that_are_demanded_one_after_another_are_each_read(form: Format):
    shape = form.shape
    text = shape.prefix(None) + f"now{shape.between}{{}}{shape.then}get_weather{shape.between}"
    text += f'{{"city": "Rome"}}{shape.then}now{shape.between}{{}}{shape.after}'
    recogniser = Recogniser({name: schema for name, _, schema in TOOLS}, form)
    outs = [*recogniser.feed(text), *recogniser.finish(is_cut=False)]
    assert [out.name for out in outs if isinstance(out, CallStart)] == ["now", "get_weather", "now"]
    assert [out.is_complete for out in outs if isinstance(out, CallEnd)] == [True] * 3
    assert not [out for out in outs if isinstance(out, Text) and out.text.strip()]


def test_an_error_says_that_it_is_one():
    assert write_result("now", "12:30", is_error=False) == '<tool_response name="now">\n12:30\n</tool_response>'
    assert (
        write_result("now", "no clock", is_error=True)
        == '<tool_response name="now">\nError: no clock\n</tool_response>'
    )
