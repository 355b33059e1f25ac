"""`python -m bench.agent_replay`: agents' turns over a long prefix, replayed on the bare llama.cpp server and on ours.

What is computed is told by each engine itself: bare's usage leaves out what it had, and so does ours, which is run
with `cache_tells_all` and asked without breakpoints. Every trace begins with a number of its own: nothing is warm.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench import report
from bench.agent_traces import (
    ADMIN_KEY,
    CASES,
    Json,
    Server,
    Sizes,
    Tally,
    Trace,
    body_of,
    count,
    side_by_side,
    stable,
    take,
)
from bench.llama import start_llama
from bench.processes import KEY, REPO, Child, Stage

_MODEL = Path.home() / ".cache" / "antiphon-test-models" / "qwen05.gguf"
_RESULTS = Path(__file__).parent / "results"
_NUM_SLOTS = 4
RESTART = "h"


@dataclass(frozen=True)
class Subject:
    """What is run on both: a model, and for ours what `antiphon tune` has kept for it."""

    model: Path
    tuned: Path | None


@contextmanager
def served(
    stage: Stage, name: str, subject: Subject, kept: Path | None = None, engine: Server | None = None
) -> Iterator[Server]:
    """`kept` is the data folder of a server that ours follows: the workspace's id is part of what was saved. Ours is
    put before `engine`, if there is one."""
    if name == "bare":
        child = start_llama(stage, subject.model, _NUM_SLOTS, REPO / "src")
    else:
        child = _start_ours(stage, _of_its_own(stage, subject, kept) if engine is None else _of(stage, engine))
    body = orjson.dumps(body_of({"messages": [{"role": "user", "content": "hi"}]}))
    head = f"POST /v1/messages HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    try:
        child.wait_until_ready(f"{head}x-api-key: {KEY}\r\nanthropic-version: 2023-06-01\r\n\r\n".encode() + body)
        yield Server(name, child.port)
    finally:
        child.stop()


def _of_its_own(stage: Stage, subject: Subject, kept: Path | None) -> list[str]:
    folder = kept or stage.data_dir(subject.tuned)
    options = ["--model", str(subject.model), "--data-dir", str(folder)]
    return [*options, "--kv-dir", str(kept / "kv")] if kept else options


def _of(stage: Stage, engine: Server) -> list[str]:
    return ["--engine", f"http://127.0.0.1:{engine.port}", "--data-dir", str(stage.data_dir(None))]


def _start_ours(stage: Stage, options: Sequence[str]) -> Child:
    return stage.antiphon(
        "ours",
        *options,
        source=REPO / "src",
        core=None,
        ANTIPHON_SLOTS=str(_NUM_SLOTS),
        ANTIPHON_CACHE_TELLS_ALL="true",
        ANTIPHON_ADMIN_KEY=ADMIN_KEY,
        ANTIPHON_ENGINE_KEY=KEY,
    )


def restarted(stage: Stage, subject: Subject, seed: int, sizes: Sizes) -> dict[str, Tally]:
    """The turn after a restart, of a conversation that was warm before it."""
    tallies: dict[str, Tally] = {}
    for name in ("bare", "ours"):
        trace, folder = Trace(seed, sizes.num_words), stage.data_dir(subject.tuned)
        with served(stage, name, subject, folder) as server:
            first = server.ask(trace.turn(), trace.session)
        assert first
        with served(stage, name, subject, folder) as server:
            tallies[name] = Tally()
            whole = count(tallies[name], server, trace.turn(), trace.session)
            tallies[name].num_unique = whole - first[0]
    return tallies


def compare(
    stage: Stage, subject: Subject, letters: Sequence[str], rounds: int, sizes: Sizes, *, on_one: bool
) -> list[Json]:
    """Both are started anew for each round: two engines of one binary differ by where their memory came to lie. With
    `on_one` ours is put before the bare server itself."""
    found: dict[str, list[dict[str, Tally]]] = {letter: [] for letter in letters}
    seeds = iter(range(random.SystemRandom().randrange(10**8), 10**9, 10))
    in_one = [letter for letter in letters if letter != RESTART]
    for number in range(rounds if in_one else 0):
        with both(stage, subject, number, on_one=on_one) as order:
            for letter in in_one:
                found[letter].append(_ask(letter, order, seeds, sizes, on_one=on_one))
                _tell(letter, found[letter][-1])
    for _ in range(rounds if RESTART in letters else 0):
        found[RESTART].append(restarted(stage, subject, next(seeds), sizes))
        _tell(RESTART, found[RESTART][-1])
    return [_row(letter, found[letter]) for letter in letters]


def _ask(letter: str, order: Sequence[Server], seeds: Iterator[int], sizes: Sizes, *, on_one: bool) -> dict[str, Tally]:
    """On one engine neither may find the other's prompts, nor have its slots."""
    if on_one:
        tallies = [take(CASES[letter][1](server, next(seeds), sizes)) for server in order]
    else:
        seed = next(seeds)
        tallies = side_by_side([CASES[letter][1](server, seed, sizes) for server in order])
    return {server.name: tally for server, tally in zip(order, tallies, strict=True)}


