"""Limits of one process. Every step is one piece of plain arithmetic, so no call can come between."""

import math
from collections.abc import Callable, Iterator, Sequence

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError
from antiphon.limits.bucket import Bucket
from antiphon.limits.headers import Gauge, Headers, rate_headers
from antiphon.limits.policy import Party
from antiphon.limits.protocol import OUTPUT_STEP, Used
from antiphon.limits.refusal import Shortage, refusal
from antiphon.limits.table import Account, Table

_BUSY_RETRY_S = 1.0
"""When a running call ends is anybody's guess."""


class MemoryLimits:
    """The limits of a server that runs alone. See `protocol.Limits`.

    `tell` hears of each refusal: whose limit it was, and its unit.
    """

    def __init__(self, clock: Clock, tell: Callable[[str, str], None] = lambda party, unit: None) -> None:
        self._clock = clock
        self._tell = tell
        self._calls = Table()
        self._counts = Table()

    @property
    def num_accounts(self) -> int:
        """How many parties and classes are remembered."""
        return len(self._calls) + len(self._counts)

    async def reserve(self, parties: Sequence[Party], model_class: str, num_input: int) -> "MemoryReservation":
        now_s = self._clock.monotonic()
        accounts = self._calls.accounts(parties, model_class, now_s)
        call = MemoryReservation(self._clock, accounts, num_input)
        try:
            if not call.fits(now_s):
                raise self._refusal(list(_shortages(accounts, num_input, now_s)), model_class, call.headers)
            call.open(now_s)
        finally:
            self._calls.sweep(now_s)
        return call

    async def count(self, parties: Sequence[Party], model_class: str) -> Headers:
        now_s = self._clock.monotonic()
        accounts = self._counts.accounts(parties, model_class, now_s)
        try:
            return self._count(accounts, model_class, now_s)
        finally:
            self._counts.sweep(now_s)

    def _count(self, accounts: list[Account], model_class: str, now_s: float) -> Headers:
        buckets = [account.requests for account in accounts if account.requests]
        shortages = list(_request_shortages(accounts, now_s))
        if not shortages:
            _charge(buckets, 1, now_s)
        headers = rate_headers(_scarcest(buckets, now_s), None, None, self._clock.now())
        if shortages:
            raise self._refusal(shortages, model_class, headers)
        return headers

    def _refusal(self, shortages: Sequence[Shortage], model_class: str, headers: Headers) -> ApiError:
        self._tell(shortages[0].party.kind, shortages[0].unit)
        return refusal(shortages, model_class, headers)


class MemoryReservation:
    """It holds the very buckets that it takes from: a limit that changes meanwhile gets nothing it did not give."""

    __slots__ = (
        "_accounts",
        "_clock",
        "_input_tokens",
        "_is_open",
        "_num_charged",
        "_num_input",
        "_num_output",
        "_output_tokens",
        "_requests",
    )

    def __init__(self, clock: Clock, accounts: list[Account], num_input: int) -> None:
        self._clock = clock
        self._accounts = accounts
        self._requests = [account.requests for account in accounts if account.requests]
        self._input_tokens = [account.input_tokens for account in accounts if account.input_tokens]
        self._output_tokens = [account.output_tokens for account in accounts if account.output_tokens]
        self._num_input = num_input
        self._num_output = 0
        self._num_charged = 0
        self._is_open = False

    def fits(self, now_s: float) -> bool:
        for account in self._accounts:
            if account.is_busy:
                return False
        for buckets, num in ((self._requests, 1), (self._input_tokens, self._num_input), (self._output_tokens, 1)):
            for bucket in buckets:
                if bucket.seconds_until(num, now_s):
                    return False
        return True

    def open(self, now_s: float) -> None:
        self._is_open = True
        for account in self._accounts:
            account.num_running += 1
        _charge(self._requests, 1, now_s)
        _charge(self._input_tokens, self._num_input, now_s)

    @property
    def headers(self) -> Headers:
        now_s = self._clock.monotonic()
        return rate_headers(
            _scarcest(self._requests, now_s),
            _scarcest(self._input_tokens, now_s),
            _scarcest(self._output_tokens, now_s),
            self._clock.now(),
        )

    def settle_output(self, num_output: int) -> None:
        self._num_output = num_output
        if num_output - self._num_charged >= OUTPUT_STEP and self._is_open:
            _charge(self._output_tokens, num_output - self._num_charged, self._clock.monotonic())
            self._num_charged = num_output

    async def close(self, used: Used | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        now_s = self._clock.monotonic()
        for account in self._accounts:
            account.num_running -= 1
        if used is None and not self._num_output:
            _charge(self._requests, -1, now_s)
            used = Used(0, 0)
        num_input, num_output = used or (self._num_input, self._num_output)
        _charge(self._input_tokens, num_input - self._num_input, now_s)
        _charge(self._output_tokens, num_output - self._num_charged, now_s)


def _charge(buckets: list[Bucket], num: int, now_s: float) -> None:
    """Take `num` from each of `buckets`, or put it back where it is negative."""
    for bucket in buckets:
        if num > 0:
            bucket.take(num, now_s)
        elif num < 0:
            bucket.put_back(-num, now_s)


def _scarcest(buckets: list[Bucket], now_s: float) -> Gauge | None:
    if len(buckets) == 1:
        return _gauge(buckets[0], now_s)
    return min([_gauge(bucket, now_s) for bucket in buckets], default=None)


def _gauge(bucket: Bucket, now_s: float) -> Gauge:
    return Gauge(bucket.level(now_s), bucket.capacity, bucket.seconds_until_full(now_s))


def _shortages(accounts: list[Account], num_input: int, now_s: float) -> Iterator[Shortage]:
    """Every limit that the call is over, in the order in which they are told."""
    for account in accounts:
        limit = account.rates.concurrent_requests
        if limit is not None and account.is_busy:
            yield Shortage(account.party, limit, "concurrent requests", _BUSY_RETRY_S if limit else math.inf)
    yield from _request_shortages(accounts, now_s)
    for account in accounts:
        yield from _shortage(account, account.input_tokens, "input tokens per minute", num_input, now_s)
    for account in accounts:
        yield from _shortage(account, account.output_tokens, "output tokens per minute", 1, now_s)


def _request_shortages(accounts: list[Account], now_s: float) -> Iterator[Shortage]:
    for account in accounts:
        yield from _shortage(account, account.requests, "requests per minute", 1, now_s)


def _shortage(account: Account, bucket: Bucket | None, unit: str, num: int, now_s: float) -> Iterator[Shortage]:
    if bucket and (wait_s := bucket.seconds_until(num, now_s)):
        yield Shortage(account.party, bucket.capacity, unit, wait_s)
