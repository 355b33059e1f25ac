"""From schemas to grammars: what they hold, and that nothing makes them fail."""

import json
import re
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.turn.schema import gbnf, grammar, strings
from antiphon.turn.schema.check import problem_of
from antiphon.turn.schema.gbnf import Json, Rule, Text
from antiphon.turn.schema.grammar import grammar_of, rules_of
from antiphon.turn.schema.recursion import endless, left_recursive
from tests.corpus.schemas.corpus import Case, cases
from tests.unit.turn.schema.language import draw, holds

CASES = cases()
HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: no text of UTF-8 has one
KEYWORDS = (
    "type properties required additionalProperties items prefixItems enum const anyOf oneOf allOf not $ref $defs "
    "minItems maxItems minLength maxLength pattern format minimum maximum exclusiveMinimum multipleOf minProperties "
    "maxProperties patternProperties propertyNames if then nullable uniqueItems $id $schema $anchor additionalItems"
).split()
WORDS = [
    "string",
    "object",
    "array",
    "integer",
    "number",
    "null",
    "boolean",
    "#",
    "#/$defs/a",
    "a",
    "b",
    "^a+$",
    "date",
]

schemas = st.recursive(
    st.sampled_from([True, False, None, 0, 1, -3, 2.5, 10**30, "", *WORDS, {}, [], {"type": "string"}, {"$ref": "#"}]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a", "b"]), inner, max_size=5)
    ),
    max_leaves=25,
)


NAMES = st.sampled_from(["a", "b", "ab", "c", "", "é"])
COUNTS = st.integers(0, 4)


def with_keywords(kind: str | None, **keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind)} if kind else {}, optional=keywords)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed = st.lists(inner, min_size=1, max_size=3)
    objects = with_keywords(
        "object",
        properties=st.dictionaries(NAMES, inner, max_size=4),
        required=st.lists(NAMES, max_size=3),
        additionalProperties=st.booleans() | inner,
        patternProperties=st.dictionaries(st.sampled_from(["^a", "b$", "^.$"]), inner, min_size=1, max_size=2),
        propertyNames=st.fixed_dictionaries({"pattern": st.sampled_from(["^[a-c]+$", "^.{1,2}$"])}),
        minProperties=COUNTS,
        maxProperties=COUNTS,
    )
    arrays = with_keywords(
        "array", items=inner, prefixItems=listed, minItems=COUNTS, maxItems=COUNTS, uniqueItems=st.booleans()
    )
    return objects | arrays | with_keywords(None, anyOf=listed, allOf=listed, oneOf=listed, items=inner)


leaves = (
    st.booleans()
    | with_keywords(
        "string", minLength=COUNTS, maxLength=COUNTS, pattern=st.sampled_from(["^[a-c]+$", "b", "^(ab?){2}"])
    )
    | with_keywords("integer", minimum=st.integers(-20, 20), maximum=st.integers(-20, 200), exclusiveMinimum=COUNTS)
    | with_keywords("number", minimum=st.integers(-2, 5), maximum=st.integers(0, 9), exclusiveMaximum=COUNTS)
    | with_keywords(
        None, enum=st.lists(st.sampled_from(["a", 1, None, True, 1.5, {"a": 1}, []]), min_size=1, max_size=3)
    )
    | st.sampled_from(
        [{"$ref": "#"}, {"$ref": "#/$defs/d"}, {"type": ["string", "null"]}, {"const": "a"}, {"minimum": 2}]
    )
)
sensible = st.tuples(st.recursive(leaves, nested, max_leaves=12), leaves).map(
    lambda pair: {**pair[0], "$defs": {"d": pair[1]}} if isinstance(pair[0], dict) else pair[0]
)


