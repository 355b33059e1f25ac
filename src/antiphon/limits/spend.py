"""What may be spent in a calendar month, in UTC and in whole nano-dollars."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError, Kind
from antiphon.limits.policy import Party
from antiphon.limits.refusal import WHOSE

NANOS = 1_000_000_000
_DAY_S = 86_400
_NUM_MONTHS = 2


def month_of(now_s: float) -> str:
    """The month in UTC that `now_s` seconds since the epoch fall into: "2026-11"."""
    return _month(int(now_s // _DAY_S))


@lru_cache(maxsize=4)
def _month(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY_S, UTC).strftime("%Y-%m")


class Spending:
    """What each party has spent, by its id. A new month is a new page; the last one is kept for clocks set right.

    `tell` hears of each refusal: whose limit it was, and that it was one of spending.
    """

    def __init__(self, clock: Clock, tell: Callable[[str, str], None] = lambda party, unit: None) -> None:
        self._clock = clock
        self._tell = tell
        self._pages: dict[str, dict[str, int]] = {}

    def load(self, month: str, spent: Mapping[str, int]) -> None:
        """What the ledger knows of `month`: it replaces the sums of the ids in `spent`."""
        self._page(month).update(spent)

    def add(self, party_ids: Iterable[str], cost: int) -> None:
        """A call that ends counts into the month in which it ends."""
        if not cost:
            return
        page = self._page(month_of(self._clock.now()))
        for party_id in party_ids:
            page[party_id] = page.get(party_id, 0) + cost

    def spent(self, party_id: str) -> int:
        """What `party_id` has spent in this month."""
        page = self._pages.get(month_of(self._clock.now()))
        return page.get(party_id, 0) if page else 0

    def check(self, parties: Sequence[Party]) -> None:
        """Raise 429 for the first of `parties` that has spent its limit. Waiting does not help: no `retry-after`."""
        for party in parties:
            if party.spend_limit is not None and self.spent(party.id) >= party.spend_limit:
                self._tell(party.kind, "spend per month")
                raise _refusal(party, party.spend_limit, month_of(self._clock.now()))

    def _page(self, month: str) -> dict[str, int]:
        if month not in self._pages:
            self._pages[month] = {}
            if len(self._pages) > _NUM_MONTHS:
                del self._pages[next(iter(self._pages))]
        return self._pages[month]


def _refusal(party: Party, limit: int, month: str) -> ApiError:
    return ApiError(
        Kind.RATE_LIMIT,
        f"You have reached {WHOSE[party.kind]} monthly spend limit of {dollars(limit)}. "
        f"You will regain access on {_next(month)}-01 at 00:00 UTC.",
        details={"error_code": "enforced_spend_limit_reached"},
    )


def _next(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02d}"


def dollars(nanos: int) -> str:
    """$1,234.50, with more digits than two only where they are not zero."""
    whole, fraction = divmod(nanos, NANOS)
    digits = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"${whole:,}.{digits}"
