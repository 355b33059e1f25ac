"""`antiphon usage`: what has been used, as a table."""

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.core.errors import OperatorError
from antiphon.settings import load_settings

if TYPE_CHECKING:
    from antiphon.cli.books import Books

By = Literal["workspace", "key", "model", "day"]
_COLUMNS: dict[By, list[str]] = {"workspace": ["workspace_id"], "key": ["key_id"], "model": ["model"], "day": []}
_UNITS_S = {"h": 3_600, "d": 86_400, "w": 604_800}
_HOUR_S, _DAY_S = 3_600, 86_400


def usage(
    since: Annotated[str, typer.Option(help="How far back: 12h, 7d, 2w; whole hours.")] = "7d",
    by: Annotated[By, typer.Option(help="What the lines are.")] = "model",
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print what has been used, and what it costs."""
    from antiphon.cli.books import with_books

    with plain_errors():
        back_s = _seconds(since)
        settings = load_settings(config, data_dir=data_dir)
        lines = with_books(settings, lambda books: _lines(books, back_s, by))
    tell(lines, _table(lines) if lines else "Nothing has been used in this time.", as_json=as_json)


def _seconds(since: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([hdw])", since)
    if not found:
        raise OperatorError(f"--since {since} is no time: say 12h, 7d or 2w.")
    return int(found[1]) * _UNITS_S[found[2]]


async def _lines(books: "Books", back_s: int, by: By) -> list[dict[str, Any]]:
    from antiphon.core.clock import SystemClock
    from antiphon.ledger.store import sums_of

    now_s = SystemClock().now()
    first, last = int(now_s - back_s) // _HOUR_S, int(now_s) // _HOUR_S + 1
    async with books.accounts.database.read() as connection:
        sums = await sums_of(connection, books.home, _HOUR_S, first, last, _COLUMNS[by])
        names = await _names(connection, books, by)
    totals: dict[str, dict[str, Any]] = {}
    for sum_ in sums:
        name = _day(sum_["bucket"]) if by == "day" else sum_[_COLUMNS[by][0]]
        _add(totals.setdefault(name, _line(name, names, by)), sum_)
    return sorted(totals.values(), key=lambda line: line["day"] if by == "day" else -line["cost_nano_dollars"])


def _day(hour: int) -> str:
    from antiphon.core.clock import rfc3339

    return rfc3339(hour * _HOUR_S)[:10]


async def _names(connection: Any, books: "Books", by: By) -> dict[str, str]:
    from antiphon.features.usage import store

    if by == "workspace":
        return await store.names_of_workspaces(connection, books.home)
    return await store.names_of_keys(connection, books.home) if by == "key" else {}


def _line(name: str, names: dict[str, str], by: By) -> dict[str, Any]:
    line: dict[str, Any] = {by: name} | ({"name": names.get(name)} if by in ("workspace", "key") else {})
    return line | dict.fromkeys(_SUMS, 0)


_SUMS = {
    "requests": ("num_requests",),
    "input_tokens": ("input_tokens",),
    "cache_write_tokens": ("cache_write_5m_tokens", "cache_write_1h_tokens"),
    "cache_read_tokens": ("cache_read_tokens",),
    "output_tokens": ("output_tokens",),
    "cost_nano_dollars": ("input_cost", "cache_write_5m_cost", "cache_write_1h_cost", "cache_read_cost", "output_cost"),
}


def _add(line: dict[str, Any], sum_: dict[str, Any]) -> None:
    for name, parts in _SUMS.items():
        line[name] += sum(sum_[part] for part in parts)


def _table(lines: list[dict[str, Any]]) -> str:
    rows = [[name.removesuffix("_tokens").removesuffix("_nano_dollars").replace("_", " ") for name in lines[0]]]
    for line in lines:
        *cells, nanos = line.values()
        rows.append([*[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells], _dollars(nanos)])
    return table(rows)


def _dollars(nanos: int) -> str:
    from antiphon.limits.spend import dollars

    return dollars(nanos)