def allows(schema: Any, value: Any) -> bool:
    """Whether the grammar lets a value through, written without blanks."""
    return has(schema, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def has(schema: Any, text: str) -> bool:
    return holds(rules_of(Json(schema))[0], text)


def check(schema: Any, num_draws: int) -> None:
    """A grammar is well formed, small, and what is drawn from it is JSON; valid JSON if it is exact."""
    rules, is_exact = rules_of(Json(schema))
    text = gbnf.render(rules)
    assert len(text) < 200_000
    assert sum(map(gbnf.size, rules.values())) < 1.3 * grammar.MAX_SIZE
    assert left_recursive(rules) is None
    assert not endless(rules)
    names = {line.split(" ::= ")[0] for line in text.splitlines()}
    for line in text.splitlines():
        body = re.sub(r'"(\\.|[^"\\])*"|\[(\\.|[^\]\\])*\]|\{[\d,]*\}', " ", line.split(" ::= ")[1])
        assert set(re.findall(r"[a-zA-Z0-9-]+", body)) <= names, line
    for seed in range(num_draws):
        written = draw(rules, Random(seed))
        value = json.loads(written)
        assert not HALF.search(json.dumps(value, ensure_ascii=False)) or HALF.search(
            json.dumps(schema, ensure_ascii=False)
        )
        assert not is_exact or problem_of(schema, value) is None, written


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_real_schema_has_a_grammar_whose_texts_are_valid_json(case: Case):
    check(case.schema, 6)


def test_most_real_schemas_are_kept_exactly():
    real = [case for case in CASES if not case.name.startswith("nasty/")]
    assert len(real) >= 200
    assert sum(rules_of(Json(case.schema))[1] for case in real) > 0.85 * len(real)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(schemas)
def test_any_json_is_a_schema_that_has_a_grammar(schema: Any):
    check(schema, 3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(sensible)
def test_what_an_exact_grammar_writes_is_valid(schema: Any):
    check(schema, 8)


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "boolean"}}}


@pytest.mark.parametrize(
    ("required", "good", "bad"),
    [
        (
            [],
            ["{}", '{"a":1}', '{"b":"x"}', '{"a":1,"c":true}', '{"a": 1, "b": ""}'],
            ['{"b":"x","a":1}', '{"d":1}', "{,}"],
        ),
        (
            ["b"],
            ['{"b":""}', '{"a":1,"b":""}', '{"b":"","c":true}'],
            ["{}", '{"a":1}', '{"a":1,"c":true}', '{"b":"",}'],
        ),
        (["a", "b", "c"], ['{"a":1,"b":"","c":false}'], ['{"a":1,"b":""}', '{"a":1  ,"b":"","c":false}']),
        (["b", "z"], ['{"b":"","z":[1]}'], ['{"b":""}', '{"z":1}']),
    ],
)
def test_properties_come_in_order_and_required_ones_always(required: list[str], good: list[str], bad: list[str]):
    schema = {**OBJECT, "required": required}
    assert [text for text in good + bad if has(schema, text)] == good


