"""Pagination by `after_id`, `before_id` and `limit` (the API's documentation, "Pagination")."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.core.errors import invalid

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000
_INTEGER = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Page:
    after_id: str | None
    before_id: str | None
    limit: int


def parse_page(query: Mapping[str, Sequence[str]]) -> Page:
    """Raises 400 in the API's words, naming the parameter."""
    after_id, before_id = _last(query, "after_id"), _last(query, "before_id")
    if after_id and before_id:
        raise invalid("after_id: only one of after_id and before_id may be given")
    return Page(after_id, before_id, _limit(_last(query, "limit")))


def page_of(rows: Sequence[dict[str, Any]], page: Page) -> dict[str, Any]:
    """The part of `rows` (each has an `id`) that `page` asks for, as the API's list object. An unknown id: 400."""
    if page.before_id:
        before = rows[: _index(rows, page.before_id, "before_id")]
        return _listing(before[-page.limit :], has_more=len(before) > page.limit)
    after = rows[_index(rows, page.after_id, "after_id") + 1 :] if page.after_id else rows
    return _listing(after[: page.limit], has_more=len(after) > page.limit)


def _listing(rows: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    first_id, last_id = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    return {"data": list(rows), "has_more": has_more, "first_id": first_id, "last_id": last_id}


def _index(rows: Sequence[dict[str, Any]], id: str, parameter: str) -> int:
    for i, row in enumerate(rows):
        if row["id"] == id:
            return i
    raise invalid(f"{parameter}: {id[:100]} was not found")


def _last(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    return query[name][-1] if query.get(name) else None


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    if not _INTEGER.fullmatch(text):
        raise invalid("limit: Input should be a valid integer, unable to parse string as an integer")
    limit = int(text)
    if limit < 1:
        raise invalid("limit: Input should be greater than or equal to 1")
    if limit > _MAX_LIMIT:
        raise invalid(f"limit: Input should be less than or equal to {_MAX_LIMIT}")
    return limit
