"""Requests as hypothesis draws them: valid ones, ones with one thing wrong, and any bytes at all."""

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Json = Any
FIELDS = (
    "model max_tokens messages system stop_sequences stream temperature top_p top_k metadata service_tier speed tools "
    "tool_choice thinking output_config cache_control container diagnostics context_management mcp_servers thread "
    "inference_geo compaction fallbacks fallback_credit_token billing_policy output_format role content type text "
    "source data media_type tool_use_id id name input is_error citations title context signature input_schema ttl"
).split()
TAGS = (
    "text image document search_result thinking redacted_thinking tool_use tool_result server_tool_use "
    "web_search_tool_result web_fetch_tool_result code_execution_tool_result tool_search_tool_result container_upload "
    "mcp_tool_use mcp_tool_result compaction fallback tool_addition base64 url file content ephemeral custom "
    "bash_20250124 web_search_20250305 code_execution_20250825 mcp_toolset auto any tool none enabled adaptive disabled"
).split()
ODD_TEXTS = ["", " ", "\n", "\x00", "\u200b", "\u2028", "🦊", "e\u0301", "\ufffe", "\U0010ffff", "<scalar>", "a" * 5000]

words = st.text(min_size=1, max_size=20).filter(lambda value: not value.isspace() and value == value.rstrip())
odd_texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=10)
odd_numbers = st.sampled_from([0, -1, 1, 10**30, -(10**4000), 0.0, -0.0, 1e308, 5.0, True, False]) | st.integers()
junk: st.SearchStrategy[Json] = st.recursive(
    st.none() | odd_numbers | odd_texts | st.sampled_from(TAGS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | odd_texts, inner, max_size=3),
    max_leaves=6,
)
cache_controls = st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "5m"}])
inputs = st.dictionaries(words, st.none() | st.booleans() | st.integers() | words, max_size=3)


