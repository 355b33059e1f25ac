"""What is written for models: tools, calls, results."""

import json

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


def test_an_error_says_that_it_is_one():
    assert write_result("now", "12:30", is_error=False) == '<tool_response name="now">\n12:30\n</tool_response>'
    assert (
        write_result("now", "no clock", is_error=True)
        == '<tool_response name="now">\nError: no clock\n</tool_response>'
    )
