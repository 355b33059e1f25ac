"""What the API says about each wrong request: one row, one sentence."""

from dataclasses import dataclass
from typing import Any

import pytest

from antiphon.core.errors import ApiError
from antiphon.wire.parse import parse_complete, parse_count, parse_message
from antiphon.wire.versions import Version
from tests.unit.wire.requests import (
    CODE,
    DROP,
    FIVE_MINUTES,
    ONE_HOUR,
    PDF,
    PNG,
    SCHEMA,
    assistant,
    blocks,
    body,
    call,
    completion,
    document,
    encode,
    result,
    says,
    search_answer,
    search_result,
    server_call,
    system,
    text,
    thought,
    tool,
    user,
)

OLD, NEW = Version.V2023_06_01, Version.V2026_10_21
PARSERS = {"message": parse_message, "count": parse_count, "complete": parse_complete}
NOT_JSON = "The request body is not valid JSON: "
DOCS = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
IMPORTANT = f"{DOCS}#important-considerations-when-using-extended-thinking"
LOOP = (
    "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceding the lastmost "
    "set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To "
    f"avoid this requirement, disable `thinking`. {DOCS}"
)
ORPHAN = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
TWICE = "each tool_use must have a single result. Found multiple `tool_result` blocks with id:"
MISSING = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
ORDER = (
    "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed "
    "in the following order: `tools`, `system`, `messages`."
)
TOOL_TAGS = (
    "'bash_20250124', 'bash_20241022', 'browser_toolset_20260801', 'code_execution_20250522', "
    "'code_execution_20250825', 'code_execution_20260120', 'code_execution_20260521', 'computer_toolset_20260801', "
    "'custom', 'memory_20250818', 'text_editor_20250124', 'text_editor_20241022', 'text_editor_20250429', "
    "'text_editor_20250728', 'tool_search_tool_bm25', 'tool_search_tool_bm25_20251119', 'tool_search_tool_regex', "
    "'tool_search_tool_regex_20251119', 'web_fetch_20250910', 'web_fetch_20260209', 'web_fetch_20260309', "
    "'web_fetch_20260318', 'web_search_20250305', 'web_search_20260209', 'web_search_20260318', 'advisor_20260301', "
    "'computer_20241022', 'computer_20250124', 'computer_20251124', 'mcp_toolset'"
)
BLOCK_TAGS = (
    "'text', 'image', 'document', 'search_result', 'thinking', 'redacted_thinking', 'tool_use', 'tool_result', "
    "'server_tool_use', 'web_search_tool_result', 'web_fetch_tool_result', 'code_execution_tool_result', "
    "'bash_code_execution_tool_result', 'text_editor_code_execution_tool_result', 'tool_search_tool_result', "
    "'container_upload', 'mcp_tool_use', 'mcp_tool_result', 'mcp_tool_listing', 'compaction', 'fallback', "
    "'advisor_tool_result', 'tool_addition', 'tool_removal'"
)
TAG = "found using 'type' does not match any of the expected tags:"
EXTRA = "Extra inputs are not permitted"
FIRST_SYSTEM = (
    "use the top-level 'system' parameter for the initial system prompt; the directive-only form (content: [] with "
    "output_config) is accepted at any position"
)
CLOSED = "For 'object' type, 'additionalProperties' must be explicitly set to false"
THINK = {"type": "enabled", "budget_tokens": 1024}
TOO_MANY_BLOCKS = "messages: at most 100000 content blocks are supported in all messages together"
EFFORTS = "'low', 'medium', 'high', 'xhigh' or 'max'"
CITED = {"type": "web_search_result_location", "cited_text": "a", "encrypted_index": "b", "title": "c", "url": "d"}
CITATIONS_ON = {"citations": {"enabled": True}}
FORMAT = {"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}}
STRICT_FORMAT = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
NESTED_OPEN = {"type": "object", "additionalProperties": False, "properties": {"a": {"type": "object"}}}
ASKED = [user("Hi"), assistant([call()])]
SEARCHED = [user("Hi"), assistant([server_call()]), user("And?")]
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
COMPUTER = {"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1}


@dataclass
class Row:
    body: Any
    message: str
    version: Version = OLD
    strict: bool = False
    parser: str = "message"


def strict(body: Any, message: str, **more: Any) -> Row:
    return Row(body, message, strict=True, **more)


def new(body: Any, message: str, **more: Any) -> Row:
    return Row(body, message, version=NEW, **more)


def count(body: Any, message: str, **more: Any) -> Row:
    return Row(body, message, parser="count", **more)


def complete(body: Any, message: str, **more: Any) -> Row:
    return Row(body, message, parser="complete", **more)


NOT_A_REQUEST = [
    Row(b"", NOT_JSON + "unexpected end of data: line 1 column 1 (char 0)"),
    Row(b'{"a":', NOT_JSON + "unexpected end of data: line 1 column 6 (char 5)"),
    Row(b'{"a": NaN}', NOT_JSON + "unexpected character: line 1 column 7 (char 6)"),
    Row(b'{"a": Infinity}', NOT_JSON + "unexpected character: line 1 column 7 (char 6)"),
    Row(b'{"a": -Infinity}', NOT_JSON + "invalid number: line 1 column 8 (char 7)"),
    Row(b'{"a": "\\ud800"}', NOT_JSON + "no low surrogate in string: line 1 column 14 (char 13)"),
    Row(b'{"a": "\\ud800 \\udc00"}', NOT_JSON + "no low surrogate in string: line 1 column 14 (char 13)"),
    Row(b'{"a": "\\udc00"}', NOT_JSON + "no low surrogate in string: line 1 column 13 (char 12)"),
    Row(b'{"a": "\xed\xa0\x80"}', NOT_JSON + "str is not valid UTF-8: line 1 column 8 (char 7)"),
    Row(b'{"a": "\xff"}', NOT_JSON + "str is not valid UTF-8: line 1 column 8 (char 7)"),
    Row(b'{"a": 1, "a": 2}', NOT_JSON + 'duplicate key "a": line 1 column 14 (char 13)'),
    Row(b'{"a": {"b": 1,\n"b": 2}}', NOT_JSON + 'duplicate key "b": line 2 column 5 (char 19)'),
    Row(b'{"a": ' + b"9" * 4400 + b"}", NOT_JSON + "number out of range: line 1 column 4308 (char 4307)"),
    Row(b"[" * 250 + b"]" * 250, NOT_JSON + "recursion limit exceeded: line 1 column 202 (char 201)"),
    Row(b'{"a":' * 100_000, NOT_JSON + "recursion limit exceeded: line 1 column 1006 (char 1005)"),
    Row(b"\xef\xbb\xbf{}", NOT_JSON + "unexpected character: line 1 column 1 (char 0)"),
    Row("{}".encode("utf-16"), NOT_JSON + "unexpected character: line 1 column 1 (char 0)"),
    Row(b"{} x", NOT_JSON + "unexpected content after document: line 1 column 4 (char 3)"),
    Row(b"{'a': 1}", NOT_JSON + "key must be a string: line 1 column 2 (char 1)"),
    Row(b"[]", NOT_JSON + "expected an object"),
    Row(b"null", NOT_JSON + "expected an object"),
    Row(b'"text"', NOT_JSON + "expected an object"),
    Row(b"3", NOT_JSON + "expected an object"),
]

REQUIRED = [
    Row({}, "model: Field required"),
    Row(body(model=DROP), "model: Field required"),
    Row(body(max_tokens=DROP), "max_tokens: Field required"),
    Row(body(messages=DROP), "messages: Field required"),
    Row(says({"role": "user"}), "messages.0.content: Field required"),
    Row(says(user("Hi"), {"role": "assistant"}), "messages.1.content: Field required"),
    Row(says({"content": "Hi"}), "messages.0.role: Field required"),
    Row(blocks(text(), {"type": "text"}), "messages.0.content.1.text.text: Field required"),
    Row(blocks({"text": "Hi"}), "messages.0.content.0.type: Field required"),
    Row(blocks({"type": "image"}), "messages.0.content.0.image.source: Field required"),
    Row(blocks({"type": "tool_result"}), "messages.0.content.0.tool_result.tool_use_id: Field required"),
    Row(
        blocks(PNG | {"source": {"type": "base64", "media_type": "image/png"}}),
        "messages.0.content.0.image.source.base64.data: Field required",
    ),
    Row(blocks(PNG | {"source": {"url": "x"}}), "messages.0.content.0.image.source.type: Field required"),
    Row(
        says(user("Hi"), assistant([{"type": "thinking", "thinking": "a"}])),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    Row(blocks(result(content=[{"text": "a"}])), "messages.0.content.0.tool_result.content.0.type: Field required"),
    Row(body(tools=[tool(DROP)]), "tools.0.custom.name: Field required"),
    Row(body(tools=[tool(input_schema=DROP)]), "tools.0.custom.input_schema: Field required"),
    Row(body(tools=[tool(input_schema={})]), "tools.0.custom.input_schema.type: Field required"),
    Row(body(tools=[{"type": "bash_20250124"}]), "tools.0.bash_20250124.name: Field required"),
    Row(body(tools=[CODE, {"type": "mcp_toolset"}]), "tools.1.mcp_toolset.mcp_server_name: Field required"),
    Row(body(thinking={"type": "enabled"}), "thinking.enabled.budget_tokens: Field required"),
    Row(body(thinking={}), "thinking.type: Field required"),
    Row(body(tools=[tool()], tool_choice={"type": "tool"}), "tool_choice.tool.name: Field required"),
    Row(body(tools=[tool()], tool_choice={}), "tool_choice.type: Field required"),
    Row(body(output_config={"format": {"type": "json_schema"}}), "output_config.format.schema: Field required"),
    Row(body(thread={"type": "continue"}), "thread.continue.previous_message_id: Field required"),
    Row(body(mcp_servers=[{"type": "url", "name": "a"}]), "mcp_servers.0.url: Field required"),
    count({"model": "echo"}, "messages: Field required"),
    complete({}, "model: Field required"),
    complete(completion(prompt=DROP), "prompt: Field required"),
    complete(completion(max_tokens_to_sample=DROP), "max_tokens_to_sample: Field required"),
]

TYPES = [
    Row(body(model=5), "model: Input should be a valid string"),
    Row(body(model=None), "model: Input should be a valid string"),
    Row(body(model=""), "model: String should have at least 1 character"),
    Row(body(max_tokens="5"), "max_tokens: Input should be a valid integer"),
    Row(body(max_tokens=5.0), "max_tokens: Input should be a valid integer"),
    Row(body(max_tokens=True), "max_tokens: Input should be a valid integer"),
    Row(body(max_tokens=None), "max_tokens: Input should be a valid integer"),
    Row(body(messages="Hi"), "messages: Input should be a valid array"),
    Row(body(messages={"role": "user"}), "messages: Input should be a valid array"),
    Row(body(messages=None), "messages: Input should be a valid array"),
    Row(says("Hi"), "messages.0: Input should be an object"),
    Row(says(user(None)), "messages.0.content: Input should be a valid array"),
    Row(says(user(5)), "messages.0.content: Input should be a valid array"),
    Row(says(user(text())), "messages.0.content: Input should be a valid array"),
    Row(blocks("Hi"), "messages.0.content.0: Input should be an object"),
    Row(blocks(text(5)), "messages.0.content.0.text.text: Input should be a valid string"),
    Row(blocks(text(), text(None)), "messages.0.content.1.text.text: Input should be a valid string"),
    Row(blocks(text(cache_control="x")), "messages.0.content.0.text.cache_control: Input should be an object"),
    Row(
        says(user("Hi"), assistant([call(input="{}")])),
        "messages.1.content.0.tool_use.input: Input should be an object",
    ),
    Row(blocks(result(is_error="no")), "messages.0.content.0.tool_result.is_error: Input should be a valid boolean"),
    Row(blocks(result(content=5)), "messages.0.content.0.tool_result.content: Input should be a valid array"),
    Row(body(system=5), "system: Input should be a valid array"),
    Row(body(system=None), "system: Input should be a valid array"),
    Row(body(system=["a"]), "system.0: Input does not match the expected shape."),
    Row(body(system=[{"type": "text"}]), "system.0.text: Field required"),
    Row(body(system=[PNG]), "system.0.type: Input should be 'text'"),
    Row(body(tools=None), "tools: Input should be a valid array"),
    Row(body(tools={}), "tools: Input should be a valid array"),
    Row(body(tools=["a"]), "tools.0: Input should be an object"),
    Row(body(tools=[tool(description=5)]), "tools.0.custom.description: Input should be a valid string"),
    Row(body(tools=[tool(input_schema=[])]), "tools.0.custom.input_schema: Input should be an object"),
    Row(body(tools=[tool(strict=1)]), "tools.0.custom.strict: Input should be a valid boolean"),
    Row(body(tool_choice=None), "tool_choice: Input should be an object"),
    Row(body(tool_choice="auto"), "tool_choice: Input should be an object"),
    Row(body(thinking=None), "thinking: Input should be an object"),
    Row(body(thinking=True), "thinking: Input should be an object"),
    Row(body(output_config=5), "output_config: Input does not match the expected shape."),
    Row(body(output_config=None), "output_config: Input does not match the expected shape."),
    Row(body(cache_control="on"), "cache_control: Input should be an object"),
    Row(body(metadata=None), "metadata: Input should be an object"),
    Row(body(metadata={"user_id": 5}), "metadata.user_id: Input should be a valid string"),
    Row(body(stop_sequences="END"), "stop_sequences: Input should be a valid array"),
    Row(body(stop_sequences=None), "stop_sequences: Input should be a valid array"),
    Row(body(stop_sequences=["END", 5]), "stop_sequences.1: Input should be a valid string"),
    Row(body(temperature="1"), "temperature: Input should be a valid number"),
    Row(body(temperature=None), "temperature: Input should be a valid number"),
    Row(body(temperature=True), "temperature: Input should be a valid number"),
    Row(body(top_k=1.5), "top_k: Input should be a valid integer"),
    Row(body(top_p="x"), "top_p: Input should be a valid number"),
    Row(body(stream="true"), "stream: Input should be a valid boolean"),
    Row(body(stream=1), "stream: Input should be a valid boolean"),
    Row(body(stream=None), "stream: Input should be a valid boolean"),
    Row(body(container=5), "container: Input should be an object"),
    Row(body(service_tier=None), "service_tier: Input should be 'auto' or 'standard_only'"),
    Row(body(mcp_servers=None), "mcp_servers: Input should be a valid array"),
    Row(body(context_management={"edits": {}}), "context_management.edits: Input should be a valid array"),
    Row(body(fallbacks=5), "fallbacks: Input should be a valid array"),
    complete(completion(prompt=["a"]), "prompt: Input should be a valid string"),
    complete(completion(max_tokens_to_sample="5"), "max_tokens_to_sample: Input should be a valid integer"),
]

FREE_JSON = [
    Row(
        encode(says(*ASKED, user([result()]))).replace(b'"input": {}', b'"input": {"a": [1e400]}'),
        "messages.1.content.0.tool_use.input: Input should be a finite number",
    ),
    Row(
        encode(body(tools=[tool()])).replace(b'"required"', b'"minimum": -1e999, "required"'),
        "tools.0.custom.input_schema: Input should be a finite number",
    ),
    Row(
        encode(body(output_config=FORMAT)).replace(b'"object"', b'"object", "maximum": 1e400'),
        "output_config.format.schema: Input should be a finite number",
    ),
]

VALUES = [
    Row(body(max_tokens=-1), "max_tokens: must be greater than or equal to 0"),
    Row(body(temperature=1.1), "temperature: range: 0..1"),
    Row(body(temperature=-0.1), "temperature: range: 0..1"),
    Row(body(top_p=2), "top_p: range: 0..1"),
    Row(body(top_p=-1), "top_p: range: 0..1"),
    Row(body(top_k=-1), "top_k: Input should be greater than or equal to 0"),
    Row(
        b'{"model":"echo","max_tokens":1,"messages":[{"role":"user","content":"a"}],"top_p":1e400}',
        "top_p: Input should be a finite number",
    ),
    Row(body(service_tier="batch"), "service_tier: Input should be 'auto' or 'standard_only'"),
    Row(body(speed="slow"), "speed: Input should be 'standard' or 'fast'"),
    Row(body(inference_geo="eu"), "inference_geo: must be one of ['global', 'us']"),
    Row(body(stop_sequences=["END", " \n"]), "stop_sequences: each stop sequence must contain non-whitespace"),
    Row(body(stop_sequences=[""]), "stop_sequences: each stop sequence must contain non-whitespace"),
    Row(body(stop_sequences=["a" * 8191, "b"]), "stop_sequences: at most 8191 characters in all are supported"),
    complete(completion(stop_sequences=["a" * 8192]), "stop_sequences: at most 8191 characters in all are supported"),
    Row(body(model="m" * 257), "model: String should have at most 256 characters"),
    complete(completion(model="m" * 257), "model: String should have at most 256 characters"),
    count(says(*[user([text()] * 50_001)] * 2), TOO_MANY_BLOCKS),
    Row(blocks(*[result(content=[text()] * 50_001)] * 2), TOO_MANY_BLOCKS),
    Row(blocks(*[document(source={"type": "content", "content": [text()] * 50_001})] * 2), TOO_MANY_BLOCKS),
    Row(
        body(system=[text()] * 100_001),
        "system: List should have at most 100000 items after validation, not 100001",
    ),
    Row(body(messages=[]), "messages: at least one message is required"),
    Row(
        says({"role": "tool", "content": "a"}),
        'messages: Unexpected role "tool". Allowed roles are "user" or "assistant"',
    ),
    Row(says({"role": 5, "content": "a"}), "messages.0.role: Input should be a valid string"),
    Row(blocks({"type": "video"}), f"messages.0.content.0: Input tag 'video' {TAG} {BLOCK_TAGS}"),
    Row(
        blocks(result(content=[thought()])),
        f"messages.0.content.0.tool_result.content.0: Input tag 'thinking' {TAG} "
        "'document', 'image', 'search_result', 'text', 'tool_reference', 'browser_state'",
    ),
    Row(
        blocks(PNG | {"source": {"type": "base64", "media_type": "image/bmp", "data": "a"}}),
        "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' "
        "or 'image/webp'",
    ),
    Row(
        blocks(PNG | {"source": {"type": "s3"}}),
        f"messages.0.content.0.image.source: Input tag 's3' {TAG} 'base64', 'url', 'file'",
    ),
    Row(
        blocks(PDF | {"source": {"type": "base64", "media_type": "text/html", "data": "a"}}),
        "messages.0.content.0.document.source.base64.media_type: Input should be 'application/pdf'",
    ),
    Row(
        says(user("Hi"), assistant([call("a b")])),
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    Row(
        says(user("Hi"), assistant([text(), call(name="n" * 201)])),
        "messages.1.content.1.tool_use.name: String should have at most 200 characters",
    ),
    Row(
        says(user("Hi"), assistant([server_call("toolu_1")])),
        "messages.1.content.0.server_tool_use.id: String should match pattern '^srvtoolu_[a-zA-Z0-9_]+$'",
    ),
    Row(body(cache_control={"type": "forever"}), f"cache_control: Input tag 'forever' {TAG} 'ephemeral'"),
    Row(
        body(cache_control={"type": "ephemeral", "ttl": "2h"}),
        "cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
    ),
    Row(body(tools=[tool("")]), "tools.0.custom.name: String should have at least 1 character"),
    Row(body(tools=[tool("a b")]), "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
    Row(body(tools=[tool("n" * 129)]), "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
    Row(body(tools=[{"type": "web_search_2024"}]), f"tools.0: Input tag 'web_search_2024' {TAG} {TOOL_TAGS}"),
    Row(body(tools=[{"type": "bash_20250124", "name": "sh"}]), "tools.0.bash_20250124.name: Input should be 'bash'"),
    Row(
        body(tools=[tool(input_schema={"type": "array"})]), "tools.0.custom.input_schema.type: Input should be 'object'"
    ),
    Row(
        body(tools=[tool(input_schema={"type": "object", "properties": {"a b": {}}})]),
        "tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'",
    ),
    Row(body(tools=[tool(), tool()]), "tools: Tool names must be unique."),
    Row(body(tools=[tool("bash"), {"type": "bash_20250124", "name": "bash"}]), "tools: Tool names must be unique."),
    Row(
        body(tools=[tool(defer_loading=True)]),
        "At least one tool must have defer_loading=false. All tools cannot be deferred.",
    ),
    Row(body(tools=[tool(strict=True)]), f"tools.0.custom: {CLOSED}"),
    Row(body(tools=[tool(strict=True, input_schema=NESTED_OPEN)]), f"tools.0.custom: {CLOSED}"),
    Row(
        body(tools=[SEARCH | {"allowed_domains": ["a.example"], "blocked_domains": ["b.example"]}]),
        "tools.0.web_search_20250305: Only one of allowed_domains and blocked_domains may be set",
    ),
    Row(body(tools=[FETCH | {"max_uses": 0}]), "tools.0.web_fetch_20250910.max_uses: Input should be greater than 0"),
    Row(
        body(tools=[COMPUTER | {"display_width_px": 0}]),
        "tools.0.computer_20250124.display_width_px: Input should be greater than or equal to 1",
    ),
    Row(
        body(tools=[{"type": "browser_toolset_20260801", "configs": {"fly": {}}}]),
        f"tools.0.browser_toolset_20260801.configs.fly: {EXTRA}",
    ),
    Row(
        body(tools=[{"type": "mcp_toolset", "mcp_server_name": "files"}]),
        "tools.0.mcp_toolset.mcp_server_name: 'files' not found in mcp_servers",
    ),
    Row(body(tool_choice={"type": "some"}), f"tool_choice: Input tag 'some' {TAG} 'any', 'auto', 'none', 'tool'"),
    Row(body(tool_choice={"type": "any"}), "tool_choice.any may only be specified while providing tools"),
    Row(
        body(tool_choice={"type": "tool", "name": "x"}, tools=[]),
        "tool_choice.tool may only be specified while providing tools",
    ),
    Row(body(tools=[tool()], tool_choice={"type": "tool", "name": "x"}), "Tool 'x' not found in provided tools"),
    Row(
        body(thinking={"type": "on"}),
        f"thinking: Input tag 'on' {TAG} 'adaptive', 'between_tools', 'disabled', 'enabled'",
    ),
    Row(
        body(thinking=THINK | {"budget_tokens": 1023}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    Row(
        body(thinking={"type": "adaptive", "display": "all"}),
        "thinking.adaptive.display: Input should be 'summarized', 'omitted' or 'updates'",
    ),
    Row(body(output_config={"effort": "huge"}), f"output_config.effort: Input should be {EFFORTS}"),
    Row(body(output_config=STRICT_FORMAT), f"output_config.format.schema: {CLOSED}"),
    Row(
        body(output_config={"task_budget": {"type": "tokens", "total": 10}}),
        "output_config.task_budget.total: Input should be greater than or equal to 20000",
    ),
    Row(
        body(context_management={"edits": [{"type": "forget"}]}),
        f"context_management.edits.0: Input tag 'forget' {TAG} 'clear_tool_uses_20250919', 'clear_thinking_20251015', "
        "'compact_20260112'",
    ),
    Row(
        body(
            context_management={
                "edits": [{"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 1}}]
            }
        ),
        "context_management.edits.0.compact_20260112.trigger.value: Input should be greater than or equal to 50000",
    ),
    Row(
        body(container={"skills": [{"type": "custom", "skill_id": "s"}] * 21}),
        "container.skills: List should have at most 20 items after validation, not 21",
    ),
    Row(
        body(tools=[tool(input_schema=SCHEMA | {"required": "city"})]),
        "tools.0.custom.input_schema: JSON schema is invalid. `required` must be an array of strings.",
    ),
    complete(completion(max_tokens_to_sample=0), "max_tokens_to_sample: Input should be greater than or equal to 1"),
    complete(
        completion(prompt="Hi\n\nAssistant:"),
        'prompt must start with "\n\nHuman:" turn after an optional system prompt',
    ),
    complete(completion(prompt="Hi"), 'prompt must start with "\n\nHuman:" turn after an optional system prompt'),
    complete(completion(prompt="\n\nHuman: Hi"), 'prompt must end with "\n\nAssistant:" turn'),
    complete(completion(prompt=""), "prompt: String should have at least 1 character"),
    complete(completion(temperature=2), "temperature: range: 0..1"),
]

UNKNOWN = [
    strict(body(bogus=1), f"bogus: {EXTRA}"),
    strict(body(metadata={"bogus": 1}), f"metadata.bogus: {EXTRA}"),
    strict(says(user("Hi") | {"name": "Bob"}), f"messages.0.name: {EXTRA}"),
    strict(blocks(text(), text(bogus=1)), f"messages.0.content.1.text.bogus: {EXTRA}"),
    strict(blocks(result(content=[text(bogus=1)])), f"messages.0.content.0.tool_result.content.0.text.bogus: {EXTRA}"),
    strict(blocks(PNG | {"alt": "a"}), f"messages.0.content.0.image.alt: {EXTRA}"),
    strict(body(tools=[tool(bogus=1)]), f"tools.0.custom.bogus: {EXTRA}"),
    strict(body(tools=[FETCH | {"use_cache": True}]), f"tools.0.web_fetch_20250910.use_cache: {EXTRA}"),
    strict(body(system=[text(bogus=1)]), f"system.0.bogus: {EXTRA}"),
    strict(
        body(system=[text(cache_control=FIVE_MINUTES | {"scope": "x"})]),
        f"system.0.cache_control.ephemeral.scope: {EXTRA}",
    ),
    strict(body(thinking={"type": "disabled", "display": "omitted"}), f"thinking.disabled.display: {EXTRA}"),
    strict(
        body(tool_choice={"type": "none", "disable_parallel_tool_use": True}),
        f"tool_choice.none.disable_parallel_tool_use: {EXTRA}",
    ),
    strict(
        says(user("Hi"), assistant([thought() | {"cache_control": FIVE_MINUTES}])),
        f"messages.1.content.0.thinking.cache_control: {EXTRA}",
    ),
    strict(body(output_config={"bogus": 1}), f"output_config.bogus: {EXTRA}"),
    strict({"<scalar>": 1} | body(), f"<scalar>: {EXTRA}"),
    strict(body(n="k" * 200, **{"k" * 200: 1}), f"n: {EXTRA}"),
    strict(body(**{"k" * 200: 1}), "k" * 100 + f"…: {EXTRA}"),
    count(body(), f"max_tokens: {EXTRA}", strict=True),
    complete(completion(system="a"), f"system: {EXTRA}", strict=True),
    Row(says(user("Hi") | {"clear_at": "never"}), f"messages.0.clear_at: {EXTRA}"),
]

NEWER_VERSION = [
    new(body(temperature=1), f"temperature: {EXTRA}"),
    new(body(temperature="hot"), f"temperature: {EXTRA}"),
    new(body(top_p=1), f"top_p: {EXTRA}"),
    new(body(top_k=1), f"top_k: {EXTRA}"),
    new(body(temperature=1), f"temperature: {EXTRA}", strict=True),
    new(body(temperature=1, stream="x"), "stream: Input should be a valid boolean"),
    count(body(temperature=1), f"temperature: {EXTRA}", version=NEW),
    new(
        says(user("Hi"), assistant([document()])),
        "messages.1.content.0: `document` blocks can only be in `user` messages",
    ),
    new(blocks(text(citations=[CITED])), f"messages.0.content.0.text.citations: {EXTRA}"),
    new(
        blocks(search_result(content=[text(citations=[CITED])])),
        f"messages.0.content.0.search_result.content.0.citations: {EXTRA}",
    ),
]

CONVERSATION = [
    Row(says(assistant("Hi")), 'messages: first message must use the "user" role'),
    Row(says(user([])), "messages.0: user messages must have non-empty content"),
    Row(says(user("")), "messages.0: user messages must have non-empty content"),
    Row(
        says(user("Hi"), assistant("Yes"), user([]), user("")), "messages.2: user messages must have non-empty content"
    ),
    Row(blocks(text("")), "messages: text content blocks must be non-empty"),
    Row(blocks(text(" \n")), "messages: text content blocks must contain non-whitespace text"),
    Row(says(user("  ")), "messages: text content blocks must contain non-whitespace text"),
    Row(says(user("Hi"), assistant([text("")]), user("a")), "messages: text content blocks must be non-empty"),
    Row(body(system=[text("")]), "system: text content blocks must be non-empty"),
    Row(body(system=[text("\t")]), "system: text content blocks must contain non-whitespace text"),
    Row(body(system=" "), "system: text content blocks must contain non-whitespace text"),
    Row(says(user("Hi"), assistant("Yes ")), "messages: final assistant content cannot end with trailing whitespace"),
    Row(
        says(user("Hi"), assistant([text("Yes\n")])),
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    Row(says(system("Be kind"), user("Hi")), f"messages.0: {FIRST_SYSTEM}"),
    Row(
        says(user("a"), system("b"), user("c")),
        "messages.1: role 'system' must precede an 'assistant' message or end the array",
    ),
    Row(
        says(user("a"), system("b"), system("c"), user("d")),
        "messages.2: role 'system' must precede an 'assistant' message or end the array",
    ),
    Row(says(user("a"), system([])), "messages.1: system content must contain at least one block"),
    Row(says(user("a"), {"role": "system"}), "messages.1: system content must contain at least one block"),
    Row(says(user("a"), system([PNG])), "messages.1.content.0: `image` blocks can only be in `user` messages"),
    Row(
        says(user("a"), system([text(cache_control=FIVE_MINUTES)])), f"messages.1.content.0.text.cache_control: {EXTRA}"
    ),
    Row(says(user("a"), assistant([PNG])), "messages.1.content.0: `image` blocks can only be in `user` messages"),
    Row(
        says(user("a"), assistant([result()])),
        "messages.1.content.0: `tool_result` blocks can only be in `user` messages",
    ),
    Row(blocks(call()), "messages.0.content.0: `tool_use` blocks can only be in `assistant` messages"),
    Row(blocks(text(), thought()), "messages.0.content.1: `thinking` blocks can only be in `assistant` messages"),
    Row(
        blocks(document(), document(**CITATIONS_ON)),
        "messages: citations must be enabled on all or none of the documents within a request",
    ),
    Row(
        blocks(search_result(), search_result(**CITATIONS_ON)),
        "messages: citations must be enabled on all or none of the search results within a request",
    ),
    Row(
        blocks(document(**CITATIONS_ON), output_config=FORMAT),
        "output_config.format: citations may not be enabled with a format",
    ),
    Row(
        says(user("a"), assistant("{"), output_config=FORMAT),
        "output_config.format: the conversation may not end with an assistant message with a format",
    ),
]

PAIRS = [
    Row(
        says(*ASKED, user([result("toolu_9")])),
        f"messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_9. {ORPHAN}",
    ),
    Row(
        blocks(text(), result("x")),
        f"messages.0.content.1: unexpected `tool_use_id` found in `tool_result` blocks: x. {ORPHAN}",
    ),
    Row(
        says(*ASKED, user([result()]), assistant("ok"), user([result()])),
        f"messages.4.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. {ORPHAN}",
    ),
    Row(
        says(*ASKED),
        f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. {MISSING}",
    ),
    Row(
        says(*ASKED, user("No")),
        f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. {MISSING}",
    ),
    Row(
        says(*ASKED, user([text(), result()])),
        f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. {MISSING}",
    ),
    Row(
        says(user("Hi"), assistant([call("a"), call("b"), call("c")]), user([result("b")])),
        f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a, c. {MISSING}",
    ),
    Row(
        says(user("Hi"), assistant("a"), assistant([call("b")]), user("c")),
        f"messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: b. {MISSING}",
    ),
    Row(
        says(*ASKED, user([result(), result()])),
        f"messages.2.content.1: {TWICE} toolu_1",
    ),
    Row(
        says(*ASKED, user([result()]), user([text(), result()])),
        f"messages.3.content.1: {TWICE} toolu_1",
    ),
    Row(says(user("a"), assistant([call(), call()])), "messages.1.content.1: `tool_use` ids must be unique"),
    Row(
        says(*SEARCHED),
        "`web_search` tool use with id `srvtoolu_1` was found without a corresponding `web_search_tool_result` block",
    ),
    Row(
        says(user("a"), assistant([search_answer()]), user("b")),
        "messages.1.content.0: unexpected `tool_use_id` found in `web_search_tool_result` blocks: srvtoolu_1. "
        "Each `web_search_tool_result` block must have a corresponding `server_tool_use` block before it.",
    ),
    Row(
        says(user("a"), assistant([{"type": "mcp_tool_result", "tool_use_id": "m"}])),
        "messages.1.content.0: unexpected `tool_use_id` found in `mcp_tool_result` blocks: m. "
        "Each `mcp_tool_result` block must have a corresponding `mcp_tool_use` block before it.",
    ),
    Row(
        says(*ASKED, user([result(content=[{"type": "tool_reference", "tool_name": "x"}])]), tools=[tool()]),
        "Tool reference 'x' not found in available tools",
    ),
    Row(says(*ASKED, user([result(content=[text("")])])), "messages: text content blocks must be non-empty"),
]

CACHE = [
    Row(
        blocks(*[text(cache_control=FIVE_MINUTES)] * 5),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    Row(
        blocks(
            *[text(cache_control=FIVE_MINUTES)] * 2,
            tools=[tool(cache_control=FIVE_MINUTES)],
            system=[text(cache_control=FIVE_MINUTES)],
            cache_control=FIVE_MINUTES,
        ),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    Row(
        blocks(text(cache_control=ONE_HOUR), system=[text(cache_control=FIVE_MINUTES)]),
        f"messages.0.content.0.cache_control.ttl: {ORDER}",
    ),
    Row(
        body(system=[text(cache_control=ONE_HOUR)], tools=[tool(cache_control=FIVE_MINUTES)]),
        f"system.0.cache_control.ttl: {ORDER}",
    ),
    Row(
        says(*ASKED, user([result(content=[text(cache_control=ONE_HOUR)])]), system=[text(cache_control=FIVE_MINUTES)]),
        f"messages.2.content.0.tool_result.content.0.cache_control.ttl: {ORDER}",
    ),
    Row(blocks(text(cache_control=FIVE_MINUTES), cache_control=ONE_HOUR), f"cache_control.ttl: {ORDER}"),
    Row(
        blocks(text(), text("", cache_control=FIVE_MINUTES)),
        "messages.0.content.1.text: cache_control cannot be set for empty text blocks",
    ),
    Row(
        body(system=[text("", cache_control=FIVE_MINUTES)]),
        "system.0: cache_control cannot be set for empty text blocks",
    ),
]

TOGETHER = [
    Row(
        body(thinking=THINK, max_tokens=1024),
        f"`max_tokens` must be greater than `thinking.budget_tokens`. {DOCS}#max-tokens-and-context-window-size",
    ),
    Row(
        body(thinking=THINK, max_tokens=2048, temperature=0.5),
        f"`temperature` may only be set to 1 when thinking is enabled. {IMPORTANT}",
    ),
    Row(
        body(thinking={"type": "adaptive"}, temperature=0),
        f"`temperature` may only be set to 1 when thinking is enabled. {IMPORTANT}",
    ),
    Row(
        body(thinking=THINK, max_tokens=2048, top_p=0.5),
        f"`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. {IMPORTANT}",
    ),
    Row(
        body(thinking=THINK, max_tokens=2048, top_k=5),
        f"`top_k` must be unset when thinking is enabled. {IMPORTANT}",
    ),
    Row(
        body(thinking=THINK, max_tokens=2048, tools=[tool()], tool_choice={"type": "any"}),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    Row(
        says(user("Hi"), assistant("Yes,"), thinking=THINK, max_tokens=2048),
        f"messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`. {LOOP}",
    ),
    Row(
        says(*ASKED, user([result()]), thinking=THINK, max_tokens=2048, tools=[tool()]),
        f"messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. {LOOP}",
    ),
    Row(
        says(user("Hi"), assistant([thought(), text("Yes,")]), thinking=THINK, max_tokens=2048),
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    Row(body(max_tokens=0, stream=True), "max_tokens: 0 may not be combined with stream: true"),
    Row(body(max_tokens=0, thinking=THINK), 'max_tokens: 0 may not be combined with thinking.type "enabled"'),
    Row(body(max_tokens=0, output_config=FORMAT), "max_tokens: 0 may not be combined with output_config.format"),
    Row(
        body(max_tokens=0, tools=[tool()], tool_choice={"type": "any"}),
        "max_tokens: 0 may not be combined with tool_choice that forces tool use",
    ),
    Row(
        body(container="c_1"), "container: Container identifier can only be provided when using the code execution tool"
    ),
    Row(
        body(container={"id": "c_1"}, tools=[tool()]),
        "container: Container identifier can only be provided when using the code execution tool",
    ),
    Row(
        blocks({"type": "container_upload", "file_id": "file_1"}),
        "messages.0.content.0: `container_upload` blocks can only be provided when using the code execution tool",
    ),
]

ONE_OF_MANY = [
    Row({"bogus": 1, "top_p": 5}, "model: Field required"),
    Row(body(tool_choice=5, tools=5), "tool_choice: Input should be an object"),
    Row(body(tools=5, messages=5), "tools: Input should be a valid array"),
    Row(body(messages=5, system=5), "messages: Input should be a valid array"),
    Row(body(system=5, thinking=5), "system: Input should be a valid array"),
    Row(body(thinking=5, output_config=5), "thinking: Input should be an object"),
    Row(body(output_config=5, cache_control=5), "output_config: Input does not match the expected shape."),
    Row(body(cache_control=5, max_tokens="x"), "cache_control: Input should be an object"),
    Row(body(max_tokens="x", metadata=5), "max_tokens: Input should be a valid integer"),
    Row(body(metadata=5, stop_sequences=5), "metadata: Input should be an object"),
    Row(body(stop_sequences=5, temperature=5), "stop_sequences: Input should be a valid array"),
    Row(body(temperature=5, service_tier=5), "temperature: range: 0..1"),
    Row(body(service_tier="x", top_k="x"), "service_tier: Input should be 'auto' or 'standard_only'"),
    Row(body(top_k="x", top_p="x"), "top_k: Input should be a valid integer"),
    Row(body(top_p="x", stream="x"), "top_p: Input should be a valid number"),
    Row(body(stream="x", container=5), "stream: Input should be a valid boolean"),
    Row(body(container=5, inference_geo="x"), "container: Input should be an object"),
    strict(body(inference_geo="x", bogus=1), "inference_geo: must be one of ['global', 'us']"),
    strict(says(assistant("a"), bogus=1), f"bogus: {EXTRA}"),
    Row(says(user([]), container="c"), "messages.0: user messages must have non-empty content"),
    Row(
        says({"role": "tool"}, {"content": 5}),
        'messages: Unexpected role "tool". Allowed roles are "user" or "assistant"',
    ),
    Row(says(user("a"), assistant(5), user(None)), "messages.1.content: Input should be a valid array"),
]

TABLE = [
    *NOT_A_REQUEST,
    *REQUIRED,
    *TYPES,
    *FREE_JSON,
    *VALUES,
    *UNKNOWN,
    *NEWER_VERSION,
    *CONVERSATION,
    *PAIRS,
    *CACHE,
    *TOGETHER,
    *ONE_OF_MANY,
]


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) >= 170


@pytest.mark.parametrize("row", TABLE, ids=[f"{number}-{row.message[:60]}" for number, row in enumerate(TABLE)])
def test_the_api_says(row: Row) -> None:
    with pytest.raises(ApiError) as caught:
        PARSERS[row.parser](encode(row.body), row.version, strict=row.strict)
    error = caught.value
    assert (error.kind.status, error.kind.type, error.message) == (400, "invalid_request_error", row.message)
