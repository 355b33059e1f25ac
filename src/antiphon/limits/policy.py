"""Whose calls are limited, and to what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

PartyKind = Literal["organization", "workspace", "key"]


class Rates(NamedTuple):
    """The limits of one party for one class of models. None is no limit at this level, 0 lets nothing pass."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    concurrent_requests: int | None = None


UNLIMITED = Rates()


@dataclass(frozen=True, slots=True)
class Party:
    """One that a call is counted against: a caller is up to three of them, its organization first.

    `rates` hold for each class of models by itself; a class named in `by_class` has its own instead, all four of them.
    `spend_limit` is in nano-dollars for a calendar month (UTC).
    """

    kind: PartyKind
    id: str
    rates: Rates = UNLIMITED
    by_class: Mapping[str, Rates] = field(default_factory=dict[str, Rates])
    spend_limit: int | None = None

    def rates_of(self, model_class: str) -> Rates:
        return self.by_class.get(model_class, self.rates)