@contextmanager
def both(stage: Stage, subject: Subject, number: int, *, on_one: bool) -> Iterator[list[Server]]:
    """In the order of this round; which of two engines is started first takes turns with which is asked first."""
    names = ["bare", "ours"] if on_one or number // 2 % 2 == 0 else ["ours", "bare"]
    with (
        served(stage, names[0], subject) as first,
        served(stage, names[1], subject, engine=first if on_one else None) as second,
    ):
        yield [first, second] if number % 2 == 0 else [second, first]


def _tell(letter: str, tallies: dict[str, Tally]) -> None:
    walls = ", ".join(f"{name} {tally.wall_s:.1f} s" for name, tally in tallies.items())
    print(f"agent_replay: {letter}: {walls}", file=sys.stderr)


def _row(letter: str, rounds: Sequence[dict[str, Tally]]) -> Json:
    what, _, most_computed, most_wall = CASES.get(letter, ("the first turn after a restart", stable, 1.05, 0.35))
    row: Json = {"case": letter, "what": what, "may_compute": most_computed, "may_take": most_wall}
    for name in ("bare", "ours"):
        tallies = [one[name] for one in rounds]
        row[name] = {
            "computed": [tally.num_computed for tally in tallies],
            "unique": [tally.num_unique for tally in tallies],
            "wall_s": [round(tally.wall_s, 2) for tally in tallies],
            "first_turn_s": [round(tally.turns_s[0], 2) if tally.turns_s else 0.0 for tally in tallies],
            "later_turn_s": [round(statistics.median(tally.turns_s[1:] or [0.0]), 2) for tally in tallies],
        }
    row["computed/unique"] = _median(row["ours"]["computed"], row["ours"]["unique"])
    row["wall/bare"] = _median(row["ours"]["wall_s"], row["bare"]["wall_s"])
    return row


def _median(above: Sequence[float], below: Sequence[float]) -> float:
    return round(statistics.median(report.over(above, below)), 3)


def render(rows: Sequence[Json]) -> str:
    lines = ["| | what | computed/unique, bare | ours | may be | wall/bare | may be |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        bare = _median(row["bare"]["computed"], row["bare"]["unique"])
        own, may = row["computed/unique"], row["may_compute"]
        wall, most = row["wall/bare"], row["may_take"]
        lines.append(f"| {row['case']} | {row['what']} | {bare} | {own} | {may} | {wall} | {most} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.agent_replay", description=__doc__)
    parser.add_argument("--cases", default="a,b,c,d,e,f,g,h,i", help="which, with commas")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model", type=Path, default=_MODEL)
    parser.add_argument("--tuned", type=Path, help="a tuned.json for ours; the bare server keeps the defaults")
    parser.add_argument(
        "--one-engine", action="store_true", help="put ours before the bare server itself: tells what the gateway adds"
    )
    parser.add_argument("--quick", action="store_true", help="a prefix of some 1,500 tokens instead of 4,000")
    parser.add_argument("--words", type=int, help="words of the prefix, a token each, where even that is too long")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    given = parser.parse_args()
    sizes = Sizes(1450, 3, 400) if given.quick else Sizes(3900, 6, 1000)
    if given.words:
        sizes = Sizes(given.words, 3, given.words // 2)
    before = report.load_and_steal()
    with Stage() as stage:
        subject = Subject(given.model, given.tuned)
        rows = compare(stage, subject, given.cases.split(","), given.rounds, sizes, on_one=given.one_engine)
    after = report.load_and_steal()
    facts = report.environment() | {
        "command": " ".join(["python -m bench.agent_replay", *sys.argv[1:]]),
        "load": [before["load"], after["load"]],
    }
    print(render(rows))
    given.results.mkdir(parents=True, exist_ok=True)
    name = f"agent-replay-{facts['date'].replace(':', '')}.json"
    (given.results / name).write_bytes(orjson.dumps({"rows": rows, "facts": facts}, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
