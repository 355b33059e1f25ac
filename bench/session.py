"""What is measured beside what: the mock, the gateways in front of it, and rounds that take turns."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from bench.processes import GATEWAY_CORE, KEY, LOAD_CORE, Child, Stage, exchange, free_port

T = TypeVar("T")
READY_BODY = {"model": "mock", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True)
class Options:
    rounds: int
    seconds: float
    samples: int
    streams: int
    """Streams that row 8 holds open."""
    tokens: int
    """The length of a reply of the row with a real model."""
    source: Path
    against: Path | None
    model: Path | None
    """The GGUF of the rows with a real model; None leaves them out."""
    tuned: Path | None
    """What `antiphon tune` has kept, for ours in the rows with a real model."""
    with_litellm: bool


@dataclass(frozen=True)
class Target:
    """Something that answers: a gateway, or the mock itself (`direct`)."""

    name: str
    child: Child
    path: str = "/v1/messages"

    def request(self, body: dict[str, Any]) -> bytes:
        """The bytes of a POST of `body`."""
        return post(self.path, orjson.dumps(body))


def post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-api-key: {KEY}\r\nanthropic-version: 2023-06-01\r\n\r\n"
    )
    return head.encode() + body


class Bench:
    """A session of measurements on one mock. Gateways are started when a row asks for them, and then kept."""

    def __init__(self, stage: Stage, options: Options) -> None:
        self.stage = stage
        self.options = options
        self.mock = self.start_mock("plain")
        self._targets: dict[str, Target] = {}

    @property
    def ours(self) -> list[str]:
        """The gateways of this project: the one under test, and perhaps an older tree of it."""
        return ["ours", "against"] if self.options.against else ["ours"]

    @property
    def peers(self) -> list[str]:
        return ["litellm"] if self.options.with_litellm else []

    def targets(self, names: Iterable[str]) -> list[Target]:
        return [self._target(name) for name in names]

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            self._targets[name] = self._open(name)
        return self._targets[name]

    def _open(self, name: str) -> Target:
        if name == "direct":
            return Target(name, self.mock, "/v1/chat/completions")
        target = Target(name, self.start(name))
        target.child.wait_until_ready(target.request(READY_BODY))
        return target

    def start_mock(self, dialect: str) -> Child:
        mock = self.stage.python("mock", "bench.mock", free_port(), "--dialect", dialect, core=LOAD_CORE)
        mock.wait_until_ready(post("/control", b"{}"))
        return mock

    def start(self, name: str, engine: Child | None = None) -> Child:
        """A gateway of its own in front of `engine`, or else of the mock; it may not be ready yet."""
        engine = engine or self.mock
        if name == "bare":
            return self.stage.python("bare", "bench.bare", free_port(), engine.url, core=GATEWAY_CORE)
        if name == "litellm":
            from bench.litellm import start_litellm

            return start_litellm(self.stage, engine)
        source = self.options.against if name == "against" else self.options.source
        assert source is not None
        many = {"ANTIPHON_SLOTS": "2048", "ANTIPHON_MAX_WAITING": "2048"}
        module = "bench.off" if name == "off" else "antiphon"
        return self.stage.antiphon(
            name, "--engine", engine.url, module=module, source=source, core=GATEWAY_CORE, **many
        )

    def take_turns(self, targets: Sequence[Target], measure: Callable[[Target], T]) -> dict[str, list[T]]:
        """`measure` each target once per round, forwards and backwards in turn, after a warm-up that is thrown away."""
        for target in targets:
            measure(target)
        found: dict[str, list[T]] = {target.name: [] for target in targets}
        for number in range(self.options.rounds):
            for target in targets if number % 2 == 0 else reversed(targets):
                found[target.name].append(measure(target))
        return found


def control(mock: Child, **changes: Any) -> dict[str, Any]:
    """Set what the mock does (`prefill_ms`, `pace_ms`, `is_held`), and hear what it has seen."""
    reply = exchange(mock.port, post("/control", orjson.dumps(changes)))
    return orjson.loads(reply.partition(b"\r\n\r\n")[2])
