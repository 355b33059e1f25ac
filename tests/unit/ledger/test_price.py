"""Money: whole nano-dollars, rounded once, and the most specific price."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from antiphon.core.errors import OperatorError
from antiphon.ledger.price import Costs, Prices, Rates, cost_of
from antiphon.settings import Price, load_settings
from antiphon.wire.events import Usage

SONNET = Price(input=Decimal(3), output=Decimal(15))
ONE_OF_EACH = Usage(1, 1, cache_creation_5m=1, cache_creation_1h=1, cache_read=1)


def cost(price: Price, usage: Usage, service_tier: str = "standard") -> Costs:
    return cost_of(Prices({"m": price}).rates_of("m", service_tier), usage)


def test_a_dollar_for_a_million_tokens_is_a_thousand_nano_dollars_for_each():
    assert cost(SONNET, ONE_OF_EACH) == Costs(
        input=3_000, cache_read=300, cache_write_5m=3_750, cache_write_1h=6_000, output=15_000
    )


def test_a_batch_is_spared_its_discount():
    assert sum(cost(SONNET, Usage(10, 10), "batch")) * 2 == sum(cost(SONNET, Usage(10, 10)))
    full = SONNET.model_copy(update={"batch_discount": Decimal(1)})
    assert sum(cost(full, ONE_OF_EACH, "batch")) == 0


@pytest.mark.parametrize(("num_tokens", "nanos"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4)])
def test_half_a_nano_dollar_goes_to_the_even_neighbour(num_tokens: int, nanos: int):
    price = Price(input=Decimal("0.0005"), output=Decimal(0))
    assert cost(price, Usage(num_tokens, 0)).input == nanos


@given(some.integers(0, 10**9), some.decimals(0, 10_000, places=9))
def test_no_cost_is_off_by_more_than_half_a_nano_dollar(num_tokens: int, dollars: Decimal):
    exact = Fraction(dollars) * 1_000 * num_tokens
    nanos = cost(Price(input=dollars, output=Decimal(0)), Usage(num_tokens, 0)).input
    assert type(nanos) is int
    assert abs(nanos - exact) <= Fraction(1, 2)


def test_what_no_name_covers_costs_nothing():
    assert Prices({}).rates_of("echo", "standard") == Rates()
    assert sum(cost_of(Rates(), ONE_OF_EACH)) == 0


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("qwen-7b", 1),
        ("qwen-7b-chat", 2),
        ("qwen-72b", 3),
        ("Qwen-7b", 9),
        ("anything", 9),
        ("a.b", 4),
        ("axb", 9),
        ("line\nbreak", 9),
    ],
)
def test_the_most_specific_name_wins(model: str, dollars: int):
    names = {"*": 9, "qwen-7b": 1, "qwen-*-chat": 2, "qwen-*": 3, "a.b": 4}
    prices = Prices({name: Price(input=Decimal(number), output=Decimal(0)) for name, number in names.items()})
    assert prices.rates_of(model, "standard").input == (dollars * 1_000, 1)


def test_prices_come_from_toml_and_from_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "config.toml"
    config.write_text('[prices."qwen-*"]\ninput = 0.1\noutput = "0.3"\n')
    assert load_settings(config).prices["qwen-*"] == Price(input=Decimal("0.1"), output=Decimal("0.3"))
    monkeypatch.setenv("ANTIPHON_PRICES", '{"echo": {"input": 0.07, "output": 15, "cache_read": 0}}')
    price = load_settings().prices["echo"]
    assert (price.input, price.output, price.cache_read) == (Decimal("0.07"), Decimal(15), Decimal(0))


@pytest.mark.parametrize("price", ['{"input": -1, "output": 1}', '{"input": 1}', '{"input": "NaN", "output": 1}'])
def test_a_price_that_is_none_is_told(price: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANTIPHON_PRICES", '{"echo": ' + price + "}")
    with pytest.raises(OperatorError, match=r"The setting prices\.echo"):
        load_settings()
