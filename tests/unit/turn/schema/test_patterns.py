"""Patterns as trees and as automata agree with Python's matcher where that one says the same as ECMAScript's."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.turn.schema import matching, patterns
from tests.unit.turn.schema.language import holds_tree

TABLE = [
    (r"^\d{3}-\d{4}$", ["555-1234"], ["5555-123", "555-12345", "٣٣٣-٣٣٣٣"]),
    ("needle", ["a needle here", "needle"], ["nedle", ""]),
    ("^a|b$", ["apple", "grab"], ["xax", "bx"]),
    ("^(a|b)*$", ["", "abba"], ["abc"]),
    ("(^a$|^b$)", ["a", "b"], ["ab", ""]),
    ("^(?:x(?<name>y)z)?$", ["", "xyz"], ["xy"]),
    (r"^[^\d\s-]+$", ["abc"], ["a-b", "a b", "a1"]),
    (r"^[\w.+-]+@[a-z]+\.com$", ["a.b+c@x.com"], ["@x.com"]),
    (r"^\x41B\u{43}$", ["ABC"], ["AB"]),
    ("^a{2,3}?$", ["aa", "aaa"], ["a", "aaaa"]),
    ("^a{,3}$", ["a{,3}"], ["aaa"]),
    ("^{x}$", ["{x}"], ["x"]),
    ("^.$", ["a", "🦊"], ["\n", "\u2028", ""]),
    ("^[^]$", ["\n"], [""]),
    (r"^\/\.\$$", ["/.$"], ["/."]),
    ("^(a*)*$", ["", "aaa"], ["b"]),
    ("^(a{0,3}){2}$", ["", "aaaaaa"], ["a" * 7]),
    ("", ["", "anything"], []),
    ("^$|^https?://", ["", "http://x"], ["ftp://x"]),
]
UNREADABLE = [
    "(?=a)b",
    "(?!a)",
    "(?<!a)b",
    r"(a)\1",
    r"\bword\b",
    r"\p{L}+",
    "(?i)abc",
    "([a-z",
    "a)",
    "*a",
    "a**",
    "a^b",
    "a$b",
    "(a^b)",
    "[]",
    "[z-a]",
    r"[\d-z]",
    "a{3,1}",
    r"\u{110000}",
    "(a?b?)*",
    r"\k<n>",
    "(" * 30 + "a" + ")" * 30,
    "a" * 3000,
]

regexes = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", "x", "-"]),
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})")
        | inner.map(lambda text: f"(?:{text})+")
        | inner.map(lambda text: f"({text})?")
        | inner.map(lambda text: f"({text}){{1,2}}")
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(("pattern", "good", "bad"), TABLE)
def test_a_pattern_finds_what_it_says(pattern: str, good: list[str], bad: list[str]):
    tree = patterns.tree_of(pattern)
    assert tree is not None
    assert [text for text in good + bad if holds_tree(tree, text)] == good
    assert [text for text in good + bad if matching.matches(pattern, text)] == good


@pytest.mark.parametrize("pattern", UNREADABLE)
def test_what_cannot_be_read_is_said_to_be_so(pattern: str):
    assert patterns.tree_of(pattern) is None
    assert matching.matches(pattern, "a") is None


@settings(max_examples=300, deadline=None)
@given(regexes, st.sampled_from(["", "^"]), st.sampled_from(["", "$"]), st.text("abx1-\n", max_size=6))
def test_any_pattern_is_read_as_python_reads_it(body: str, start: str, end: str, text: str):
    pattern = f"{start}(?:{body}){end}"
    tree = patterns.tree_of(pattern)
    if tree is None:
        return
    expected = re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
    assert matching.matches(pattern, text) is expected
    assert holds_tree(tree, text) is expected


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_is_not(pattern: str):
    patterns.tree_of(pattern)
    matching.matches(pattern, "abc")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "(x*)*y", r"^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)b"])
def test_no_pattern_takes_long(pattern: str):
    assert matching.matches(pattern, "a" * 5000 + "!") is False


def test_too_much_work_is_not_begun():
    assert matching.matches("^(ab?){1000}$", "a" * 100_000) is None
    assert matching.matches("^((a{100}){100}){100}$", "a") is None
