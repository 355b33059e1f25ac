"""How the parties stand that have called lately. Whoever is back at full limits is forgotten, for nothing is lost."""

from collections import OrderedDict
from collections.abc import Sequence

from antiphon.limits.bucket import Bucket
from antiphon.limits.policy import UNLIMITED, Party, Rates

_NUM_SWEPT = 4
"""Looked at in each sweep. A call brings in three at most, so the table shrinks to what is in use."""


class Account:
    """What one party has left in one class of models. A bucket is None where there is no limit."""

    __slots__ = ("input_tokens", "num_running", "output_tokens", "party", "rates", "requests")

    def __init__(self, party: Party, rates: Rates, now_s: float) -> None:
        self.party = party
        self.rates = rates
        self.num_running = 0
        self.requests = _resized(None, rates.requests_per_minute, now_s)
        self.input_tokens = _resized(None, rates.input_tokens_per_minute, now_s)
        self.output_tokens = _resized(None, rates.output_tokens_per_minute, now_s)

    def change(self, rates: Rates, now_s: float) -> None:
        self.rates = rates
        self.requests = _resized(self.requests, rates.requests_per_minute, now_s)
        self.input_tokens = _resized(self.input_tokens, rates.input_tokens_per_minute, now_s)
        self.output_tokens = _resized(self.output_tokens, rates.output_tokens_per_minute, now_s)

    @property
    def is_busy(self) -> bool:
        """Whether as many calls run as may."""
        limit = self.rates.concurrent_requests
        return limit is not None and self.num_running >= limit

    def is_untouched(self, now_s: float) -> bool:
        if self.num_running:
            return False
        buckets = (self.requests, self.input_tokens, self.output_tokens)
        return not any(bucket and bucket.seconds_until_full(now_s) for bucket in buckets)


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

    def __len__(self) -> int:
        return len(self._accounts)

    def accounts(self, parties: Sequence[Party], model_class: str, now_s: float) -> list[Account]:
        """Those of `parties` that have limits, in their order, with the limits that they have now."""
        found: list[Account] = []
        for party in parties:
            rates = party.rates_of(model_class)
            if rates == UNLIMITED:
                continue
            key = (party.kind, party.id, model_class)
            account = self._accounts.get(key)
            if account is None:
                account = self._accounts[key] = Account(party, rates, now_s)
            elif account.rates != rates:
                account.change(rates, now_s)
            found.append(account)
        return found

    def sweep(self, now_s: float) -> None:
        """Look at a few, in turn, and forget those untouched. Nobody may hold one that no call runs on."""
        accounts = self._accounts
        for _ in range(min(_NUM_SWEPT, len(accounts))):
            key = next(iter(accounts))
            if accounts[key].is_untouched(now_s):
                del accounts[key]
            else:
                accounts.move_to_end(key)
