"""What tokens cost: whole nano-dollars, rounded once for each kind of token. Pure; money is never a float."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from antiphon.settings import Price
from antiphon.wire.events import Usage

_NANOS_PER_TOKEN = 1_000
"""A dollar for a million tokens, as nano-dollars for each."""

Rate = tuple[int, int]
"""Nano-dollars for a token, as a numerator and a denominator."""


class Rates(NamedTuple):
    input: Rate = (0, 1)
    cache_read: Rate = (0, 1)
    cache_write_5m: Rate = (0, 1)
    cache_write_1h: Rate = (0, 1)
    output: Rate = (0, 1)


FREE = Rates()


class Costs(NamedTuple):
    """Nano-dollars, for each kind of token."""

    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int


_NOTHING = Costs(0, 0, 0, 0, 0)


class Prices:
    """The prices of the settings, by names and patterns of models. What no name covers costs nothing."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        by_rank = sorted(prices.items(), key=lambda item: _rank(item[0]), reverse=True)
        self._prices = [(_pattern(name), price) for name, price in by_rank]
        self._known: dict[tuple[str, str], Rates] = {}

    def rates_of(self, model: str, service_tier: str) -> Rates:
        """The most specific name wins: the model's own, then the pattern with the most letters."""
        rates = self._known.get((model, service_tier))
        if rates is None:
            rates = self._known[model, service_tier] = self._find(model, service_tier)
        return rates

    def _find(self, model: str, service_tier: str) -> Rates:
        for pattern, price in self._prices:
            if pattern.fullmatch(model):
                return _rates(price, 1 - price.batch_discount if service_tier == "batch" else Decimal(1))
        return FREE


def _rank(name: str) -> tuple[bool, int]:
    return "*" not in name, len(name.replace("*", ""))


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL)


def _rates(price: Price, part: Decimal) -> Rates:
    return Rates(
        _rate(price.input * part),
        _rate(price.input * price.cache_read * part),
        _rate(price.input * price.cache_write_5m * part),
        _rate(price.input * price.cache_write_1h * part),
        _rate(price.output * part),
    )


def _rate(dollars: Decimal) -> Rate:
    return (dollars * _NANOS_PER_TOKEN).as_integer_ratio()


def cost_of(rates: Rates, usage: Usage) -> Costs:
    if rates is FREE:
        return _NOTHING
    return Costs(
        _cost(usage.input_tokens, rates.input),
        _cost(usage.cache_read, rates.cache_read),
        _cost(usage.cache_creation_5m, rates.cache_write_5m),
        _cost(usage.cache_creation_1h, rates.cache_write_1h),
        _cost(usage.output_tokens, rates.output),
    )


def _cost(num_tokens: int, rate: Rate) -> int:
    """Half a nano-dollar goes to the even neighbour."""
    numerator, denominator = rate
    if denominator == 1:
        return num_tokens * numerator
    whole, rest = divmod(num_tokens * numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))
