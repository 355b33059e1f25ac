"""The rows of `/v1/models`, which all engines list their models with."""

from typing import Any

from antiphon.core.errors import internal
from antiphon.engines.http import Upstream

_LATEST = 1e11
"""Seconds since the epoch: the year 5138. A larger number is in milliseconds, or finer still."""


async def rows(upstream: Upstream) -> list[dict[str, Any]]:
    """At least one, each with its `id`. Raises `internal` if the engine lists no model."""
    listing: Any = await upstream.get_json("/v1/models")
    found: Any = listing.get("data") if isinstance(listing, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(found, list) or not found or not all(map(_is_named, found)):  # pyright: ignore[reportUnknownArgumentType]
        raise internal()
    return found  # pyright: ignore[reportUnknownVariableType]


def _is_named(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("id"), str)  # pyright: ignore[reportUnknownMemberType]


def created_at(row: dict[str, Any]) -> float:
    """Seconds since the epoch; 0 where the engine does not tell."""
    created = row.get("created")
    seconds = float(created) if isinstance(created, int | float) else 0.0
    while seconds > _LATEST:
        seconds /= 1000
    return max(0.0, seconds)
