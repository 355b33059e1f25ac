"""The text of grammars, and sets of characters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.turn.schema import gbnf
from antiphon.turn.schema.gbnf import Alt, Chars, Json, Node, Repeat, Rule, Seq, Text
from tests.unit.turn.schema.language import holds_tree

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=5)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Text('say "hi"\\\n'), r'"say \"hi\"\\\x0A"'),
        (Text("é🦊\x00"), r'"\xE9\U0001F98A\x00"'),
        (Text("\ud83d"), r'"\uFFFD"'),
        (Chars(((45, 45), (93, 93), (97, 122), (0x10000, 0x10FFFF))), r"[\x2D\x5Da-z\U00010000-\U0010FFFF]"),
        (Alt((Text("a"), Seq((Text("b"), Rule("c"))))), '"a" | "b" c'),
        (Seq((Text("a"), Alt((Text("b"), Text("c"))))), '"a" ("b" | "c")'),
        (Repeat(Rule("a"), 0, None), "a*"),
        (Repeat(Rule("a"), 1, None), "a+"),
        (Repeat(Rule("a"), 0, 1), "a?"),
        (Repeat(Rule("a"), 3, 3), "a{3}"),
        (Repeat(Rule("a"), 2, None), "a{2,}"),
        (Repeat(Rule("a"), 0, 5), "a{0,5}"),
        (Repeat(Seq((Text("a"), Text("b"))), 0, 2), '("a" "b"){0,2}'),
        (Seq(()), '""'),
    ],
)
def test_a_node_has_its_text(node: Node, text: str):
    assert gbnf.render({"root": node}) == f"root ::= {text}\n"


def test_what_is_repeated_is_a_rule_of_its_own_if_it_has_parts():
    node = Repeat(Seq((Text(","), Repeat(Rule("a"), 0, 9))), 0, 9)
    assert gbnf.render({"root": node}) == 'root-x1 ::= "," a{0,9}\nroot ::= root-x1{0,9}\n'


def test_a_schema_without_a_rule_is_no_text():
    with pytest.raises(TypeError):
        gbnf.render({"root": Json({})})


@settings(deadline=None)
@given(ranges, ranges, st.integers(0, 70))
def test_sets_of_characters_are_sets(one: list[tuple[int, int]], other: list[tuple[int, int]], code: int):
    def has(found: gbnf.Ranges, number: int = code) -> bool:
        return any(low <= number <= high for low, high in found)

    first, second = gbnf.union(one), gbnf.union(other)
    assert has(gbnf.overlap(first, second)) == (has(first) and has(second))
    assert has(gbnf.minus(first, second)) == (has(first) and not has(second))
    assert has(gbnf.complement(first)) == (not has(first))
    assert not has(gbnf.complement(first), 0xD800)


@settings(deadline=None)
@given(st.lists(st.text("abc", max_size=5), min_size=1, max_size=12), st.text("abc", max_size=5))
def test_words_are_themselves_and_nothing_else(texts: list[str], other: str):
    node = gbnf.words(texts)
    assert all(holds_tree(node, text) for text in texts)
    assert holds_tree(node, other) == (other in texts)
