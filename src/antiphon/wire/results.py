"""Server tools in the history: what the model called and what it was answered (Messages API, "Content blocks").

Clients send these back as they got them, so unknown `error_code`s are let through: a session may come from elsewhere.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from antiphon.wire.content import (
    Cacheable,
    Caller,
    DocumentBlock,
    Id,
    ServerId,
    TextBlock,
    ToolReferenceBlock,
    ToolUseName,
    Uncacheable,
)
from antiphon.wire.fields import COMPOUND, SCALAR, Bool, Int, Items, JsonObject, Omittable, ScalarText, WireModel

ServerToolName = Literal[
    "web_search",
    "web_fetch",
    "code_execution",
    "bash_code_execution",
    "text_editor_code_execution",
    "tool_search_tool_regex",
    "tool_search_tool_bm25",
    "advisor",
]


class ServerToolUseBlock(Cacheable):
    type: Literal["server_tool_use"]
    id: ServerId
    name: ServerToolName
    input: JsonObject
    caller: Omittable[Caller] = None


class ToolError(WireModel):
    """What every server tool answers when it failed."""

    error_code: str
    error_message: str | None = None


class WebSearchError(ToolError):
    type: Literal["web_search_tool_result_error"]


class WebSearchResult(WireModel):
    type: Literal["web_search_result"]
    url: str
    title: str
    encrypted_content: str
    page_age: str | None = None


def _list_or_object(value: Any) -> str:
    return COMPOUND if type(value) is list else SCALAR + "object"


class WebSearchToolResultBlock(Cacheable):
    type: Literal["web_search_tool_result"]
    tool_use_id: ServerId
    content: Annotated[
        Annotated[Items[WebSearchResult], Tag(COMPOUND)] | Annotated[WebSearchError, Tag(SCALAR + "object")],
        Discriminator(_list_or_object),
    ]
    caller: Omittable[Caller] = None


class WebFetchError(ToolError):
    type: Literal["web_fetch_tool_result_error"]


class WebFetchResult(WireModel):
    type: Literal["web_fetch_result"]
    url: str
    content: DocumentBlock
    retrieved_at: str | None = None


class WebFetchToolResultBlock(Cacheable):
    type: Literal["web_fetch_tool_result"]
    tool_use_id: ServerId
    content: Annotated[WebFetchResult | WebFetchError, Field(discriminator="type")]
    caller: Omittable[Caller] = None


class CodeExecutionError(ToolError):
    type: Literal["code_execution_tool_result_error"]


class CodeExecutionOutput(WireModel):
    type: Literal["code_execution_output"]
    file_id: str


class CodeExecutionResult(WireModel):
    type: Literal["code_execution_result"]
    stdout: str
    stderr: str
    return_code: Int
    content: Items[CodeExecutionOutput]


class EncryptedCodeExecutionResult(WireModel):
    type: Literal["encrypted_code_execution_result"]
    encrypted_stdout: str
    stderr: str
    return_code: Int
    content: Items[CodeExecutionOutput]


class CodeExecutionToolResultBlock(Cacheable):
    type: Literal["code_execution_tool_result"]
    tool_use_id: ServerId
    content: Annotated[
        CodeExecutionResult | EncryptedCodeExecutionResult | CodeExecutionError,
        Field(discriminator="type"),
    ]


class BashCodeExecutionError(ToolError):
    type: Literal["bash_code_execution_tool_result_error"]


class BashCodeExecutionOutput(WireModel):
    type: Literal["bash_code_execution_output"]
    file_id: str


class BashCodeExecutionResult(WireModel):
    type: Literal["bash_code_execution_result"]
    stdout: str
    stderr: str
    return_code: Int
    content: Items[BashCodeExecutionOutput]


class BashCodeExecutionToolResultBlock(Cacheable):
    type: Literal["bash_code_execution_tool_result"]
    tool_use_id: ServerId
    content: Annotated[BashCodeExecutionResult | BashCodeExecutionError, Field(discriminator="type")]


class TextEditorError(ToolError):
    type: Literal["text_editor_code_execution_tool_result_error"]


class TextEditorView(WireModel):
    type: Literal["text_editor_code_execution_view_result"]
    file_type: Literal["text", "image", "pdf"]
    content: str
    num_lines: Int | None = None
    start_line: Int | None = None
    total_lines: Int | None = None


class TextEditorCreate(WireModel):
    type: Literal["text_editor_code_execution_create_result"]
    is_file_update: Bool


class TextEditorReplace(WireModel):
    type: Literal["text_editor_code_execution_str_replace_result"]
    old_start: Int | None = None
    old_lines: Int | None = None
    new_start: Int | None = None
    new_lines: Int | None = None
    lines: Items[str] | None = None


class TextEditorCodeExecutionToolResultBlock(Cacheable):
    type: Literal["text_editor_code_execution_tool_result"]
    tool_use_id: ServerId
    content: Annotated[
        TextEditorView | TextEditorCreate | TextEditorReplace | TextEditorError,
        Field(discriminator="type"),
    ]


class ToolSearchError(ToolError):
    type: Literal["tool_search_tool_result_error"]


class ToolSearchResult(WireModel):
    type: Literal["tool_search_tool_search_result"]
    tool_references: Items[ToolReferenceBlock]


class ToolSearchToolResultBlock(Cacheable):
    type: Literal["tool_search_tool_result"]
    tool_use_id: ServerId
    content: Annotated[ToolSearchResult | ToolSearchError, Field(discriminator="type")]


class AdvisorError(ToolError):
    type: Literal["advisor_tool_result_error"]


class AdvisorResult(WireModel):
    type: Literal["advisor_result"]
    text: str
    stop_reason: str | None = None


class AdvisorRedactedResult(WireModel):
    type: Literal["advisor_redacted_result"]
    encrypted_content: str
    stop_reason: str | None = None


class AdvisorToolResultBlock(Cacheable):
    type: Literal["advisor_tool_result"]
    tool_use_id: ServerId
    content: Annotated[AdvisorResult | AdvisorRedactedResult | AdvisorError, Field(discriminator="type")]


class McpToolUseBlock(Cacheable):
    type: Literal["mcp_tool_use"]
    id: Id
    name: ToolUseName
    server_name: str
    input: JsonObject


class McpToolResultBlock(Cacheable):
    type: Literal["mcp_tool_result"]
    tool_use_id: Id
    content: Annotated[
        ScalarText | Annotated[Items[TextBlock], Tag(COMPOUND)],
        Field(union_mode="left_to_right"),
    ] = ""
    is_error: Omittable[Bool] = None


class McpTool(WireModel):
    name: str
    input_schema: JsonObject
    description: str | None = None


class McpToolListingBlock(Uncacheable):
    type: Literal["mcp_tool_listing"]
    mcp_server_name: str
    tools: Items[McpTool]
