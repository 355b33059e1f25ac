"""The body of a batch, cut into its requests while it comes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.core.errors import ApiError, Kind
from antiphon.wire import batch
from antiphon.wire.batch import BatchReader
from antiphon.wire.split import Splitter

texts = st.text(st.sampled_from('ab"\\\\{}[],: \n\u00e9\U0001f600'), max_size=12)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)


def pieces(body: bytes, sizes: list[int]) -> list[bytes]:
    found: list[bytes] = []
    while body:
        size = sizes[len(found) % len(sizes)] if sizes else len(body)
        found.append(body[:size])
        body = body[size:]
    return found


@given(
    st.lists(objects, max_size=5),
    st.dictionaries(texts.filter(lambda name: name != "requests"), values, max_size=3),
    st.lists(st.integers(1, 40), max_size=6),
    st.sampled_from([None, 1]),
)
@example([{"a": "\\\\"}], {"x": {"requests": [{}]}}, [1], None)
def test_a_body_is_cut_the_same_wherever_its_pieces_end(
    requests: list[Any], others: dict[str, Any], sizes: list[int], indent: int | None
):
    whole = json.dumps(others | {"requests": requests}, indent=indent, ensure_ascii=False).encode()
    splitter = Splitter("requests", 1_000_000)
    found = [part for piece in pieces(whole, sizes) for part in splitter.feed(piece)]
    assert [json.loads(part) for part in found] == requests
    assert json.loads(bytes(splitter.rest)) == others | {"requests": [{}] * len(requests)}


@given(st.binary(max_size=60), st.lists(st.integers(1, 9), max_size=4))
@example(b'{"requests":[}', [])
@example(b']]]]{"requests":[{}]}', [1])
def test_any_bytes_are_an_answer(body: bytes, sizes: list[int]):
    reader = BatchReader()
    for piece in pieces(body, sizes):
        reader.feed(piece)
    with pytest.raises(ApiError) as raised:
        reader.close()
    assert raised.value.kind is Kind.INVALID_REQUEST


def test_what_is_too_large_to_be_held_is_refused():
    for before in (b'{"requests": [{"a": "', b'{"a": "'):
        reader = BatchReader()
        reader.feed(before)
        for _ in range(40):
            reader.feed(b"x" * 1024 * 1024)
        assert len(reader._splitter.rest) + len(reader._splitter._object or b"") < 34 * 1024 * 1024
        with pytest.raises(ApiError) as raised:
            reader.close()
        assert raised.value.kind is Kind.TOO_LARGE


def test_the_number_of_requests_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batch, "MAX_REQUESTS", 2)
    reader = BatchReader()
    reader.feed(b'{"requests": [%b]}' % b",".join(b'{"custom_id": "%d", "params": {}}' % n for n in range(3)))
    with pytest.raises(ApiError, match="List should have at most 2 items after validation, not 3"):
        reader.close()


def test_the_first_error_is_told():
    reader = BatchReader()
    reader.feed(b'{"requests": [{"custom_id": "a"}, {"custom_id": ""}], nonsense')
    with pytest.raises(ApiError, match=r"requests\.0\.params: Field required"):
        reader.close()


def test_unknown_fields_are_refused_where_the_server_is_strict():
    for body, words in (
        (b'{"requests": [{"custom_id": "a", "params": {}, "x": 1}]}', r"requests\.0\.x: Extra inputs"),
        (b'{"requests": [{"custom_id": "a", "params": {}}], "y": 1}', "y: Extra inputs"),
    ):
        strict, lenient = BatchReader(strict=True), BatchReader()
        strict.feed(body)
        lenient.feed(body)
        lenient.close()
        with pytest.raises(ApiError, match=words):
            strict.close()
