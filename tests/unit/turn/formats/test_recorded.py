"""What Qwen2.5-Coder 0.5B and 1.5B wrote, recorded at temperature 0: calls are lifted, and nothing else is.

Whether a reply holds a call is decided here in another way than the recogniser's: all of it is searched for a JSON
object that names an offered tool and holds arguments, or for what begins like one and is no good JSON.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from antiphon.turn.schema.repair import repaired
from bench.tools.prompts import TOOLS
from tests.unit.turn.formats.samples import Call, read

RECORDED = Path(__file__).parents[4] / "bench" / "tools" / "recorded"
MODELS = ("qwen05", "qwen15")
SCHEMAS = {tool["name"]: tool["input_schema"] for tool in TOOLS}
LOOSE = re.compile(rf'"name":\s*"({"|".join(SCHEMAS)})",\s*"(arguments|parameters)":\s*\{{(?!\s*"type":\s*"object")')
"""The beginning of a call; the definition of a tool begins like it, with a schema."""


def rows_of(model: str) -> list[dict[str, Any]]:
    rows = map(json.loads, (RECORDED / f"{model}.jsonl").read_text().splitlines())
    return [row | {"raw": row.get("raw") or row["text"] or ""} for row in rows]


ROWS = [row for model in MODELS for row in rows_of(model)]
FREE = [row for row in ROWS if row["way"] in ("auto", "asked", "bare")]
"""What was written under no grammar; the wheel's own server (`bare`) renders the same prompts."""
DEMANDED = [row for row in ROWS if row["way"] in ("any", "tool")]


def calls_in(row: dict[str, Any]) -> list[Call]:
    """The whole calls that are lifted from a reply."""
    found = read(row["raw"], "hermes", tools=SCHEMAS, repair=repaired)
    return [call for call in found if isinstance(call, Call) and call.is_complete]


def is_valid(call: Call) -> bool:
    return jsonschema.Draft202012Validator(SCHEMAS[call.name]).is_valid(json.loads(call.arguments))


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object, from each brace on; those in others too."""
    decoder = json.JSONDecoder()
    for at, char in enumerate(text):
        if char == "{":
            try:
                yield decoder.raw_decode(text, at)[0]
            except ValueError:
                continue


def holds_a_call(row: dict[str, Any]) -> bool:
    if row["stop"] not in ("max_tokens", "length") and LOOSE.search(row["raw"]):
        return True
    return any(_is_call(found) for found in objects_in(row["raw"]))


def _is_call(found: dict[str, Any]) -> bool:
    arguments = found.get("arguments", found.get("parameters"))
    return found.get("name") in SCHEMAS and isinstance(arguments, dict) and arguments.get("type") != "object"


def test_calls_are_lifted_from_what_the_models_wrote():
    holding = [row for row in FREE if holds_a_call(row)]
    missed = [row for row in holding if not calls_in(row)]
    assert len(holding) >= 290
    assert len(missed) <= 0.01 * len(holding), missed


def test_what_holds_no_call_is_text():
    plain = [row for row in FREE if not holds_a_call(row)]
    wrong = [row for row in plain if calls_in(row)]
    assert len(plain) >= 95
    assert len(wrong) <= 0.01 * len(plain), wrong


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_that_is_asked_for_is_called_nine_times_in_ten(model: str):
    asked = [row for row in rows_of(model) if row["way"] == "asked"]
    valid = [row for row in asked if (calls := calls_in(row)) and all(map(is_valid, calls))]
    bare = [row for row in rows_of(model) if row["way"] == "bare"]
    assert len(asked) >= 65
    assert len(valid) >= 0.9 * len(asked)
    assert not [row for row in bare if row["calls"]], "the wheel's own server finds none of them"


def test_every_demanded_call_is_whole_and_valid_unless_it_was_cut():
    cut = [row for row in DEMANDED if row["stop"] == "max_tokens"]
    assert len(cut) <= 0.02 * len(DEMANDED)
    for row in DEMANDED:
        calls = calls_in(row)
        assert row in cut or calls, row
        assert all(map(is_valid, calls)), row
        assert row["way"] == "any" or {call.name for call in calls} <= {row["needs"]}
