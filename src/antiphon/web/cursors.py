"""Pagination by an opaque `page` (the API's documentation, "Pagination")."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from antiphon.core.errors import invalid
from antiphon.web.pages import parse_page

Query = Mapping[str, Sequence[str]]

Mark = tuple[float, str]
"""Where in its list a row stands: rows come in the order of their marks. A cursor is a mark, and outlives its row."""

_MAX_NUMBER = 2**53


class CursorPage(NamedTuple):
    """A page of the rows behind `after`; without a limit, all of them."""

    after: Mark | None
    limit: int | None


def parse_cursor(query: Query) -> CursorPage:
    """Raises 400, naming the parameter."""
    page = query["page"][-1] if query.get("page") else None
    limit = parse_page({"limit": query["limit"]}).limit if query.get("limit") else None
    return CursorPage(_parse_mark(page) if page else None, limit)


def page_behind(rows: Iterable[tuple[Mark, dict[str, Any]]], page: CursorPage) -> dict[str, Any]:
    """The part of `rows` that `page` asks for, as the API's list object."""
    rest = [(mark, row) for mark, row in rows if page.after is None or mark > page.after]
    shown = rest[: page.limit]
    next_page = cursor_at(shown[-1][0]) if len(shown) < len(rest) else None
    return {"data": [row for _, row in shown], "next_page": next_page}


def cursor_at(mark: Mark) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(mark)).decode().rstrip("=")


def _parse_mark(cursor: str) -> Mark:
    try:
        number, text = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        number = text = None
    if not isinstance(number, int | float) or abs(number) > _MAX_NUMBER or not isinstance(text, str):
        raise invalid("page: this is no `next_page` of an earlier reply")
    return number, text