def objects(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose values are strategies or constants."""

    def strategy(value: Any) -> st.SearchStrategy[Any]:
        return value if isinstance(value, st.SearchStrategy) else st.just(value)

    return st.fixed_dictionaries(
        {key: strategy(value) for key, value in required.items()},
        optional={key: strategy(value) for key, value in (optional or {}).items()},
    )


texts = objects({"type": "text", "text": words}, {"cache_control": st.none()})
images = objects({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}})
documents = objects(
    {"type": "document", "source": objects({"type": "text", "media_type": "text/plain", "data": words})},
    {"title": words | st.none(), "context": words},
)
search_results = objects(
    {"type": "search_result", "source": words, "title": words, "content": st.lists(texts, min_size=1, max_size=2)}
)
user_blocks = texts | images | documents | search_results
thoughts = objects({"type": "thinking", "thinking": words, "signature": "c2ln"})


@st.composite
def exchanges(draw: st.DrawFn, number: int) -> list[Json]:
    """An assistant message, perhaps with calls, and the user message that answers it."""
    calls = [f"toolu_{number}_{index}" for index in range(draw(st.integers(0, 2)))]
    said = draw(st.lists(thoughts | texts, min_size=0 if calls else 1, max_size=2))
    said += [{"type": "tool_use", "id": call, "name": "weather", "input": draw(inputs)} for call in calls]
    results = [
        draw(
            objects(
                {"type": "tool_result", "tool_use_id": call},
                {"content": words | st.lists(user_blocks, max_size=2), "is_error": st.booleans()},
            )
        )
        for call in calls
    ]
    answer = results + draw(st.lists(user_blocks, min_size=0 if results else 1, max_size=2))
    return [{"role": "assistant", "content": said}, {"role": "user", "content": answer}]


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    messages = [{"role": "user", "content": draw(words | st.lists(user_blocks, min_size=1, max_size=3))}]
    for number in range(draw(st.integers(0, 3))):
        messages += draw(exchanges(number))
    return messages + draw(st.sampled_from([[], [{"role": "assistant", "content": "Sure,"}]]))


schemas = objects(
    {"type": "object"},
    {
        "properties": st.dictionaries(
            st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.just({"type": "string"}), max_size=3
        )
    },
)
tools = st.lists(
    objects(
        {"name": st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True), "input_schema": schemas},
        {"type": "custom", "description": words, "cache_control": st.none(), "strict": False},
    ),
    max_size=3,
    unique_by=lambda tool: tool["name"],
)
requests = objects(
    {
        "model": st.sampled_from(["echo", "lorem"]),
        "max_tokens": st.integers(1, 32),
        "messages": conversations(),
    },
    {
        "system": words | st.lists(texts, max_size=2),
        "stream": st.booleans(),
        "stop_sequences": st.lists(words, max_size=2),
        "metadata": objects({}, {"user_id": words | st.none()}),
        "tools": tools,
        "cache_control": cache_controls,
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "disabled"}]),
        "output_config": objects({}, {"effort": st.sampled_from(["low", "high", "max"])}),
        "container": st.none(),
    },
)
"""Bodies of `/v1/messages` that both versions of the API take."""

completions = objects(
    {
        "model": "echo",
        "prompt": words.map(lambda text: f"\n\nHuman: {text}\n\nAssistant:"),
        "max_tokens_to_sample": st.integers(1, 32),
    },
    {"temperature": st.floats(0, 1), "stream": st.booleans()},
)


def places(value: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside a JSON value, itself first."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        found += places(part, (*path, key))
    return found


def _change(value: Json, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Json:
    whole = copy.deepcopy(value)
    parent = whole
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return whole


def _nested(depth: int) -> Json:
    value: Json = "x"
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[Json] = requests) -> Json:
    """A request in which one to three places are dropped, replaced, renamed, doubled or buried."""
    value = draw(valid)
    for _ in range(draw(st.integers(1, 3))):
        value = draw(_once(value))
    return value


def _once(value: Json) -> st.SearchStrategy[Json]:
    paths = places(value)[1:]
    if not paths:
        return st.just(value)
    return st.sampled_from(paths).flatmap(lambda path: _change_at(value, path))


@st.composite
def _change_at(draw: st.DrawFn, value: Json, path: tuple[Any, ...]) -> Json:
    new = draw(junk | st.sampled_from(TAGS) | odd_texts | st.sampled_from([50, 300]).map(_nested))

    def drop(parent: Any, key: Any) -> None:
        del parent[key]

    def replace(parent: Any, key: Any) -> None:
        parent[key] = new

    def wrap(parent: Any, key: Any) -> None:
        parent[key] = [parent[key]]

    def double(parent: Any, key: Any) -> None:
        if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        else:
            parent[draw(st.sampled_from(FIELDS) | odd_texts)] = copy.deepcopy(parent[key])

    def insert(parent: Any, key: Any) -> None:
        if isinstance(parent, list):
            parent.insert(key, new)
        else:
            parent[draw(st.sampled_from(FIELDS) | odd_texts)] = new

    return _change(value, path, draw(st.sampled_from([drop, replace, replace, wrap, double, insert])))


def to_bytes(value: Json) -> bytes:
    return json.dumps(value).encode()


@st.composite
def broken_bytes(draw: st.DrawFn) -> bytes:
    """A body as bytes of which some are cut, doubled or overwritten."""
    body = to_bytes(draw(requests))
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 20)))
    patch = draw(
        st.binary(max_size=8)
        | st.sampled_from(
            [b"NaN", b"1e400", b'"\\ud800"', b"9" * 5000, b"[" * 300, b"\xff", b"\xed\xa0\x80", b'"a":1,']
        )
    )
    return body[:start] + patch + body[end:]


bodies = (
    requests.map(to_bytes)
    | mutated().map(to_bytes)
    | mutated(completions).map(to_bytes)
    | broken_bytes()
    | junk.map(to_bytes)
    | st.binary(max_size=60)
)
"""Any body at all, most of them nearly right."""
