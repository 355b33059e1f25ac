"""What the reports are asked with. Source: the Admin API's reference."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from antiphon.wire.admin import Id, ModelName, Moment
from antiphon.wire.fields import WireModel, problem


def _date(value: object) -> object:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise problem("Input should be a date in UTC, such as 2026-11-22") from None


_AtLeastOne = Annotated[int, Field(ge=1)]
UsageGroup = Literal[
    "api_key_id",
    "workspace_id",
    "model",
    "service_tier",
    "context_window",
    "inference_geo",
    "speed",
    "account_id",
    "service_account_id",
]
CostGroup = Literal["workspace_id", "description"]
ServiceTier = Literal["standard", "batch", "priority", "priority_on_demand", "flex", "flex_discount"]


class UsageQuery(WireModel):
    starting_at: Moment
    ending_at: Moment | None = None
    bucket_width: Literal["1m", "1h", "1d"] = "1d"
    limit: _AtLeastOne | None = None
    page: str | None = None
    group_by: list[UsageGroup] = Field(default_factory=list[UsageGroup], max_length=9)
    api_key_ids: list[Id] | None = None
    workspace_ids: list[Id] | None = None
    models: list[ModelName] | None = None
    service_tiers: list[ServiceTier] | None = None
    context_window: list[Literal["0-200k", "200k-1M"]] | None = None
    inference_geos: list[Literal["global", "us", "not_available"]] | None = None
    speeds: list[Literal["standard", "fast"]] | None = None
    account_ids: list[Id] | None = None
    service_account_ids: list[Id] | None = None


FILTERS = {
    "api_key_ids": "api_key_id",
    "workspace_ids": "workspace_id",
    "models": "model",
    "service_tiers": "service_tier",
    "context_window": "context_window",
    "inference_geos": "inference_geo",
    "speeds": "speed",
    "account_ids": "account_id",
    "service_account_ids": "service_account_id",
}
"""What each filter of a UsageQuery goes by."""


class CostQuery(WireModel):
    starting_at: Moment
    ending_at: Moment | None = None
    bucket_width: Literal["1d"] = "1d"
    limit: _AtLeastOne | None = None
    page: str | None = None
    group_by: list[CostGroup] = Field(default_factory=list[CostGroup], max_length=2)


class CodeQuery(WireModel):
    starting_at: Annotated[date, BeforeValidator(_date)]
    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    page: str | None = None
