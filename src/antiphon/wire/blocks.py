"""Which content blocks may stand in a message (Messages API, "Content blocks")."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from antiphon.wire.content import (
    Cacheable,
    ContainerUploadBlock,
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Uncacheable,
)
from antiphon.wire.fields import COMPOUND, Items, Json, ScalarText, WireModel
from antiphon.wire.results import (
    AdvisorToolResultBlock,
    BashCodeExecutionToolResultBlock,
    CodeExecutionToolResultBlock,
    McpToolListingBlock,
    McpToolResultBlock,
    McpToolUseBlock,
    ServerToolUseBlock,
    TextEditorCodeExecutionToolResultBlock,
    ToolSearchToolResultBlock,
    WebFetchToolResultBlock,
    WebSearchToolResultBlock,
)
from antiphon.wire.tools import Tool


class ToolReference(WireModel):
    type: Literal["tool_reference"]
    name: str


class McpToolReference(WireModel):
    type: Literal["mcp_tool_reference"]
    server_name: str
    name: str


class McpToolsetReference(WireModel):
    type: Literal["mcp_toolset_reference"]
    server_name: str


class ToolDefinition(WireModel):
    type: Literal["tool_definition"]
    definition: Tool


class ToolAdditionBlock(Cacheable):
    type: Literal["tool_addition"]
    tool: Annotated[
        ToolReference | McpToolReference | McpToolsetReference | ToolDefinition,
        Field(discriminator="type"),
    ]


class ToolRemovalBlock(Cacheable):
    type: Literal["tool_removal"]
    tool: Annotated[ToolReference | McpToolReference | McpToolsetReference, Field(discriminator="type")]


ToolChange = Annotated[ToolAdditionBlock | ToolRemovalBlock, Field(discriminator="type")]


class CompactionBlock(Cacheable):
    type: Literal["compaction"]
    content: str | None = None
    encrypted_content: str | None = None
    signature: str | None = None
    tool_changes: Items[ToolChange] | None = None


class FallbackModel(WireModel):
    model: str


class FallbackBlock(Uncacheable):
    type: Literal["fallback"]
    from_: Annotated[FallbackModel | None, Field(alias="from")] = None
    to: FallbackModel
    trigger: Json = None


Block = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ServerToolUseBlock
    | WebSearchToolResultBlock
    | WebFetchToolResultBlock
    | CodeExecutionToolResultBlock
    | BashCodeExecutionToolResultBlock
    | TextEditorCodeExecutionToolResultBlock
    | ToolSearchToolResultBlock
    | ContainerUploadBlock
    | McpToolUseBlock
    | McpToolResultBlock
    | McpToolListingBlock
    | CompactionBlock
    | FallbackBlock
    | AdvisorToolResultBlock
    | ToolAdditionBlock
    | ToolRemovalBlock
)
"""Any block of a message, whatever its role; `conversation.py` says which role may hold which."""

TaggedBlock = Annotated[Block, Field(discriminator="type")]
Blocks = Annotated[Items[TaggedBlock], Tag(COMPOUND)]
Content = Annotated[ScalarText | Blocks, Field(union_mode="left_to_right")]
