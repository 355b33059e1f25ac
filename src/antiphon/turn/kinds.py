"""The kinds of thinking that may be asked for, and which of them a model does as it is asked."""

from typing import Literal

from antiphon.core.errors import ApiError, invalid
from antiphon.turn.chat import effort_of
from antiphon.wire.request import CountRequest, MessageRequest

ThinkingKind = Literal["enabled", "adaptive", "between_tools", "disabled"]
Kinds = frozenset[ThinkingKind]

NO_THINKING: Kinds = frozenset({"disabled"})
ALL_THINKING: Kinds = frozenset({"enabled", "adaptive", "between_tools", "disabled"})
ALWAYS_THINKING: Kinds = frozenset({"enabled", "adaptive"})
"""Of a model that nothing keeps from thinking."""


def check(request: MessageRequest | CountRequest, kinds: Kinds, model: str) -> None:
    """Raises 400, in the API's words, for a kind of thinking or an effort that `model` cannot be held to."""
    if request.thinking and request.thinking.type not in kinds:
        raise _refused(request.thinking.type, kinds, model)
    if "adaptive" not in kinds and effort_of(request):
        raise invalid("This model does not support the effort parameter.")


def _refused(kind: ThinkingKind, kinds: Kinds, model: str) -> ApiError:
    if kind == "adaptive":
        return invalid("adaptive thinking is not supported on this model")
    if "adaptive" not in kinds:
        return invalid(f"'{model}' does not support thinking.")
    return invalid(
        f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.'
    )
