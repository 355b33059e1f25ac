"""The events of a stream, as the whole server passes them on (Messages API, "Streaming").

They are produced only by `turn.assemble`, and written only by `encode`. An error in mid-stream is not an event here: it
is an `ApiError` that leaves the iterator, and each encoder knows how to write it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from antiphon.wire.fields import JsonObject

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]

ServiceTier = Literal["standard", "batch"]

_REQUESTS = {
    "web_search_tool_result": "web_search_requests",
    "web_fetch_tool_result": "web_fetch_requests",
    "tool_search_tool_result": "tool_search_requests",
}


class ServerToolUses:
    """How often the server has run its tools in a reply; a call that failed is none."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, result: Mapping[str, Any]) -> None:
        """Note a block with the result of a call."""
        content = result["content"]
        has_failed = isinstance(content, dict) and "error_code" in content
        if not has_failed and (name := _REQUESTS.get(result["type"])):
            self._counts[name] = self._counts.get(name, 0) + 1

    def as_json(self) -> dict[str, int] | None:
        """None where it has run none."""
        return dict.fromkeys(_REQUESTS.values(), 0) | self._counts if self._counts else None


@dataclass(slots=True)
class Usage:
    """Token counts. The prompt is the sum of `input_tokens`, `cache_creation` and `cache_read`; `cumulative` always."""

    input_tokens: int
    output_tokens: int
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    cache_read: int = 0
    thinking_tokens: int = 0
    """Those of the output that were thought, shown or not."""
    server_tool_uses: dict[str, int] | None = None
    service_tier: ServiceTier = "standard"

    def as_json(self) -> dict[str, Any]:
        """The `usage` object of a Message."""
        return {
            "input_tokens": self.input_tokens,
            "cache_creation_input_tokens": self.cache_creation_5m + self.cache_creation_1h,
            "cache_read_input_tokens": self.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.cache_creation_5m,
                "ephemeral_1h_input_tokens": self.cache_creation_1h,
            },
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"thinking_tokens": self.thinking_tokens},
            "server_tool_use": self.server_tool_uses,
            "service_tier": self.service_tier,
            "inference_geo": "not_available",
        }


@dataclass(slots=True)
class MessageStart:
    id: str
    model: str
    usage: Usage
    diagnostics: JsonObject | None = None


@dataclass(slots=True)
class BlockStart:
    """`block` is the content block as it is before its first delta."""

    index: int
    block: dict[str, Any]


@dataclass(slots=True)
class TextDelta:
    index: int
    text: str


@dataclass(slots=True)
class CitationsDelta:
    """One citation of the text of its block."""

    index: int
    citation: dict[str, Any]


@dataclass(slots=True)
class InputJsonDelta:
    """The next bit of the JSON text of a tool call's input."""

    index: int
    partial_json: str


@dataclass(slots=True)
class ThinkingDelta:
    index: int
    thinking: str


@dataclass(slots=True)
class SignatureDelta:
    """Once for each thinking block, before it stops."""

    index: int
    signature: str


@dataclass(slots=True)
class BlockStop:
    index: int


@dataclass(slots=True)
class MessageDelta:
    stop_reason: StopReason
    stop_sequence: str | None
    usage: Usage
    applied_edits: Sequence[JsonObject] | None = None


@dataclass(slots=True)
class MessageStop:
    pass


@dataclass(slots=True)
class Ping:
    pass


def context_of(applied_edits: Sequence[JsonObject] | None) -> dict[str, Any]:
    """The key `context_management` of a reply, for a client that has asked for edits."""
    return {} if applied_edits is None else {"context_management": {"applied_edits": list(applied_edits)}}


Delta = TextDelta | CitationsDelta | InputJsonDelta | ThinkingDelta | SignatureDelta
Event = MessageStart | BlockStart | Delta | BlockStop | MessageDelta | MessageStop | Ping


@dataclass(slots=True)
class Message:
    """A whole reply. `as_json` is the API's Message object."""

    id: str
    model: str
    usage: Usage
    content: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    applied_edits: Sequence[JsonObject] | None = None
    diagnostics: JsonObject | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": self.content,
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": None,
            "usage": self.usage.as_json(),
            **({} if self.diagnostics is None else {"diagnostics": self.diagnostics}),
            **context_of(self.applied_edits),
        }
