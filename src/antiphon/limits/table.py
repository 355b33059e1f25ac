"""How the parties stand that have called lately. Whoever is back at full limits is forgotten, for nothing is lost."""

from collections import OrderedDict
from collections.abc import Sequence

from antiphon.limits.bucket import Bucket
from antiphon.limits.policy import UNLIMITED, Party, Rates

_SWEPT_EVERY = 16
_NUM_SWEPT = 64
"""Looked at in each sweep, which comes with every 16th call. A call brings in three at most, so the table shrinks to
what is in use."""

_MOST_FOUND = 1024

Buckets = tuple[Bucket | None, Bucket | None, Bucket | None]
"""Requests, input tokens, output tokens."""


class Account:
    """What one party has left in one class of models. A bucket is None where there is no limit."""

    __slots__ = ("buckets", "num_running", "party", "rates")

    def __init__(self, party: Party, rates: Rates, now_s: float) -> None:
        self.party = party
        self.num_running = 0
        self.buckets: Buckets = (None, None, None)
        self.change(rates, now_s)

    def change(self, rates: Rates, now_s: float) -> None:
        self.rates = rates
        requests, input_tokens, output_tokens = self.buckets
        self.buckets = (
            _resized(requests, rates.requests_per_minute, now_s),
            _resized(input_tokens, rates.input_tokens_per_minute, now_s),
            _resized(output_tokens, rates.output_tokens_per_minute, now_s),
        )

    @property
    def is_busy(self) -> bool:
        """Whether as many calls run as may."""
        limit = self.rates.concurrent_requests
        return limit is not None and self.num_running >= limit

    def is_untouched(self, now_s: float) -> bool:
        if self.num_running:
            return False
        return all(bucket is None or bucket.is_full(now_s) for bucket in self.buckets)


def _resized(bucket: Bucket | None, limit: int | None, now_s: float) -> Bucket | None:
    if limit is None:
        return None
    if bucket is None:
        return Bucket(limit, now_s)
    bucket.resize(limit, now_s)
    return bucket


class Table:
    def __init__(self) -> None:
        self._accounts: OrderedDict[tuple[str, str, str], Account] = OrderedDict()
        self._found: dict[tuple[int, str], tuple[Sequence[Party], list[Account]]] = {}
        """What was found for parties, by the object that they are, which is held so that no other can take its id.

        Each change of an account makes all of it worthless.
        """
        self._num_calls = 0

    def __len__(self) -> int:
        return len(self._accounts)

    def accounts(self, parties: Sequence[Party], model_class: str, now_s: float) -> list[Account]:
        """Those of `parties` that have limits, in their order, with the limits that they have now."""
        if known := self._found.get((id(parties), model_class)):
            return known[1]
        found = [
            self._account(party, rates, model_class, now_s)
            for party in parties
            if (rates := party.rates_of(model_class)) != UNLIMITED
        ]
        if len(self._found) >= _MOST_FOUND:
            self._found.clear()
        self._found[id(parties), model_class] = parties, found
        return found

    def _account(self, party: Party, rates: Rates, model_class: str, now_s: float) -> Account:
        key = (party.kind, party.id, model_class)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(party, rates, now_s)
        elif account.rates != rates:
            account.change(rates, now_s)
            self._found.clear()
        return account

    def sweep(self, now_s: float) -> None:
        """Now and then look at some, in turn, and forget those untouched. Nobody may hold one that no call runs on."""
        self._num_calls += 1
        if self._num_calls % _SWEPT_EVERY:
            return
        accounts = self._accounts
        for _ in range(min(_NUM_SWEPT, len(accounts))):
            key = next(iter(accounts))
            if accounts[key].is_untouched(now_s):
                del accounts[key]
                self._found.clear()
            else:
                accounts.move_to_end(key)
