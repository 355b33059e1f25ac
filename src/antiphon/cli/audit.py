"""`antiphon audit`: who changed what."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.core.errors import OperatorError
from antiphon.settings import load_settings

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from antiphon.cli.books import Books


def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many lines, of the newest.")] = 50,
    since: Annotated[str | None, typer.Option(help="A time with its zone: 2026-11-22T10:00:00Z.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what was changed, by whom and from where; the newest last."""
    from antiphon.cli.books import with_books
    from antiphon.features.audits.service import Audit

    with plain_errors():
        earliest = None if since is None else _seconds(since)

        async def read(books: "Books") -> list[dict[str, Any]]:
            found = await Audit(books.accounts.database).read(books.home, limit, since=earliest)
            return list(reversed(found.lines))

        lines = with_books(load_settings(config, data_dir=data_dir), read)
    rows = [[line["at"], line["actor"], line["address"] or "", line["action"], _target(line)] for line in lines]
    tell(lines, table([["AT", "ACTOR", "ADDRESS", "ACTION", "TARGET"], *rows]), as_json=as_json)


def _target(line: dict[str, Any]) -> str:
    return f"{line['target']} {json.dumps(line['details'])}" if line["details"] else line["target"]


def _seconds(since: str) -> float:
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise OperatorError(f"--since {since} is no time: give one with its zone, such as 2026-11-22T10:00:00Z.")
    return moment.timestamp()
