"""Which words a mark is for, and where sentences end."""

import pytest

from antiphon.turn.citations import Sources, source_of
from antiphon.turn.sentences import spans
from tests.property.test_citations import reply

GRASS, SKY, SNOW = "The grass is green.", "The sky is blue.", "Snow is white."
TEXT = " ".join([GRASS, SKY, SNOW])
SOURCES = Sources((source_of("text", [TEXT], ordinal=0, first=1, title=None, origin=None),))


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("Green. [s1]", [("Green.", [GRASS])]),
        ("Green [s1].", [("Green.", [GRASS])]),
        ("Green [s1]. Blue [s2].", [("Green.", [GRASS]), (" Blue.", [SKY])]),
        ("Hello. Green. [s1] Bye.", [("Hello. ", []), ("Green.", [GRASS]), (" Bye.", [])]),
        ("Green and blue. [s1][s2]", [("Green and blue.", [GRASS, SKY])]),
        ("Green and blue. [s1] [s2]", [("Green and blue.", [GRASS, SKY])]),
        ("Both. [s1-2]", [("Both.", [f"{GRASS} {SKY}"])]),
        ("Both. [s1, s3]", [("Both.", [GRASS, SNOW])]),
        ("Green [s1] and blue [s2] today.", [("Green", [GRASS]), (" and blue", [SKY]), (" today.", [])]),
        ("[s1] Green.", [("Green.", [GRASS])]),
        ("[s1] Green. [s2] Blue.", [("Green.", [GRASS]), (" Blue.", [SKY])]),
        ("[s1] Green. [s1]", [("Green.", [GRASS])]),
        ("- [s1] Green.\n- [s2] Blue.", [("- Green.\n", [GRASS]), ("- Blue.", [SKY])]),
        ("Well:\n1. [s1] Green.", [("Well:\n", []), ("1. Green.", [GRASS])]),
        ("- Green. [s1]\n- Blue. [s2]", [("- Green.", [GRASS]), ("\n- Blue.", [SKY])]),
        ("Green.\n[s1]\n\nBlue.", [("Green.\n", [GRASS]), ("\n\nBlue.", [])]),
        ("Mr. Pell said so. [s1]", [("Mr. Pell said so.", [GRASS])]),
        ("See [3], [x] and [s9].", [("See [3], [x] and.", [])]),
    ],
)
def test_a_mark_is_for_its_sentence(text: str, blocks: list[tuple[str, list[str]]]):
    found = reply(SOURCES, [text])["content"]
    assert [(block["text"], [one["cited_text"] for one in block["citations"]]) for block in found] == blocks
    assert reply(SOURCES, list(text))["content"] == found


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Mr. Pell came. He left.", ["Mr. Pell came.", "He left."]),
        ("It costs 3.5 crowns, e.g. here. Is it? It is!", ["It costs 3.5 crowns, e.g. here.", "Is it?", "It is!"]),
        ("- one\n- two\n3. three", ["- one", "- two", "3. three"]),
        ("| a | b |\n| 1 | 2 |", ["| a | b |", "| 1 | 2 |"]),
        ("First\n\nSecond line\nwraps. End", ["First", "Second line\nwraps.", "End"]),
        ("\u4ed6\u6765\u4e86\u3002\u6211\u8d70\u4e86\u3002", ["\u4ed6\u6765\u4e86\u3002", "\u6211\u8d70\u4e86\u3002"]),
        ("See Fig. 3. Then go.", ["See Fig. 3.", "Then go."]),
        ("You and I. They too.", ["You and I.", "They too."]),
        (" \n ", []),
    ],
)
def test_a_text_is_cut_where_its_sentences_end(text: str, sentences: list[str]):
    assert [text[start:end] for start, end in spans(text)] == sentences
