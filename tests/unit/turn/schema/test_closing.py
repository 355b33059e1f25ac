"""JSON text that ends too early."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.turn.schema.closing import closed
from tests.unit.turn.schema.test_check import values


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ('{"a": 1', '{"a": 1}'),
        ('{"a": [1, {"b": "x', '{"a": [1, {"b": "x"}]}'),
        ('{"a": 1, ', '{"a": 1}'),
        ('{"a": "x\\\\', '{"a": "x\\\\"}'),
        ('{"a": "} ]', '{"a": "} ]"}'),
        ('{"a": "x, ', '{"a": "x, "}'),
        ("[", "[]"),
        ('{"a": true', '{"a": true}'),
        ('{"a": 1}\n', '{"a": 1}'),
        ("5", "5"),
    ],
)
def test_missing_closers_are_put_in(text: str, whole: str):
    assert closed(text) == whole


@pytest.mark.parametrize(
    "text",
    [
        '{"a":',
        '{"a',
        '{"a": tru',
        '{"a": 1}}',
        '{"a": [1}',
        '{"a": "\\',
        '{"a": "\\u12',
        "",
        '{"a": -',
        "{,",
        "[1,,",
        "x",
        "NaN",
    ],
)
def test_a_value_is_never_invented(text: str):
    assert closed(text) is None


@settings(deadline=None)
@given(values, st.data())
def test_a_cut_text_is_a_part_of_the_value_or_nothing(value: Any, data: st.DataObject):
    text = json.dumps(value)
    assert closed(text) == text
    found = closed(text[: data.draw(st.integers(0, len(text)))])
    if found is not None:
        json.loads(found)


@settings(deadline=None)
@given(st.text('{}[]",:\\ua1 ', max_size=20))
def test_any_text_is_closed_to_json_or_not_at_all(text: str):
    found = closed(text)
    assert found is None or json.loads(found) is not NotImplemented


def test_a_very_deep_text_is_given_up():
    assert closed("[" * 100_000) is None
