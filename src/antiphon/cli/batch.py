"""`antiphon batch`: send a file of requests as a batch and get a file of results, while the server runs."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.settings import load_settings

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from antiphon.core.scope import Scope
    from antiphon.features.batches.service import Batches

T = TypeVar("T")
app = typer.Typer(help="Send files of requests as batches.", no_args_is_help=True)

BatchId = Annotated[str, typer.Argument(help="The id of a batch: msgbatch_…")]
_UNKNOWN = "See `antiphon batch list`."
_INTERRUPTED = 130


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="One request a line, as JSON: see the guide to batches.", exists=True)],
    output: Annotated[Path | None, typer.Option(help="Where the results go. [default: FILE.results.jsonl]")] = None,
    model: Annotated[str, typer.Option(help="The model of lines that name none.")] = "claude-default",
    max_tokens: Annotated[int, typer.Option(help="The longest reply to a line that says nothing of it.")] = 1024,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Send FILE, wait for its results and write them. Begun anew, it goes on where it was stopped."""
    from antiphon.cli.batchfile import Defaults
    from antiphon.cli.batchrun import Job

    job = Job(file, output or file.with_name(file.name + ".results.jsonl"), Defaults(model, max_tokens))
    with plain_errors():
        try:
            done = _with_batches(data_dir, config, lambda batches, home: job.run(batches, home, shows=not as_json))
        except KeyboardInterrupt:
            typer.echo(job.words_of_interruption, err=True)
            raise typer.Exit(_INTERRUPTED) from None
    tell(done.as_json(), done.as_words(), as_json=as_json)


@app.command("list")
def list_all(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show the batches of the default workspace, the newest first."""
    with plain_errors():
        shown = _with_batches(data_dir, config, _all)
    heads = ("ID", "STATUS", "DONE", "OF", "ERRORED", "CREATED")
    tell(shown, table([heads, *map(_cells, shown)]), as_json=as_json)


@app.command()
def cancel(batch_id: BatchId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """End a batch; what is done by then stays."""

    async def end(batches: "Batches", home: "Scope") -> dict[str, Any]:
        return _shown(await batches.cancel(home, batch_id))

    with plain_errors():
        shown = _with_batches(data_dir, config, end)
    tell(shown, f"The batch {batch_id} is {shown['processing_status']}.", as_json=as_json)


@app.command()
def results(
    batch_id: BatchId,
    output: Annotated[Path | None, typer.Option(help="Where they go; by default to the terminal.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print the results of a batch that has ended, one line of JSON each."""
    from antiphon.cli.batchfile import write_lines

    async def get(batches: "Batches", home: "Scope") -> int:
        return await write_lines(batches.results(home, batch_id), output)

    with plain_errors():
        num = _with_batches(data_dir, config, get)
    if output:
        tell({"id": batch_id, "num_results": num, "output": str(output)}, f"{num} results: {output}", as_json=as_json)


def _with_batches(
    data_dir: Path | None, config: Path | None, work: Callable[["Batches", "Scope"], Coroutine[Any, Any, T]]
) -> T:
    from antiphon.cli.books import Books, with_books
    from antiphon.core.clock import SystemClock
    from antiphon.features.batches.service import Batches

    async def act(books: Books) -> T:
        batches = Batches(books.accounts.database, SystemClock(), lambda: None)  # servers look every second
        return await work(batches, books.home)

    return with_books(load_settings(config, data_dir=data_dir), act, _UNKNOWN)


async def _all(batches: "Batches", home: "Scope") -> list[dict[str, Any]]:
    from antiphon.web.pages import Page

    shown: list[dict[str, Any]] = []
    has_more = True
    while has_more:
        page = Page(after_id=shown[-1]["id"] if shown else None, before_id=None, limit=1000)
        rows, has_more = await batches.list(home, page)
        shown += [_shown(row) for row in rows]
    return shown


def _shown(row: Any) -> dict[str, Any]:
    """Without a URL: the command knows no server's."""
    from antiphon.features.batches.service import describe

    return {name: value for name, value in describe(row, "").items() if name != "results_url"}


def _cells(shown: dict[str, Any]) -> list[str]:
    counts: dict[str, int] = shown["request_counts"]
    num = sum(counts.values())
    done = f"{num - counts['processing']:,}"
    return [shown["id"], shown["processing_status"], done, f"{num:,}", f"{counts['errored']:,}", shown["created_at"]]
