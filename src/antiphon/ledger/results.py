"""Sums in the API's words: what is used, what it costs, and who did so with Claude Code. Pure.

Shapes: the Admin API's reference, "Usage report", "Cost report" and "Claude Code usage report".
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

from antiphon.ledger.report import Sum

_NANOS_PER_CENT = 10**7


class Dimension(NamedTuple):
    """A name of `group_by[]`: its column, or what all calls of this server have in common."""

    column: str | None = None
    constant: str | None = None


USAGE_DIMENSIONS = {
    "api_key_id": Dimension("key_id"),
    "workspace_id": Dimension("workspace_id"),
    "model": Dimension("model"),
    "service_tier": Dimension("service_tier"),
    "context_window": Dimension("context_window"),
    "inference_geo": Dimension(constant="not_available"),
    "speed": Dimension(constant="standard"),
    "account_id": Dimension("user_id"),
    "service_account_id": Dimension(),
}


def usage_results(sums: Sequence[Sum], by: Sequence[str]) -> list[dict[str, Any]]:
    return [_counts(sum_) | _values(sum_, by) for sum_ in sums]


def _counts(sum_: Sum) -> dict[str, Any]:
    return {
        "uncached_input_tokens": sum_["input_tokens"],
        "cache_read_input_tokens": sum_["cache_read_tokens"],
        "cache_creation": {
            "ephemeral_5m_input_tokens": sum_["cache_write_5m_tokens"],
            "ephemeral_1h_input_tokens": sum_["cache_write_1h_tokens"],
        },
        "output_tokens": sum_["output_tokens"],
        "server_tool_use": {"web_search_requests": sum_["web_searches"]},
    }


def _values(sum_: Sum, by: Sequence[str]) -> dict[str, Any]:
    """Every dimension; null where the report is not grouped by it, and where there is nobody, as with `account_id`."""
    return {
        name: (sum_[dimension.column] or None if dimension.column else dimension.constant) if name in by else None
        for name, dimension in USAGE_DIMENSIONS.items()
    }


class _TokenType(NamedTuple):
    name: str
    words: str
    tokens: str
    cost: str


_TOKEN_TYPES = (
    _TokenType("uncached_input_tokens", "Input Tokens", "input_tokens", "input_cost"),
    _TokenType("cache_read_input_tokens", "Input Tokens, Cache Read", "cache_read_tokens", "cache_read_cost"),
    _TokenType(
        "cache_creation.ephemeral_5m_input_tokens",
        "Input Tokens, Cache Write (5m)",
        "cache_write_5m_tokens",
        "cache_write_5m_cost",
    ),
    _TokenType(
        "cache_creation.ephemeral_1h_input_tokens",
        "Input Tokens, Cache Write (1h)",
        "cache_write_1h_tokens",
        "cache_write_1h_cost",
    ),
    _TokenType("output_tokens", "Output Tokens", "output_tokens", "output_cost"),
)
DESCRIBED_BY = ("model", "service_tier", "context_window")


def cost_results(sums: Sequence[Sum], by: Sequence[str]) -> list[dict[str, Any]]:
    """One result for each sum; grouped by description, one for each kind of token of which there are any."""
    if "description" not in by:
        return [_cost(sum_, by, cost_of_sum(sum_)) for sum_ in sums]
    return [
        _cost(sum_, by, sum_[kind.cost]) | _description(sum_, kind)
        for sum_ in sums
        for kind in _TOKEN_TYPES
        if sum_[kind.tokens]
    ]


def cost_of_sum(sum_: Sum) -> int:
    """Nano-dollars."""
    return sum(sum_[kind.cost] for kind in _TOKEN_TYPES)


def _cost(sum_: Sum, by: Sequence[str], nanos: int) -> dict[str, Any]:
    return {
        "currency": "USD",
        "amount": cents(nanos),
        "workspace_id": sum_["workspace_id"] if "workspace_id" in by else None,
        "description": None,
        "cost_type": None,
        "context_window": None,
        "inference_geo": None,
        "model": None,
        "service_tier": None,
        "token_type": None,
    }


def _description(sum_: Sum, kind: _TokenType) -> dict[str, Any]:
    tier = "" if sum_["service_tier"] == "standard" else f" ({sum_['service_tier']})"
    return {
        "description": f"{sum_['model']} Usage - {kind.words}{tier}",
        "cost_type": "tokens",
        "inference_geo": "not_available",
        "token_type": kind.name,
    } | {name: sum_[name] for name in DESCRIBED_BY}


def cents(nanos: int) -> str:
    """Exact, with at least two decimals: 123.45, 0.00."""
    whole, fraction = divmod(nanos, _NANOS_PER_CENT)
    return f"{whole}." + f"{fraction:07d}".rstrip("0").ljust(2, "0")


class Actor(NamedTuple):
    """Whose calls a record of Claude Code holds: a member with an address, or a key with a name."""

    id: str
    email: str | None
    key_name: str | None


def code_record(actor: Actor, sums: Sequence[Sum], organization_id: str, day: str) -> dict[str, Any]:
    """What one actor has used in one day, by model. What only their terminal knows is zero."""
    decision = {"accepted": 0, "rejected": 0}
    return {
        "actor": _actor(actor),
        "core_metrics": {
            "commits_by_claude_code": 0,
            "lines_of_code": {"added": 0, "removed": 0},
            "num_sessions": 0,
            "pull_requests_by_claude_code": 0,
        },
        "customer_type": "api",
        "date": day,
        "model_breakdown": [_of_model(sum_) for sum_ in sums],
        "organization_id": organization_id,
        "subscription_type": None,
        "terminal_type": "unknown",
        "tool_actions": {
            name: dict(decision) for name in ("edit_tool", "multi_edit_tool", "notebook_edit_tool", "write_tool")
        },
    }


def _actor(actor: Actor) -> dict[str, Any]:
    if actor.email is not None:
        return {"type": "user_actor", "email_address": actor.email}
    return {"type": "api_actor", "api_key_name": actor.key_name}


def _of_model(sum_: Sum) -> dict[str, Any]:
    whole_cents = (Decimal(cost_of_sum(sum_)) / _NANOS_PER_CENT).quantize(Decimal(1), ROUND_HALF_EVEN)
    return {
        "estimated_cost": {"amount": int(whole_cents), "currency": "USD"},
        "model": sum_["model"],
        "tokens": {
            "cache_creation": sum_["cache_write_5m_tokens"] + sum_["cache_write_1h_tokens"],
            "cache_read": sum_["cache_read_tokens"],
            "input": sum_["input_tokens"],
            "output": sum_["output_tokens"],
        },
    }
