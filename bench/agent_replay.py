"""`python -m bench.agent_replay`: agents' turns over a long prefix, replayed on the bare llama.cpp server and on ours.

What is computed is told by each engine itself: bare's usage leaves out what it had, and so does ours, which is run
with `cache_tells_all` and asked without breakpoints. Every trace begins with a number of its own: nothing is warm.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson

from bench import report
from bench.llama import start_llama
from bench.processes import KEY, REPO, Child, Stage

_MODEL = Path.home() / ".cache" / "antiphon-test-models" / "qwen05.gguf"
_RESULTS = Path(__file__).parent / "results"
_ADMIN_KEY = "sk-ant-phonadm1-of-the-bench"
_NUM_SLOTS = 4
_TIMEOUT_S = 600.0
_PATIENCE_S = 2.0
_WORDS = "file line read write test path error value list name open close call check build run part text".split()

Json = dict[str, Any]


@dataclass
class Tally:
    """What a trace has cost. `num_unique`: tokens of all its prompts, each beginning that they share counted once."""

    num_computed: int = 0
    num_unique: int = 0
    wall_s: float = 0.0
    turns_s: list[float] = field(default_factory=list)


@dataclass
class Server:
    """One of the two. `key` is of a workspace, where there are any."""

    name: str
    port: int
    key: str = KEY

    def ask(self, body: Json, session: str = "", patience_s: float = _TIMEOUT_S) -> tuple[int, int, float] | None:
        """(the prompt's tokens, those that were computed, seconds); None where patience has ended."""
        started = time.perf_counter()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=patience_s)
        headers = {"x-api-key": self.key, "anthropic-version": "2023-06-01", "content-type": "application/json"}
        headers |= {"x-claude-code-session-id": session} if session else {}
        try:
            connection.request("POST", "/v1/messages", json.dumps(body), headers)
            reply = connection.getresponse()
            content = reply.read()
        except TimeoutError:
            return None
        finally:
            connection.close()
        if reply.status != 200:
            raise SystemExit(f"agent_replay: {self.name} answers {reply.status}: {content[:500]!r}")
        usage = orjson.loads(content)["usage"]
        computed = usage["input_tokens"] + (usage.get("cache_creation_input_tokens") or 0)
        return computed + (usage.get("cache_read_input_tokens") or 0), computed, time.perf_counter() - started


class Trace:
    """An agent's conversation. All text is fixed by the seed, replies included: what the model writes is not used."""

    def __init__(self, seed: int, num_words: int, line: Callable[[int], str] | None = None) -> None:
        self._random = random.Random(seed)
        self._line = line
        self._system = f"Session {seed:09}. You are an agent. {self._text(num_words)}"
        self._messages: list[Json] = []
        self._num_turns = 0
        self.session = f"session-{seed}"

    def _text(self, num_words: int) -> str:
        return " ".join(self._random.choices(_WORDS, k=num_words))

    def turn(self, *, with_system: bool = False) -> Json:
        """The request of the next turn."""
        if self._messages:
            self._messages.append({"role": "assistant", "content": self._text(20)})
        self._messages.append({"role": "user", "content": self._text(30)})
        if with_system:
            self._messages.append({"role": "system", "content": self._text(10)})
        line = [{"type": "text", "text": self._line(self._num_turns)}] if self._line else []
        self._num_turns += 1
        system = [*line, {"type": "text", "text": self._system}]
        return _body({"system": system, "messages": list(self._messages)})

    def task(self, number: int, *, num_words: int = 30) -> Json:
        """The first request of one of several agents who share a system prompt."""
        messages = [{"role": "user", "content": f"{number} {self._text(num_words)}"}]
        return _body({"system": self._system, "messages": messages})

    def side_call(self) -> Json:
        """A title for the conversation: short, with a head of its own."""
        messages = [{"role": "user", "content": f"{self._num_turns} {self._text(20)}"}]
        return _body({"system": f"You name titles for {self.session}.", "messages": messages})


def _body(fields: Json) -> Json:
    return {"model": "claude-x", "max_tokens": 4, "temperature": 0} | fields


@dataclass(frozen=True)
class Sizes:
    num_words: int
    num_turns: int
    num_words_each: int
    """Of each of the six."""


def _cch(number: int) -> str:
    return f"x-anthropic-billing-header: cc_version=2.1.150.a1; cc_entrypoint=cli; cch={number:05};"


def _version(number: int) -> str:
    return f"x-anthropic-billing-header: cc_version=2.1.{150 + number}.a1; cc_entrypoint=cli; cch={number:05};"


def replay(server: Server, trace: Trace, num_turns: int, *, system_every: int = 0, sides: bool = True) -> Tally:
    tally, last = Tally(), 0
    for number in range(num_turns):
        body = trace.turn(with_system=bool(system_every) and number % system_every == system_every - 1)
        last = _count(tally, server, body, trace.session)
        if sides:
            tally.num_unique += _count(tally, server, trace.side_call(), trace.session, is_side=True)
    tally.num_unique += last
    return tally


def _count(tally: Tally, server: Server, body: Json, session: str, *, is_side: bool = False) -> int:
    answer = server.ask(body, session)
    assert answer
    num_input, computed, wall_s = answer
    tally.num_computed += computed
    tally.wall_s += wall_s
    if not is_side:
        tally.turns_s.append(wall_s)
    return num_input


