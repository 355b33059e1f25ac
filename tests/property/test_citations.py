"""Whatever a model writes: each citation is an exact slice of its source, and the cut of the stream changes nothing."""

from itertools import pairwise
from typing import Any, get_args

from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.encode.collect import Collector
from antiphon.turn.assemble import Assembler, Plan
from antiphon.turn.citations import Source, SourceKind, Sources, source_of
from antiphon.turn.marks import label
from antiphon.turn.pieces import Piece, Stop
from antiphon.turn.script import Script
from antiphon.turn.sentences import spans

WORDS = ["The grass is green.", " ", "\n", "Mr. Pell said so!", "a. b", "1. ", "x", "\u3002", "| a | b |\n"]
WORDS += ["- one\n", "\n\n"]
texts = st.lists(st.sampled_from(WORDS), max_size=8).map("".join) | st.text(max_size=40)
kinds = st.sampled_from(get_args(SourceKind))
marks = st.builds(label, st.integers(0, 12), st.none() | st.integers(0, 12))
odd_marks = st.sampled_from(
    "[s1, s2]#[S3]#[ s1 ]#[3]#[s#[s1#]# [#[s999999999]#[s1][s2]#[s1]\n#[s1-s3; 4]#[s1,,]".split("#")
)
replies = st.lists(st.sampled_from(WORDS) | marks | odd_marks | st.text(max_size=5), max_size=12).map("".join)


@st.composite
def shelves(draw: st.DrawFn) -> Sources:
    sources: list[Source] = []
    for ordinal in range(draw(st.integers(1, 3))):
        kind = draw(kinds)
        parts = draw(st.lists(texts, min_size=1, max_size=1 if kind == "text" else 3))
        first = sources[-1].next if sources else 1
        sources.append(source_of(kind, parts, ordinal=ordinal, first=first, title=None, origin="o"))
    return Sources(tuple(sources))


def reply(sources: Sources, cuts: list[str], stops: list[str] | None = None) -> dict[str, Any]:
    """The message of a reply that comes in these cuts."""
    plan = Plan("msg_1", "m", 7, 1000, 1000, stops or (), script=Script(sources=sources))
    assembler, collector = Assembler(plan), Collector()
    collector.feed(assembler.start())
    for cut in cuts:
        if not assembler.is_done:
            collector.feed(assembler.feed([Piece(cut, 1)]))
    if not assembler.is_done:
        collector.feed(assembler.feed([Piece("", 1, stop=Stop("end"))]))
    return collector.message.as_json() | {"usage": None}


def slice_of(sources: Sources, citation: dict[str, Any]) -> str:
    """What stands where the citation says."""
    is_search = citation["type"] == "search_result_location"
    ordinal = citation["search_result_index" if is_search else "document_index"]
    (source,) = [one for one in sources.sources if one.ordinal == ordinal]
    match citation["type"]:
        case "char_location":
            return source.parts[0][citation["start_char_index"] : citation["end_char_index"]]
        case "page_location":
            page = source.parts[citation["start_page_number"] - 1]
            assert citation["end_page_number"] == citation["start_page_number"] + 1
            return citation["cited_text"] if citation["cited_text"] in page else ""
        case _:
            return "".join(source.parts[citation["start_block_index"] : citation["end_block_index"]])


@given(texts)
def test_sentences_leave_out_nothing_but_white_space(text: str):
    found = spans(text)
    assert "".join(text[start:end] for start, end in found).split() == text.split() or "".join(
        "".join(text[start:end].split()) for start, end in found
    ) == "".join(text.split())
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))


@given(shelves(), replies)
def test_each_cited_text_is_the_exact_slice_of_its_source(sources: Sources, text: str):
    for block in reply(sources, [text])["content"]:
        assert block["text"].strip()
        for citation in block["citations"]:
            assert citation["cited_text"] == slice_of(sources, citation) != ""


@given(shelves(), replies, st.lists(st.integers(0, 120), max_size=6), st.sampled_from([[], ["\n\n"], ["green", "b[s"]]))
@example(Sources((source_of("text", ["A."], ordinal=0, first=1, title=None, origin=None),)), "a. b [s1]", [3], [])
def test_the_cut_of_a_stream_changes_nothing(sources: Sources, text: str, places: list[int], stops: list[str]):
    ends = sorted({min(place, len(text)) for place in places} | {0, len(text)})
    cuts = [text[start:end] for start, end in pairwise(ends)]
    whole = reply(sources, [text], stops)
    assert reply(sources, cuts, stops) == whole
    assert reply(sources, list(text), stops) == whole


@given(shelves(), replies)
def test_no_word_is_lost_but_the_marks(sources: Sources, text: str):
    shown = "".join(block["text"] for block in reply(sources, [text])["content"])
    plain = text
    for char in " \n":
        shown = shown.replace(char, "")
        plain = plain.replace(char, "")
    letters = iter(plain)
    assert all(char in letters for char in shown if not char.isspace())
