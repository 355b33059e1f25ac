"""Limits of one process. Every step is one piece of plain arithmetic, so no call can come between."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError
from antiphon.limits.bucket import Bucket, Gauge
from antiphon.limits.headers import Headers, rate_headers
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
        buckets = [account.buckets[0] for account in accounts]
        shortages = list(_request_shortages(accounts, now_s))
        if not shortages:
            for bucket in filter(None, buckets):
                bucket.take(1, now_s)
        headers = rate_headers(_scarcest(now_s, buckets), None, None, self._clock.now())
        if shortages:
            raise self._refusal(shortages, model_class, headers)
        return headers

    def _refusal(self, shortages: Sequence[Shortage], model_class: str, headers: Headers) -> ApiError:
        self._tell(shortages[0].party.kind, shortages[0].unit)
        return refusal(shortages, model_class, headers)


class MemoryReservation:
    """It holds the very buckets that it takes from: a limit that changes meanwhile gets nothing it did not give."""

    __slots__ = ("_accounts", "_buckets", "_clock", "_is_open", "_num_charged", "_num_input", "_num_output")

    def __init__(self, clock: Clock, accounts: list[Account], num_input: int) -> None:
        self._clock = clock
        self._accounts = accounts
        self._buckets = [account.buckets for account in accounts]
        self._num_input = num_input
        self._num_output = 0
        self._num_charged = 0
        self._is_open = False

    def fits(self, now_s: float) -> bool:
        for account in self._accounts:
            if account.is_busy:
                return False
        for requests, input_tokens, output_tokens in self._buckets:
            if requests and requests.seconds_until(1, now_s):
                return False
            if input_tokens and input_tokens.seconds_until(self._num_input, now_s):
                return False
            if output_tokens and output_tokens.seconds_until(1, now_s):
                return False
        return True

    def open(self, now_s: float) -> None:
        self._is_open = True
        for account in self._accounts:
            account.num_running += 1
        self._charge(1, self._num_input, 0, now_s)

    @property
    def headers(self) -> Headers:
        if not self._buckets:
            return ()
        now_s = self._clock.monotonic()
        kinds = self._buckets[0] if len(self._buckets) == 1 else zip(*self._buckets, strict=True)
        requests, input_tokens, output_tokens = [_scarcest(now_s, kind) for kind in kinds]
        return rate_headers(requests, input_tokens, output_tokens, self._clock.now())

    def settle_output(self, num_output: int) -> None:
        self._num_output = num_output
        if num_output - self._num_charged >= OUTPUT_STEP and self._is_open:
            self._charge(0, 0, num_output - self._num_charged, self._clock.monotonic())
            self._num_charged = num_output

    async def close(self, used: Used | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        for account in self._accounts:
            account.num_running -= 1
        is_free = used is None and not self._num_output
        num_input, num_output = (0, 0) if is_free else used or (self._num_input, self._num_output)
        now_s = self._clock.monotonic()
        self._charge(-1 if is_free else 0, num_input - self._num_input, num_output - self._num_charged, now_s)

    def _charge(self, num_requests: int, num_input: int, num_output: int, now_s: float) -> None:
        """Take so much from each bucket, or put it back where it is negative."""
        for requests, input_tokens, output_tokens in self._buckets:
            if num_requests and requests:
                requests.take(num_requests, now_s)
            if num_input and input_tokens:
                input_tokens.take(num_input, now_s)
            if num_output and output_tokens:
                output_tokens.take(num_output, now_s)


def _scarcest(now_s: float, buckets: Bucket | Iterable[Bucket | None] | None) -> Gauge | None:
    """Of one bucket, or of as many as there are."""
    if buckets is None or isinstance(buckets, Bucket):
        return buckets and buckets.gauge(now_s)
    return min([bucket.gauge(now_s) for bucket in buckets if bucket], default=None)


def _shortages(accounts: list[Account], num_input: int, now_s: float) -> Iterator[Shortage]:
    """Every limit that the call is over, in the order in which they are told."""
    for account in accounts:
        limit = account.rates.concurrent_requests
        if limit is not None and account.is_busy:
            yield Shortage(account.party, limit, "concurrent requests", _BUSY_RETRY_S if limit else math.inf)
    yield from _request_shortages(accounts, now_s)
    for account in accounts:
        yield from _shortage(account, account.buckets[1], "input tokens per minute", num_input, now_s)
    for account in accounts:
        yield from _shortage(account, account.buckets[2], "output tokens per minute", 1, now_s)


def _request_shortages(accounts: list[Account], now_s: float) -> Iterator[Shortage]:
    for account in accounts:
        yield from _shortage(account, account.buckets[0], "requests per minute", 1, now_s)


def _shortage(account: Account, bucket: Bucket | None, unit: str, num: int, now_s: float) -> Iterator[Shortage]:
    if bucket and (wait_s := bucket.seconds_until(num, now_s)):
        yield Shortage(account.party, bucket.capacity, unit, wait_s)