def test_other_keys_come_only_where_the_schema_says_so():
    assert not allows(OBJECT, {"d": 1})
    assert allows({"type": "object"}, {"d": 1})
    assert not allows({"type": "object", "properties": {}}, {"d": 1})
    opened = {**OBJECT, "additionalProperties": {"type": "number"}}
    assert allows(opened, {"a": 1, "ab": 2})
    assert allows(opened, {"x": 2})
    assert not allows(opened, {"x": "2"})
    assert not has(opened, '{"a":1,"b":5}'), "an extra key is none of the named ones"
    assert has(opened, '{"a":1,' + ",".join(f'"k{k}":1' for k in range(16)) + "}")
    assert not has(opened, '{"a":1,' + ",".join(f'"k{k}":1' for k in range(17)) + "}")


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"enum": ["a", 1, None, {"x": [True]}]}, ["a", 1, None, {"x": [True]}], ["b", 2, True, {}]),
        ({"const": 'line\n"q" 🦊'}, ['line\n"q" 🦊'], ["line"]),
        ({"type": "string", "enum": ["a", 1]}, ["a"], [1]),
        ({"type": ["string", "null"]}, ["x", None], [1, {}]),
        ({"type": "string", "nullable": True}, ["x", None], [1]),
        ({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "null"}}]}, [5, [], [None]], ["5", [1]]),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, [1, 2], [3]),
        ({"anyOf": [False, {"type": "integer"}]}, [1], ["x"]),
        ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}, [3, 5], [2, 6]),
        ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, ["b"], ["a", "c"]),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"properties": {"b": {"const": 1}}},
                ]
            },
            [{"a": 1}, {"a": 1, "b": 1}],
            [{}, {"b": 1}, {"a": "x"}],
        ),
        (
            {**OBJECT, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            [{"a": 1}, {"b": ""}, {"a": 1, "b": ""}],
            [{}, {"c": True}],
        ),
        (
            {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
            [[1], [1, 2, 3]],
            [[], [1, 2, 3, 4]],
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            [[1, "x"]],
            [[], [1], [1, "x", 2]],
        ),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}}, [[1], [1, 2, 2]], [[2], [1, 1]]),
        ({"items": [{"const": 1}, {"const": 2}], "minItems": 3}, [[1, 2, "any"]], [[1, 2]]),
        ({"type": "array", "maxItems": 0}, [[]], [[1]]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "a\n🦊"], ["a", "abcd"]),
        ({"type": "string", "pattern": '^[a-c"\\\\]+$'}, ['ab"\\'], ["d", ""]),
        ({"type": "string", "pattern": "b+"}, ["b", "abbc"], ["ac"]),
        ({"type": "string", "pattern": "^a", "minLength": 3}, ["a", "abc"], ["b"]),
        ({"type": "string", "format": "date"}, ["2026-05-04"], ["2026-13-01", "x"]),
        ({"type": "string", "format": "email"}, ["a.b@example.org"], ["a", "@b.c"]),
        ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
        ({"type": "string", "format": "ipv6"}, ["::1", "fe80::1", "1:2:3:4:5:6:7:8"], ["1.2.3.4"]),
        ({"type": "string", "format": "duration"}, ["P1DT2H", "PT5M", "P1Y"], ["P", "PT"]),
        ({"type": "string", "format": "uri"}, ["https://a.org/x?y=1#z", "mailto:a@b.c"], ["//x", "a b:c"]),
        ({"type": "string", "format": "never-heard"}, ["x"], [1]),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
            [{"a": 1}],
            [{}, {"a": "b"}],
        ),
        ({"type": "object", "propertyNames": {"enum": ["a", "b"]}}, [{"a": 1, "b": []}], [{"c": 1}]),
        ({"type": "object", "patternProperties": {"^x-": {"const": 1}}}, [{"x-1": 1}, {}], [{"y": 1}, {"x-1": 2}]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, [1], ["1"]),
        ({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "maximum": 3, "minimum": 1}, [1, 3], [0, 4]),
        (
            {"type": "object", "properties": {"v": {"const": 1}, "kids": {"type": "array", "items": {"$ref": "#"}}}},
            [{"v": 1, "kids": [{"kids": [{"v": 1}]}, {}]}],
            [{"kids": [{"x": 1}]}],
        ),
        (True, [1, "x", None, {"a": [[[]]]}], []),
        (
            {"type": "object", "properties": {"größe": {"const": 1}, "\n": {"const": 2}}},
            [{"größe": 1, "\n": 2}],
            [{"x": 1}],
        ),
    ],
)
def test_a_keyword_holds_in_the_grammar(schema: Any, good: list[Any], bad: list[Any]):
    assert [value for value in good if not allows(schema, value)] == []
    assert [value for value in bad if allows(schema, value)] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(?=x)"},
        {"type": "string", "maxLength": 10**6},
        {"type": "array", "items": True, "uniqueItems": True},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"not": {"type": "string"}},
        {"if": {}, "then": {}},
        {"type": "object", "additionalProperties": True, "minProperties": 2},
        {"type": "number", "multipleOf": 0.5},
        {"$ref": "https://example.com/x.json"},
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"items": [{"$ref": "#"}]},
        {"enum": [f"w{k}" for k in range(1001)]},
        False,
        None,
        ["string"],
    ],
)
def test_what_a_grammar_cannot_say_is_said_to_be_left_out(schema: Any):
    assert not grammar_of(Json(schema)).is_exact


