"""The 429 of a call that is over a limit."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from antiphon.core.errors import ApiError, Kind
from antiphon.limits.headers import Headers, whole_seconds
from antiphon.limits.policy import Party, PartyKind

WHOSE: dict[PartyKind, str] = {
    "organization": "your organization's",
    "workspace": "your workspace's",
    "key": "this API key's",
}
_TITLES: dict[PartyKind, str] = {"organization": "org", "workspace": "workspace", "key": "key"}


class Shortage(NamedTuple):
    """One limit that a call is over, and the wait until it no longer is; infinite where that never comes."""

    party: Party
    limit: int
    unit: str
    wait_s: float


def refusal(shortages: Sequence[Shortage], model_class: str, headers: Headers) -> ApiError:
    """Names the first limit. `retry-after` covers them all, and is left out where waiting does not help."""
    party, limit, unit, _ = shortages[0]
    wait_s = max(shortage.wait_s for shortage in shortages)
    told = {name.decode(): value.decode() for name, value in headers}
    if wait_s < math.inf:
        told["retry-after"] = str(max(1, whole_seconds(wait_s)))
    return ApiError(
        Kind.RATE_LIMIT,
        f"This request would exceed {WHOSE[party.kind]} rate limit of {limit:,} {unit} "
        f"({_TITLES[party.kind]}: {party.id}, model: {model_class}). "
        "For details, see the rate limit headers of this reply.",
        headers=told,
    )
