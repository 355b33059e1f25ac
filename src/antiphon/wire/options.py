"""The request's smaller objects: thinking, output, context management, servers, containers (Messages API, "Body")."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from antiphon.wire.fields import (
    COMPOUND,
    SCALAR,
    Bool,
    Int,
    Items,
    JsonObject,
    NonEmpty,
    Omittable,
    ScalarText,
    Shaped,
    WireModel,
)

Display = Literal["summarized", "omitted", "updates"]
Effort = Literal["low", "medium", "high", "xhigh", "max"]
Speed = Literal["standard", "fast"]


class BlockBinding(WireModel):
    prefix_mismatch_behavior: Literal["error", "drop_block"] | None = None


class ThinkingAdaptive(WireModel):
    type: Literal["adaptive"]
    display: Display | None = None
    block_binding: BlockBinding | None = None


class ThinkingBetweenTools(WireModel):
    type: Literal["between_tools"]


class ThinkingDisabled(WireModel):
    type: Literal["disabled"]


class ThinkingEnabled(WireModel):
    type: Literal["enabled"]
    budget_tokens: Annotated[Int, Field(ge=1024)]
    display: Display | None = None
    block_binding: BlockBinding | None = None


Thinking = Annotated[
    ThinkingAdaptive | ThinkingBetweenTools | ThinkingDisabled | ThinkingEnabled,
    Field(discriminator="type"),
]


class JsonSchemaFormat(WireModel):
    """The reply's text must be one JSON document. The wire's `schema` is `schema_` here: pydantic owns that name."""

    type: Literal["json_schema"]
    schema_: Annotated[JsonObject, Field(alias="schema")]


class TaskBudget(WireModel):
    type: Literal["tokens"]
    total: Annotated[Int, Field(ge=20_000)]
    remaining: Annotated[Int, Field(ge=0)] | None = None


class OutputConfig(WireModel):
    effort: Effort | None = None
    format: JsonSchemaFormat | None = None
    task_budget: TaskBudget | None = None


ShapedOutputConfig = Annotated[OutputConfig, Shaped()]


class MessageOutputConfig(WireModel):
    """The part of `output_config` that a system message inside the conversation may change."""

    effort: Effort | None = None


class Metadata(WireModel):
    user_id: str | None = None


class Skill(WireModel):
    type: Literal["anthropic", "custom"]
    skill_id: NonEmpty
    version: Omittable[str] = None


class ContainerSpec(WireModel):
    id: str | None = None
    skills: Annotated[Items[Skill], Field(max_length=20)] | None = None


Container = Annotated[
    ScalarText | Annotated[ContainerSpec, Tag(COMPOUND)],
    Field(union_mode="left_to_right"),
]


class Diagnostics(WireModel):
    previous_message_id: str | None = None


class InputTokensTrigger(WireModel):
    type: Literal["input_tokens"]
    value: Annotated[Int, Field(ge=1)]


class ToolUsesTrigger(WireModel):
    type: Literal["tool_uses"]
    value: Annotated[Int, Field(ge=1)]


class ToolUsesKeep(WireModel):
    type: Literal["tool_uses"]
    value: Annotated[Int, Field(ge=0)]


class ClearToolUses(WireModel):
    type: Literal["clear_tool_uses_20250919"]
    trigger: Omittable[Annotated[InputTokensTrigger | ToolUsesTrigger, Field(discriminator="type")]] = None
    keep: Omittable[ToolUsesKeep] = None
    clear_at_least: InputTokensTrigger | None = None
    exclude_tools: Items[str] | None = None
    clear_tool_inputs: Annotated[
        Annotated[Bool, Tag(SCALAR)] | Annotated[Items[str], Tag(COMPOUND)] | None,
        Field(union_mode="left_to_right"),
    ] = None


class ThinkingTurns(WireModel):
    type: Literal["thinking_turns"]
    value: Annotated[Int, Field(ge=1)]


class AllThinkingTurns(WireModel):
    type: Literal["all"]


KeptTurns = Annotated[ThinkingTurns | AllThinkingTurns, Field(discriminator="type")]


class ClearThinking(WireModel):
    type: Literal["clear_thinking_20251015"]
    keep: Omittable[
        Annotated[
            Annotated[Literal["all"], Tag(SCALAR)] | Annotated[KeptTurns, Tag(COMPOUND)],
            Field(union_mode="left_to_right"),
        ]
    ] = None


class CompactTrigger(WireModel):
    type: Literal["input_tokens"]
    value: Annotated[Int, Field(ge=50_000)]


class Compact(WireModel):
    type: Literal["compact_20260112"]
    trigger: CompactTrigger | None = None
    pause_after_compaction: Omittable[Bool] = None
    instructions: str | None = None


Edit = Annotated[ClearToolUses | ClearThinking | Compact, Field(discriminator="type")]


class ContextManagement(WireModel):
    edits: Omittable[Items[Edit]] = None


class McpServerTools(WireModel):
    """The older connector's way to choose a server's tools."""

    allowed_tools: Items[str] | None = None
    enabled: Bool | None = None


class McpServer(WireModel):
    type: Literal["url"]
    url: str
    name: str
    authorization_token: str | None = None
    tool_configuration: McpServerTools | None = None


class Compaction(WireModel):
    type: Literal["summarize"]
    instructions: str | None = None


class Fallback(WireModel):
    model: NonEmpty
    max_tokens: Annotated[Int, Field(ge=0)] | None = None
    output_config: OutputConfig | None = None
    speed: Speed | None = None
    thinking: Thinking | None = None


Fallbacks = Annotated[
    Annotated[Literal["default"], Tag(SCALAR)] | Annotated[Items[Fallback], Tag(COMPOUND)],
    Field(union_mode="left_to_right"),
]


class CreditToken(WireModel):
    token: str
    mode: Omittable[Literal["strict", "best_effort"]] = None


FallbackCreditToken = Annotated[
    ScalarText | Annotated[CreditToken, Tag(COMPOUND)],
    Field(union_mode="left_to_right"),
]


class ThreadCreate(WireModel):
    type: Literal["create"]


class ThreadContinue(WireModel):
    type: Literal["continue"]
    previous_message_id: str


Thread = Annotated[ThreadCreate | ThreadContinue, Field(discriminator="type")]


class BillingPolicy(WireModel):
    type: Literal["billing_policy"]
    bill_to: Omittable[Literal["self", "user_profile"]] = None
