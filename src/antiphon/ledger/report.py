"""Which buckets a report holds, and sums, sorted by time, become them. Pure.

Source: the Admin API's reference, "Usage report" and "Cost report".
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from antiphon.core.clock import rfc3339
from antiphon.core.errors import invalid

Sum = Mapping[str, Any]
"""One sum: the values that it is told apart by, its counts, and the number of its `bucket`."""


class Width(NamedTuple):
    seconds: int
    default_limit: int
    max_limit: int


WIDTHS = {"1m": Width(60, 60, 1440), "1h": Width(3_600, 24, 168), "1d": Width(86_400, 7, 31)}


class Span(NamedTuple):
    """The buckets of one page, numbered from the epoch: from `first` to before `last`."""

    width_s: int
    first: int
    last: int
    has_more: bool

    @property
    def next_page(self) -> str | None:
        return page_token(rfc3339(self.last * self.width_s)) if self.has_more else None


def span_of(
    width: Width, starting_at: float, ending_at: float | None, limit: int | None, page: str | None, now_s: float
) -> Span:
    """Raises 400 in the API's manner. Without an end it goes to the bucket of this moment; none lies in the future."""
    if ending_at is not None and ending_at <= starting_at:
        raise invalid("ending_at: Input should be after starting_at")
    if limit is not None and limit > width.max_limit:
        raise invalid(f"limit: Input should be less than or equal to {width.max_limit}")
    first = int((_time_of(page) if page else starting_at) // width.seconds)
    last = int(now_s // width.seconds) + 1
    if ending_at is not None:
        last = min(last, int(ending_at // width.seconds))
    end = max(first, min(last, first + (limit or width.default_limit)))
    return Span(width.seconds, first, end, end < last)


def page_token(place: str) -> str:
    """The cursor to `place`."""
    return "page_" + base64.urlsafe_b64encode(place.encode()).decode()


def place_of(page: str) -> str:
    """What `page_token` was given. Raises 400."""
    try:
        return base64.b64decode(page.removeprefix("page_"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("page: Input should be the next_page of an earlier reply") from None


def _time_of(page: str) -> float:
    try:
        moment = datetime.fromisoformat(place_of(page))
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise invalid("page: Input should be the next_page of an earlier reply") from None


def buckets(sums: Iterable[Sum], span: Span, results: Callable[[list[Sum]], list[dict[str, Any]]]) -> dict[str, Any]:
    """The API's report: `results` of the sums of each bucket of `span`."""
    found = {number: list(group) for number, group in groupby(sums, key=itemgetter("bucket"))}
    data = [
        {
            "starting_at": rfc3339(number * span.width_s),
            "ending_at": rfc3339((number + 1) * span.width_s),
            "results": results(found.get(number, [])),
        }
        for number in range(span.first, span.last)
    ]
    return {"data": data, "has_more": span.has_more, "next_page": span.next_page}
