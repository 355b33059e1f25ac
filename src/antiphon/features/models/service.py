"""The models as `/v1/models` shows them."""

from typing import Any

from antiphon.core.clock import rfc3339
from antiphon.engines.catalog import Catalog, Model
from antiphon.turn.kinds import ALL_THINKING


def _support(supported: bool, **details: Any) -> dict[str, Any]:
    return {"supported": supported, **details}


def describe(model: Model) -> dict[str, Any]:
    """The API's ModelInfo, with what this server really does with the model."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": rfc3339(model.spec.created_at),
        "lifecycle": "active",
        "line": None,
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": model.spec.window,
        "max_tokens": model.max_output,
        "token_counting": "exact" if model.spec.counts_exactly else "estimate",
        "capabilities": _capabilities(model),
    }


def _capabilities(model: Model) -> dict[str, Any]:
    kinds = model.spec.thinking
    thinks, nothing = _support(model.spec.thinks), _support(False)
    return {
        "batch": _support(True),
        "citations": _support(True),
        "code_execution": nothing,
        "image_input": _support(model.spec.sees),
        "pdf_input": _support(True),
        "structured_outputs": _support(model.spec.keeps_to_grammars),
        "effort": _support(model.spec.thinks, low=thinks, medium=thinks, high=thinks, xhigh=thinks, max=thinks),
        "thinking": _support(model.spec.thinks, types={kind: _support(kind in kinds) for kind in sorted(ALL_THINKING)}),
        "context_management": _support(
            True,
            clear_thinking_20251015=_support(True),
            clear_tool_uses_20250919=_support(True),
            compact_20260112=nothing,
        ),
        "server_tools": _support(False, code_execution=nothing, web_search=nothing),
    }


def list_models(catalog: Catalog) -> list[dict[str, Any]]:
    """All models, newest first; those of one age in their engine's order."""
    return [describe(model) for model in sorted(catalog.models, key=lambda model: -model.spec.created_at)]
