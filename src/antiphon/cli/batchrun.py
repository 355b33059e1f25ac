"""`antiphon batch run`: send, wait, write."""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from antiphon.cli.batchfile import Defaults, Line, State, body_of, read_parts, write_files
from antiphon.core.clock import SystemClock, sleep
from antiphon.core.errors import ApiError, Kind
from antiphon.core.ids import new_id
from antiphon.core.scope import Principal, Scope
from antiphon.features.batches.service import Author, Batches, describe
from antiphon.store.accounts import OPERATOR
from antiphon.wire.versions import Version

_LOOK_EVERY_S = 0.5
_COUNTS = ("succeeded", "errored", "canceled", "expired")


class Finished(NamedTuple):
    batch_ids: list[str]
    counts: dict[str, int]
    output: Path

    def as_json(self) -> dict[str, Any]:
        return {"batches": self.batch_ids, "counts": self.counts, "output": str(self.output)}

    def as_words(self) -> str:
        told = ", ".join(f"{num:,} {name}" for name, num in self.counts.items() if num)
        return f"{told}: {self.output}"


class Job:
    """One file on its way. The state is written before a batch is made, so that no file is sent twice."""

    def __init__(self, file: Path, output: Path, defaults: Defaults) -> None:
        self._file = file
        self._output = output
        self._defaults = defaults
        self._clock = SystemClock()
        self._batch_ids: list[str] = []

    @property
    def words_of_interruption(self) -> str:
        ids = " ".join(self._batch_ids)
        return (
            "Stopped waiting; what was sent goes on. The same command waits again, "
            f"and `antiphon batch cancel {ids}` ends it."
            if ids
            else "Stopped before anything was sent."
        )

    async def run(self, batches: Batches, home: Scope, *, shows: bool) -> Finished:
        state = State(self._file, self._output)
        is_openai = await self._send(batches, home, state)
        counts = await self._wait(batches, home, shows=shows)
        sources = [batches.results(home, batch_id) for batch_id in self._batch_ids]
        await write_files(sources, self._output, is_openai=is_openai)
        state.forget()
        return Finished(self._batch_ids, counts, self._output)

    async def _send(self, batches: Batches, home: Scope, state: State) -> bool:
        """Whether the lines are OpenAI's."""
        is_openai = False
        for number, part in enumerate(read_parts(self._file, self._defaults)):
            is_openai = is_openai or any(line.is_openai for line in part)
            if number == len(state.batch_ids):
                state.batch_ids.append("")
            if not await _is_there(batches, home, state.batch_ids[number]):
                state.batch_ids[number] = new_id("msgbatch")
                state.save()
                await self._create(batches, home, part, state.batch_ids[number])
            self._batch_ids.append(state.batch_ids[number])
        return is_openai

    async def _create(self, batches: Batches, home: Scope, part: list[Line], batch_id: str) -> None:
        author = Author(Principal(OPERATOR.id, home), Version.V2023_06_01)
        await batches.create(author, body_of(part), batch_id=batch_id)

    async def _wait(self, batches: Batches, home: Scope, *, shows: bool) -> dict[str, int]:
        """How many requests have come to which end, once all batches have ended."""
        with _progress() if shows else _nothing() as show:
            while True:
                rows = [await batches.retrieve(home, batch_id) for batch_id in self._batch_ids]
                counts = Counter[str]()
                for row in rows:
                    counts.update(describe(row, "")["request_counts"])
                show(sum(counts[name] for name in _COUNTS), counts.total())
                if all(row.state == "ended" for row in rows):
                    return {name: counts[name] for name in _COUNTS}
                await sleep(self._clock, _LOOK_EVERY_S)


async def _is_there(batches: Batches, home: Scope, batch_id: str) -> bool:
    try:
        return bool(batch_id) and bool(await batches.retrieve(home, batch_id))
    except ApiError as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        return False  # the command was stopped before the batch was whole


Show = Callable[[int, int], None]


@contextmanager
def _nothing() -> Generator[Show]:
    yield lambda done, total: None


@contextmanager
def _progress() -> Generator[Show]:
    """A bar on the terminal's error output, with the rate and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:.1f}/s")

    columns = (BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: list[Any] = []

        def show(done: int, total: int) -> None:
            if not tasks:  # what was done before does not count into the rate
                tasks.append(progress.add_task("", total=total, completed=done))
            progress.update(tasks[0], completed=done)

        yield show