def test_a_value_of_any_kind_is_not_endlessly_deep():
    assert allows({}, [[[[[[1]]]]]])
    assert not allows({}, [[[[[[[1]]]]]]])


def test_a_schema_that_is_too_large_loses_detail_and_not_its_shape():
    many = {f"p{k}": {"type": "string", "maxLength": 500 - k} for k in range(200)}
    schema = {"type": "object", "properties": many, "required": ["p0"]}
    rules, is_exact = rules_of(Json(schema))
    assert not is_exact
    assert holds(rules, '{"p0":"' + "x" * 600 + '","p7":""}')
    assert not holds(rules, "{}")


def test_what_is_too_large_at_any_detail_is_an_object():
    schema: Any = {"type": "object", "properties": {f"p{k}" * 20: {"const": "x" * 100} for k in range(2000)}}
    rules, is_exact = rules_of(Json(schema))
    assert not is_exact
    assert holds(rules, '{"x":1}')
    assert not holds(rules, "[]")


def test_of_several_schemas_the_largest_gives_way():
    large = {"type": "object", "properties": {f"p{k}": {"type": "string", "maxLength": 512 - k} for k in range(12)}}
    small = {"type": "string", "maxLength": 5}
    form = gbnf.alt(*(gbnf.seq(Text(f"{k}:"), Json(large)) for k in range(8)), gbnf.seq(Text("s:"), Json(small)))
    rules, is_exact = rules_of(form)
    assert not is_exact
    assert holds(rules, 's:"12345"')
    assert not holds(rules, 's:"123456"')


def test_schemas_that_never_end_are_cut():
    deep: Any = {"type": "string"}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    assert not grammar_of(Json(deep)).is_exact
    doubling: Any = {
        "$defs": {f"d{k}": {"allOf": [{"$ref": f"#/$defs/d{k + 1}"}, {"$ref": f"#/$defs/d{k + 1}"}]} for k in range(60)}
    }
    assert grammar_of(Json({**doubling, "$ref": "#/$defs/d0"})).text


def calls(at_most: int) -> gbnf.Node:
    def call(name: str, schema: Any) -> gbnf.Node:
        return gbnf.seq(Text(f'<tool_call>\n{{"name": "{name}", "arguments": '), Json(schema), Text("}\n</tool_call>"))

    return gbnf.many(gbnf.alt(call("read", OBJECT), call("stop", {"type": "object", "properties": {}})), at_most, "\n")


def test_tools_are_alternatives_between_literal_texts():
    one = '<tool_call>\n{"name": "read", "arguments": {"a": 1}}\n</tool_call>'
    other = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'
    single, several = rules_of(calls(1))[0], rules_of(calls(2))[0]
    assert holds(single, one)
    assert holds(single, other)
    assert not holds(single, f"{one}\n{other}")
    assert holds(several, f"{one}\n{other}")
    assert not holds(several, f"{one}\n{other}\n{other}")
    assert not holds(several, one.replace("read", "write"))
    assert grammar_of(calls(2)).is_exact


def test_a_form_without_a_schema_is_a_grammar_too():
    assert grammar_of(Text("yes")).text == 'root ::= "yes"\n'
    assert isinstance(rules_of(Json(True))[0]["root"], Rule)


@pytest.mark.parametrize("name", sorted(strings.FORMATS))
def test_every_format_that_is_known_is_written(name: str):
    assert not allows({"type": "string", "format": name}, "?")
    check({"type": "string", "format": name}, 5)
