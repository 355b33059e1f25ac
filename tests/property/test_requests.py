"""Whatever bytes come in, parsing them ends in a request or in the API's 400."""

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.core.errors import ApiError, Kind
from antiphon.wire.conversation import merge_turns
from antiphon.wire.parse import parse_complete, parse_count, parse_message
from antiphon.wire.versions import Version
from tests.property import strategies

versions = st.sampled_from(Version)
thorough = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(body: bytes, version: Version, strict: bool) -> None:
    for parse in (parse_message, parse_count, parse_complete):
        try:
            parse(body, version, strict=strict)
        except ApiError as error:
            refusal = error
            assert refusal.kind is Kind.INVALID_REQUEST
            assert 0 < len(refusal.message.encode()) < 4000


@thorough
@given(body=strategies.bodies, version=versions, strict=st.booleans())
def test_any_body_is_a_request_or_a_400(body: bytes, version: Version, strict: bool) -> None:
    check(body, version, strict)


@thorough
@given(request=strategies.mutated(), version=versions, strict=st.booleans())
def test_a_request_with_something_wrong_is_a_request_or_a_400(request: Any, version: Version, strict: bool) -> None:
    check(strategies.to_bytes(request), version, strict)


@thorough
@given(request=strategies.requests, version=versions, strict=st.booleans())
def test_a_valid_request_is_taken(request: Any, version: Version, strict: bool) -> None:
    parsed = parse_message(strategies.to_bytes(request), version, strict=strict)
    assert (parsed.model, parsed.max_tokens) == (request["model"], request["max_tokens"])
    assert len(parsed.messages) == len(request["messages"])


@settings(max_examples=100, deadline=None)
@given(request=strategies.requests)
def test_turns_hold_every_block_where_it_stood(request: Any) -> None:
    messages = parse_message(strategies.to_bytes(request), Version.V2023_06_01).messages
    turns = merge_turns(messages)
    assert sum(len(turn.sizes) for turn in turns) == len(messages)
    assert all(before.role != after.role for before, after in pairwise(turns))
    for turn in turns:
        for index, block in enumerate(turn.blocks):
            message, position = turn.origin(index)
            content = messages[message].content
            assert (content == getattr(block, "text", None)) if isinstance(content, str) else content[position] is block
