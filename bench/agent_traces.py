"""What agents ask, turn by turn, and what it costs: the traces of `bench.agent_replay`, one for each of its cases.

A case pauses after each of its turns, so that two servers can take turns: a machine is not as fast for minutes on end.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import orjson

from bench.processes import KEY

ADMIN_KEY = "sk-ant-phonadm1-of-the-bench"
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
        return body_of({"system": system, "messages": list(self._messages)})

    def task(self, number: int, *, num_words: int = 30) -> Json:
        """The first request of one of several agents who share a system prompt."""
        messages = [{"role": "user", "content": f"{number} {self._text(num_words)}"}]
        return body_of({"system": self._system, "messages": messages})

    def side_call(self) -> Json:
        """A title for the conversation: short, with a head of its own."""
        messages = [{"role": "user", "content": f"{self._num_turns} {self._text(20)}"}]
        return body_of({"system": f"You name titles for {self.session}.", "messages": messages})


def body_of(fields: Json) -> Json:
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


Turns = Generator[None, None, Tally]
"""A case under way on one server."""


def replay(server: Server, trace: Trace, num_turns: int, *, system_every: int = 0, sides: bool = True) -> Turns:
    tally, last = Tally(), 0
    for number in range(num_turns):
        body = trace.turn(with_system=bool(system_every) and number % system_every == system_every - 1)
        last = count(tally, server, body, trace.session)
        if sides:
            tally.num_unique += count(tally, server, trace.side_call(), trace.session, is_side=True)
        yield
    tally.num_unique += last
    return tally


def take(turns: Turns) -> Tally:
    """All of them, one after another."""
    return side_by_side([turns])[0]


def side_by_side(cases: Sequence[Turns]) -> list[Tally]:
    """Each takes a turn, then each its next."""
    tallies: dict[int, Tally] = {}
    while len(tallies) < len(cases):
        for number, turns in enumerate(cases):
            try:
                next(turns)
            except StopIteration as ended:
                tallies.setdefault(number, ended.value)
    return [tallies[number] for number in range(len(cases))]


def count(tally: Tally, server: Server, body: Json, session: str, *, is_side: bool = False) -> int:
    """Ask, and add to `tally` what it cost; the prompt's tokens."""
    answer = server.ask(body, session)
    assert answer
    num_input, computed, wall_s = answer
    tally.num_computed += computed
    tally.wall_s += wall_s
    if not is_side:
        tally.turns_s.append(wall_s)
    return num_input


def stable(server: Server, seed: int, sizes: Sizes) -> Turns:
    return replay(server, Trace(seed, sizes.num_words), sizes.num_turns)


def cch_changes(server: Server, seed: int, sizes: Sizes) -> Turns:
    return replay(server, Trace(seed, sizes.num_words, _cch), sizes.num_turns)


def six_on_four(server: Server, seed: int, sizes: Sizes) -> Turns:
    traces = [Trace(seed + number, sizes.num_words_each) for number in range(6)]
    tally, lasts = Tally(), [0] * 6
    for _ in range(max(2, sizes.num_turns - 1)):
        for number, trace in enumerate(traces):
            lasts[number] = count(tally, server, trace.turn(), trace.session)
            yield
    tally.num_unique = sum(lasts)
    return tally


def system_in_the_middle(server: Server, seed: int, sizes: Sizes) -> Turns:
    return replay(server, Trace(seed, sizes.num_words), max(4, sizes.num_turns), system_every=3, sides=False)


def gives_up(server: Server, seed: int, sizes: Sizes) -> Turns:
    """What was computed before it gave up is not told: of the second try only what was not there any more counts."""
    trace = Trace(seed, sizes.num_words)
    body, started = trace.turn(), time.perf_counter()
    is_told = server.ask(body, trace.session, patience_s=_PATIENCE_S)
    tally = Tally()
    tally.num_unique = count(tally, server, body, trace.session)
    tally.wall_s = time.perf_counter() - started
    if is_told:
        print("agent_replay: the first try was answered before it gave up", file=sys.stderr)
    yield
    return tally


def version_changes(server: Server, seed: int, sizes: Sizes) -> Turns:
    return replay(server, Trace(seed, sizes.num_words, _version), sizes.num_turns)


def two_workspaces(server: Server, seed: int, sizes: Sizes) -> Turns:
    """The same prompts in both, at once: neither may be spared any of them by the other."""
    servers = [server, Server(server.name, server.port, _other_key(server) if server.name == "ours" else KEY)]
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        tallies = list(
            threads.map(
                lambda one: take(replay(one, Trace(seed, sizes.num_words, _version), sizes.num_turns, sides=False)),
                servers,
            )
        )
    wall_s = time.perf_counter() - started
    yield
    return Tally(
        sum(tally.num_computed for tally in tallies),
        sum(tally.num_unique for tally in tallies),
        wall_s,
    )


def four_at_once(server: Server, seed: int, sizes: Sizes) -> Turns:
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
    yield
    return tally


def _other_key(server: Server) -> str:
    other = _admin(server, "/v1/organizations/workspaces", {"name": f"Other {time.time_ns()}"})["id"]
    return _admin(server, "/antiphon/api_keys", {"name": "Theirs", "workspace_id": other})["key"]


def _admin(server: Server, path: str, body: Json) -> Any:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"x-api-key": ADMIN_KEY, "anthropic-version": "2026-10-21", "content-type": "application/json"}
    with suppress(TimeoutError):
        connection.request("POST", path, json.dumps(body), headers)
        reply = connection.getresponse()
        content = reply.read()
        if reply.status == 200:
            return orjson.loads(content)
    raise SystemExit(f"agent_replay: {path} failed")


Case = Callable[[Server, int, Sizes], Turns]
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
