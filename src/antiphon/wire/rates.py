"""What the routes for rate limits and spend limits are sent.

Source: the Admin API's reference, "Rate limits" and "Spend limits". Parties are Antiphon's own: keys are limited too.
"""

import re
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from antiphon.wire.admin import Id, ModelName
from antiphon.wire.fields import Int, Items, Omittable, WireModel, problem

PartyKind = Literal["organization", "workspace", "key"]
GroupType = Literal["batch", "files", "model_group", "skills", "token_count", "web_search"]
LimitType = Literal[
    "requests_per_minute",
    "input_tokens_per_minute_cache_aware",
    "output_tokens_per_minute",
    "concurrent_requests",
]
"""The last is Antiphon's own. Limits of input always leave out what a cache had."""

LIMIT_TYPES: tuple[LimitType, ...] = get_args(LimitType)
NANOS_PER_CENT = 10_000_000
_CENTS = re.compile(r"[0-9]{1,11}")
_MAX_LIMIT = 10**15


def _cents(text: str) -> str:
    if not _CENTS.fullmatch(text):
        raise problem("Input should be a whole number of cents in a string, such as '2500' for $25.00")
    return text


def nanos_of(cents: str) -> int:
    return int(cents) * NANOS_PER_CENT


def cents_of(nanos: int) -> str:
    return str(nanos // NANOS_PER_CENT)


Cents = Annotated[str, AfterValidator(_cents)]


class RateFilter(WireModel):
    """The query of a list of rate limits, beside its page."""

    group_type: GroupType | None = None
    model: ModelName | None = None
    include_inherited: bool = False


class LimitChange(WireModel):
    """`value: null` takes the limit away, 0 lets nothing pass."""

    type: LimitType
    value: Annotated[Int, Field(ge=0, le=_MAX_LIMIT)] | None


class RateUpdate(WireModel):
    limits: Items[LimitChange]


class Party(WireModel):
    """Whose limits. The organization needs no id: it is the caller's."""

    type: PartyKind
    id: Omittable[Id] = None


class PartyRates(RateUpdate):
    """Without a model, the limits hold for each class of models by itself."""

    party: Party
    model: ModelName | None = None


class PartySpend(WireModel):
    """`amount: null` takes the limit away."""

    party: Party
    amount: Cents | None


class SpendFilter(WireModel):
    """The query of a list of spend limits, beside its page."""

    scope_type: list[Literal["organization", "workspace"]] | None = None
    workspace_id: Id | None = None


class OrganizationScope(WireModel):
    type: Literal["organization"]


class WorkspaceScope(WireModel):
    type: Literal["workspace"]
    workspace_id: Id


class SpendUpdate(WireModel):
    """A limit of money is for a calendar month, and always an amount: deleting is how it ends."""

    amount: Cents
    scope: Annotated[OrganizationScope | WorkspaceScope, Field(discriminator="type")]
    period: Literal["monthly"] = "monthly"
