"""Stop sequences: what is shown never holds one, nor any part of one that came."""

from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.stops import StopMatcher


def run(sequences: list[str], parts: list[str]) -> tuple[str, str | None]:
    matcher = StopMatcher(sequences)
    shown: list[str] = []
    for part in parts:
        text, found = matcher.feed(part)
        shown.append(text)
        if found is not None:
            return "".join(shown), found
    return "".join(shown) + matcher.flush(), None


def expected(sequences: list[str], text: str) -> tuple[str, str | None]:
    """By the definition: the shortest beginning of `text` that ends with a sequence; of those, the longest sequence."""
    for end in range(1, len(text) + 1):
        ending = [s for s in sequences if text[:end].endswith(s)]
        if ending:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, None


def test_a_sequence_split_over_parts_is_found_and_not_shown():
    assert run(["STOP"], ["one S", "T", "OP two"]) == ("one ", "STOP")


def test_text_that_only_begins_like_a_sequence_is_shown_in_the_end():
    assert run(["STOP"], ["one ST", "ART"]) == ("one START", None)
    assert run(["STOP"], ["one STO"]) == ("one STO", None)


def test_held_text_leaves_as_soon_as_it_cannot_match():
    matcher = StopMatcher(["STOP"])
    assert matcher.feed("a ST") == ("a ", None)
    assert matcher.feed("x") == ("STx", None)


def test_of_two_that_end_together_the_longer_wins():
    assert run(["b", "ab"], ["xab"]) == ("x", "ab")


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4),
    st.lists(st.text("abc", max_size=5), max_size=8),
)
def test_any_cut_of_the_text_gives_what_the_definition_gives(sequences: list[str], parts: list[str]):
    assert run(sequences, parts) == expected(sequences, "".join(parts))


@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3), st.text("abc", max_size=30))
def test_nothing_is_held_that_cannot_become_a_sequence(sequences: list[str], text: str):
    matcher = StopMatcher(sequences)
    shown = ""
    for char in text:
        safe, found = matcher.feed(char)
        shown += safe
        if found is not None:
            return
    held = text[len(shown) :]
    assert not held or any(s.startswith(held) for s in sequences)
