"""The bodies of `POST /v1/messages`, `/v1/messages/count_tokens` and `/v1/complete`.

Fields are declared in the order in which the API checks them: pydantic reports errors in that order, and the first is
the one that the client is told. An attribute is None when its key was absent.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Tag

from antiphon.wire.content import CacheControl, TextBlock
from antiphon.wire.conversation import Turn, merge_turns
from antiphon.wire.fields import (
    COMPOUND,
    Bool,
    Int,
    Items,
    NonEmpty,
    Number,
    Omittable,
    ScalarText,
    Shaped,
    WireModel,
    problem,
)
from antiphon.wire.media import Place, places_of
from antiphon.wire.message import Messages
from antiphon.wire.options import (
    BillingPolicy,
    Compaction,
    Container,
    ContextManagement,
    Diagnostics,
    FallbackCreditToken,
    Fallbacks,
    JsonSchemaFormat,
    McpServer,
    Metadata,
    ShapedOutputConfig,
    Speed,
    Thinking,
    Thread,
)
from antiphon.wire.tools import ToolChoice, Tools

SystemBlocks = Annotated[Items[Annotated[TextBlock, Shaped()]], Tag(COMPOUND)]
System = Annotated[ScalarText | SystemBlocks, Field(union_mode="left_to_right")]
Model = Annotated[str, Field(min_length=1, max_length=256)]
Share = Annotated[Number, Field(ge=0, le=1)]

MAX_STOP_CHARS = 8191
"""Each character becomes a node of the automaton that looks for the sequences."""


def _check_stop_sequences(sequences: list[str]) -> list[str]:
    if not all(sequence.strip() for sequence in sequences):
        raise problem("each stop sequence must contain non-whitespace")
    if sum(map(len, sequences)) > MAX_STOP_CHARS:
        raise problem(f"at most {MAX_STOP_CHARS} characters in all are supported")
    return sequences


StopSequences = Annotated[Items[str], AfterValidator(_check_stop_sequences)]


_PLAIN = frozenset(
    "model messages system max_tokens metadata stop_sequences stream temperature top_k top_p".split(),
)
"""Fields that bring no tools, no thinking, no format and nothing to keep."""


class PromptRequest(WireModel):
    """What decides the prompt: the fields that creating a message and counting its tokens share."""

    model: Model
    tool_choice: Omittable[ToolChoice] = None
    tools: Omittable[Tools] = None
    messages: Messages
    system: Omittable[System] = None
    thinking: Omittable[Thinking] = None
    output_config: Omittable[ShapedOutputConfig] = None
    cache_control: CacheControl | None = None
    speed: Speed | None = None
    output_format: JsonSchemaFormat | None = None
    context_management: ContextManagement | None = None
    mcp_servers: Omittable[Items[McpServer]] = None
    compaction: Compaction | None = None
    billing_policy: BillingPolicy | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it asks for nothing but text. Most do, and then most rules have nothing to look at."""
        return self.model_fields_set <= _PLAIN

    @cached_property
    def turns(self) -> Sequence[Turn]:
        """`messages`, merged. A long conversation takes a while, so it is done once."""
        return merge_turns(self.messages)

    @cached_property
    def places(self) -> Sequence[Place]:
        """The pictures and documents that have to be read. A copy with fewer of them may still tell all."""
        return places_of(self.turns)


class CountRequest(PromptRequest):
    """`POST /v1/messages/count_tokens` (Messages API, "Count tokens")."""


class MessageRequest(PromptRequest):
    """`POST /v1/messages` (Messages API, "Create a message"). Sampling fields are None under 2026-10-21."""

    max_tokens: Annotated[Int, Field(ge=0)]
    metadata: Omittable[Metadata] = None
    stop_sequences: Omittable[StopSequences] = None
    temperature: Omittable[Share] = None
    service_tier: Omittable[Literal["auto", "standard_only"]] = None
    top_k: Omittable[Annotated[Int, Field(ge=0)]] = None
    top_p: Omittable[Share] = None
    stream: Omittable[Bool] = None
    container: Container | None = None
    inference_geo: Literal["global", "us"] | None = None
    diagnostics: Diagnostics | None = None
    fallbacks: Fallbacks | None = None
    fallback_credit_token: FallbackCreditToken | None = None
    thread: Thread | None = None


class CompleteRequest(WireModel):
    """`POST /v1/complete` (Text Completions, legacy)."""

    model: Model
    prompt: NonEmpty
    max_tokens_to_sample: Annotated[Int, Field(ge=1)]
    metadata: Omittable[Metadata] = None
    stop_sequences: Omittable[StopSequences] = None
    temperature: Omittable[Share] = None
    top_k: Omittable[Annotated[Int, Field(ge=0)]] = None
    top_p: Omittable[Share] = None
    stream: Omittable[Bool] = None
