"""Whatever the official SDK's types can say, strict mode accepts: no field and no type of theirs is unknown here."""

import collections.abc
import types
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin

import pytest
import typing_extensions
from pydantic import TypeAdapter

from antiphon.wire.blocks import Content
from antiphon.wire.request import CountRequest, MessageRequest
from antiphon.wire.tools import Tool

pytest.importorskip("anthropic")

from anthropic.types.beta import message_count_tokens_params as count_params
from anthropic.types.beta import message_create_params as create_params
from anthropic.types.beta.beta_content_block_param import BetaContentBlockParam
from anthropic.types.beta.beta_message_param import BetaMessageParam
from anthropic.types.beta.beta_tool_union_param import BetaToolUnionParam

WORDS = {"country": "US", "input_schema": {"type": "object"}, "name": "tool", "inference_geo": "us"}
"""Values that the API wants narrower than the SDK's type says."""
HEADERS = {"betas", "workspace_id", "user_profile_id"}
"""Arguments of the SDK that are not fields of the body."""


def samples(hint: Any, name: str = "", depth: int = 0) -> list[Any]:
    """Values of a type hint of the SDK: for a TypedDict its least form, and per field a form for every value of it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Required, typing_extensions.Required, Annotated):
        return samples(args[0], name, depth)
    if name in WORDS and origin is not Literal:
        return [WORDS[name]]
    if origin in (Union, types.UnionType):
        return [value for arg in args for value in samples(arg, name, depth)]
    if origin is Literal:
        return list(args)
    if origin in (list, collections.abc.Iterable) or "Sequence" in str(origin):
        return [[], *([value] for value in samples(args[0], "", depth))]
    if origin is dict:
        return [{}, {"key": samples(args[1], "", depth)[0]}]
    return _plain(hint, depth)


def _plain(hint: Any, depth: int) -> list[Any]:
    if typing_extensions.is_typeddict(hint):
        return _objects(hint, depth)
    known = {str: ["srvtoolu_1"], int: [100_000], bool: [True], object: [{}], float: [1.0], type(None): [None]}
    return known.get(hint, [])


def _objects(hint: Any, depth: int) -> list[dict[str, Any]]:
    fields = typing_extensions.get_type_hints(hint, include_extras=True)
    values = {name: samples(kind, name, depth + 1) for name, kind in fields.items() if name not in HEADERS}
    required = [name for name, kind in fields.items() if get_origin(kind) in (Required, typing_extensions.Required)]
    least = {name: values[name][0] for name in required}
    if depth > 3:
        return [least]
    return [least, *(least | {name: value} for name, every in values.items() for value in every)]


def _by_type(every: list[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for value in every:
        groups.setdefault(value.get("type", "custom"), []).append(value)
    return groups


CONTENT, TOOL = TypeAdapter[Any](Content), TypeAdapter[Any](Tool)
BLOCKS = _by_type(samples(BetaContentBlockParam))
TOOLS = _by_type(samples(BetaToolUnionParam))


def test_the_samples_reach_far() -> None:
    assert len(BLOCKS) >= 24
    assert len(TOOLS) >= 28
    assert sum(map(len, [*BLOCKS.values(), *TOOLS.values()])) > 500


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_of_the_sdk_is_known(kind: str) -> None:
    for block in BLOCKS[kind]:
        CONTENT.validate_python([block], extra="forbid")


@pytest.mark.parametrize("kind", TOOLS)
def test_every_tool_of_the_sdk_is_known(kind: str) -> None:
    for tool in TOOLS[kind]:
        TOOL.validate_python(tool, extra="forbid")


def test_every_field_of_create_is_known() -> None:
    least = {"model": "m", "max_tokens": 200_000, "messages": [{"role": "user", "content": "Hi"}]}
    fields = typing_extensions.get_type_hints(create_params.MessageCreateParamsBase, include_extras=True)
    for name in set(fields) - HEADERS - {"messages", "tools"}:
        for value in samples(fields[name], name):
            MessageRequest.model_validate(least | {name: value}, extra="forbid")


def test_every_field_of_count_is_known() -> None:
    least = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    fields = typing_extensions.get_type_hints(count_params.MessageCountTokensParams, include_extras=True)
    for name in set(fields) - HEADERS - {"messages", "tools"}:
        for value in samples(fields[name], name):
            CountRequest.model_validate(least | {name: value}, extra="forbid")


def test_every_message_of_the_sdk_is_known() -> None:
    for message in samples(BetaMessageParam, depth=3):
        MessageRequest.model_validate({"model": "m", "max_tokens": 1, "messages": [message]}, extra="forbid")