def stable(server: Server, seed: int, sizes: Sizes) -> Tally:
    return replay(server, Trace(seed, sizes.num_words), sizes.num_turns)


def cch_changes(server: Server, seed: int, sizes: Sizes) -> Tally:
    return replay(server, Trace(seed, sizes.num_words, _cch), sizes.num_turns)


def six_on_four(server: Server, seed: int, sizes: Sizes) -> Tally:
    traces = [Trace(seed + number, sizes.num_words_each) for number in range(6)]
    tally, lasts = Tally(), [0] * 6
    for _ in range(max(2, sizes.num_turns - 1)):
        for number, trace in enumerate(traces):
            lasts[number] = _count(tally, server, trace.turn(), trace.session)
    tally.num_unique = sum(lasts)
    return tally


def system_in_the_middle(server: Server, seed: int, sizes: Sizes) -> Tally:
    return replay(server, Trace(seed, sizes.num_words), max(4, sizes.num_turns), system_every=3, sides=False)


def gives_up(server: Server, seed: int, sizes: Sizes) -> Tally:
    """What was computed before it gave up is not told: of the second try only what was not there any more counts."""
    trace = Trace(seed, sizes.num_words)
    body, started = trace.turn(), time.perf_counter()
    is_told = server.ask(body, trace.session, patience_s=_PATIENCE_S)
    tally = Tally()
    tally.num_unique = _count(tally, server, body, trace.session)
    tally.wall_s = time.perf_counter() - started
    if is_told:
        print("agent_replay: the first try was answered before it gave up", file=sys.stderr)
    return tally


def version_changes(server: Server, seed: int, sizes: Sizes) -> Tally:
    return replay(server, Trace(seed, sizes.num_words, _version), sizes.num_turns)


def two_workspaces(server: Server, seed: int, sizes: Sizes) -> Tally:
    """The same prompts in both, at once: neither may be spared any of them by the other."""
    servers = [server, Server(server.name, server.port, _other_key(server) if server.name == "ours" else KEY)]
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        tallies = list(
            threads.map(
                lambda one: replay(one, Trace(seed, sizes.num_words, _version), sizes.num_turns, sides=False), servers
            )
        )
    return Tally(
        sum(tally.num_computed for tally in tallies),
        sum(tally.num_unique for tally in tallies),
        time.perf_counter() - started,
    )


def four_at_once(server: Server, seed: int, sizes: Sizes) -> Tally:
    """Sub-agents: the same tools and system, each with a task of its own. What they share is asked for afterwards."""
    trace = Trace(seed, sizes.num_words)
    tasks = [trace.task(number) for number in range(4)]
    started = time.perf_counter()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: server.ask(tasks[number], f"{trace.session}-{number}"), range(4)))
    tally = Tally(wall_s=time.perf_counter() - started)
    shared = server.ask(trace.task(0, num_words=0), trace.session)
    assert shared
    for answer in answers:
        assert answer
        tally.num_computed += answer[1]
        tally.num_unique += answer[0] - shared[0]
    tally.num_unique += shared[0]
    return tally


def _other_key(server: Server) -> str:
    other = _admin(server, "/v1/organizations/workspaces", {"name": f"Other {time.time_ns()}"})["id"]
    return _admin(server, "/antiphon/api_keys", {"name": "Theirs", "workspace_id": other})["key"]


def _admin(server: Server, path: str, body: Json) -> Any:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"x-api-key": _ADMIN_KEY, "anthropic-version": "2026-10-21", "content-type": "application/json"}
    with suppress(TimeoutError):
        connection.request("POST", path, json.dumps(body), headers)
        reply = connection.getresponse()
        content = reply.read()
        if reply.status == 200:
            return orjson.loads(content)
    raise SystemExit(f"agent_replay: {path} failed")


Case = Callable[[Server, int, Sizes], Tally]
CASES: dict[str, tuple[str, Case, float, float]] = {
    "a": ("stable prefix, a side call each turn", stable, 1.02, 1.02),
    "b": ("only cch changes", cch_changes, 1.02, 1.02),
    "c": ("six conversations on four slots", six_on_four, 1.02, 1.02),
    "d": ("a system message every third turn", system_in_the_middle, 1.02, 1.02),
    "e": ("gives up after 2 s, and retries", gives_up, 1.02, 1.02),
    "f": ("the line's version changes", version_changes, 1.05, 0.35),
    "g": ("two workspaces, each with a changing line", two_workspaces, 1.05, 0.35),
    "i": ("four agents with one system prompt, at once", four_at_once, 1.05, 0.5),
}
"""By letter: what it is, the trace, and what computed/unique and wall/bare's may be at most."""
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
    body = orjson.dumps(_body({"messages": [{"role": "user", "content": "hi"}]}))
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
        ANTIPHON_ADMIN_KEY=_ADMIN_KEY,
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
            whole = _count(tallies[name], server, trace.turn(), trace.session)
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
                seed = next(seeds)
                found[letter].append(
                    {  # on one engine the second of them would find the first one's prompts
                        server.name: CASES[letter][1](server, next(seeds) if on_one else seed, sizes)
                        for server in order
                    }
                )
                _tell(letter, found[letter][-1])
    for _ in range(rounds if RESTART in letters else 0):
        found[RESTART].append(restarted(stage, subject, next(seeds), sizes))
        _tell(RESTART, found[RESTART][-1])
    return [_row(letter, found[letter]) for letter in letters]


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
