"""`antiphon workspaces`: make, list and archive workspaces, while the server runs."""

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.settings import load_settings

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from antiphon.cli.books import Books
    from antiphon.core.scope import Scope
    from antiphon.features.workspaces.service import Workspaces

T = TypeVar("T")

app = typer.Typer(help="Make, list and archive workspaces.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the workspace is for.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a workspace."""
    from antiphon.features.workspaces.service import describe
    from antiphon.store.accounts import OPERATOR
    from antiphon.wire.admin import WorkspaceCreate
    from antiphon.wire.parse import parse_fields

    async def make(workspaces: "Workspaces", home: "Scope") -> dict[str, Any]:
        wish = parse_fields(WorkspaceCreate, json.dumps({"name": name}).encode())
        return describe(await workspaces.create(home, wish, OPERATOR))

    with plain_errors():
        shown = _with_workspaces(data_dir, config, make)
    tell(shown, f"The workspace {shown['id']} ({name}) is there.", as_json=as_json)


@app.command("list")
def list_all(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show all workspaces, the newest first; the default one is the last."""
    with plain_errors():
        shown = _with_workspaces(data_dir, config, _all)
    rows = [(one["id"], one["name"], one["created_at"], one["archived_at"] or "") for one in shown]
    tell(shown, table([("ID", "NAME", "CREATED", "ARCHIVED"), *rows]), as_json=as_json)


@app.command()
def archive(
    workspace_id: Annotated[str, typer.Argument(help="The id of a workspace: wrkspc_…")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End a workspace and all its keys for good. Running servers refuse them within a second."""
    from antiphon.features.workspaces.service import describe
    from antiphon.store.accounts import OPERATOR

    async def end(workspaces: "Workspaces", home: "Scope") -> dict[str, Any]:
        return describe(await workspaces.archive(home, workspace_id, OPERATOR))

    with plain_errors():
        shown = _with_workspaces(data_dir, config, end)
    tell(shown, f"The workspace {workspace_id} is archived, with its keys.", as_json=as_json)


def _with_workspaces(
    data_dir: Path | None, config: Path | None, work: Callable[["Workspaces", "Scope"], Coroutine[Any, Any, T]]
) -> T:
    from antiphon.cli.books import with_books
    from antiphon.features.workspaces.service import Workspaces

    async def run(books: "Books") -> T:
        return await work(Workspaces(books.accounts), books.home)

    return with_books(load_settings(config, data_dir=data_dir), run, "See `antiphon workspaces list`.")


async def _all(workspaces: "Workspaces", home: "Scope") -> list[dict[str, Any]]:
    from antiphon.features.workspaces.service import describe
    from antiphon.web.pages import Page
    from antiphon.wire.admin import WorkspaceFilter

    shown: list[dict[str, Any]] = []
    everything, has_more = WorkspaceFilter(include_archived=True, include_default=True), True
    while has_more:
        page = Page(after_id=shown[-1]["id"] if shown else None, before_id=None, limit=1000)
        rows, has_more = await workspaces.list(home, page, everything)
        shown += map(describe, rows)
    return shown
