"""`python -m bench.tools --model FILE.gguf --out FILE.jsonl`: ask a model for calls, and record all that it wrote.

Each prompt that needs a tool is asked as it stands (`auto`), with the tool asked for by name (`asked`), and with a call
demanded (`enforced`: of any tool and of this one by turns). `needless` are the prompts that need none. `bare` asks the
wheel's own server for the tool by name, as `asked` does, with every third prompt. Temperature 0. What is recorded
already is not asked again, so a long run can be taken in slices (`--seconds`).
"""

import argparse
import asyncio
import json
import math
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import jsonschema
from anthropic import AsyncAnthropic
from pydantic import SecretStr

from antiphon.app import create_app
from antiphon.core.clock import SystemClock
from antiphon.engines.connect import connect
from antiphon.engines.protocol import Engine, EngineModel
from antiphon.settings import Settings
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import Piece, Prompt, Wish
from antiphon.web.server import Server, bind
from bench.llama import start_llama
from bench.processes import KEY, REPO, Stage
from bench.tools.prompts import NEEDING, NEEDLESS, TOOLS

_MAX_TOKENS = 300
_MAX_NEEDLESS = 100
_WAYS = ("asked", "auto", "needless", "enforced", "bare")
_SCHEMAS = {tool["name"]: tool["input_schema"] for tool in TOOLS}

Ask = Callable[["Question"], Awaitable[dict[str, Any]]]


class Question(NamedTuple):
    way: str
    prompt: str
    tool: str | None = None
    """The tool that is needed."""

    @property
    def choice(self) -> dict[str, str]:
        if self.way == "tool":
            assert self.tool
            return {"type": "tool", "name": self.tool}
        return {"type": "any" if self.way == "any" else "auto"}

    @property
    def max_tokens(self) -> int:
        return _MAX_TOKENS if self.tool else _MAX_NEEDLESS


class Recording:
    """An engine, and the text of its last reply as it wrote it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.text = ""

    async def models(self) -> tuple[EngineModel, ...]:
        return await self._engine.models()

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        return await self._engine.prepare(model, chat)

    async def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        self.text = wish.opening
        async for pieces in self._engine.generate(model, prompt, wish):
            self.text += "".join(piece.text for piece in pieces)
            yield pieces

    async def aclose(self) -> None:
        await self._engine.aclose()


def questions(ways: tuple[str, ...]) -> Iterator[Question]:
    for way in ways:
        if way == "needless":
            yield from (Question("auto", prompt) for prompt in NEEDLESS)
            continue
        for place, (prompt, tool) in enumerate(NEEDING):
            asked = f"{prompt} Use the tool {tool}."
            if way == "asked":
                yield Question(way, asked, tool)
            elif way == "auto":
                yield Question(way, prompt, tool)
            elif way == "enforced":
                yield Question("tool" if place % 2 else "any", prompt, tool)
            elif place % 3 == 0:
                yield Question(way, asked, tool)


async def record(model: Path, out: Path, ways: tuple[str, ...], seconds: float) -> None:
    """Ask what is not recorded yet, for so many seconds at most."""
    known = {(row["way"], row["prompt"]) for row in _rows(out)}
    left = [question for question in questions(ways) if (question.way, question.prompt) not in known]
    ends_at = time.monotonic() + seconds
    for serve, is_bare in ((_bare, True), (_gateway, False)):
        mine = [question for question in left if (question.way == "bare") is is_bare]
        if not mine or time.monotonic() > ends_at:
            continue
        async with serve(model) as ask:
            with out.open("a") as file:
                for question in mine:
                    if time.monotonic() > ends_at:
                        break
                    print(json.dumps(await ask(question), ensure_ascii=False), file=file, flush=True)


@asynccontextmanager
async def _gateway(model: Path) -> AsyncIterator[Ask]:
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, Any] = {"data_dir": Path(folder), "model": str(model), "slots": 1, "window": 8192}
        settings = Settings(**given, api_key=SecretStr(KEY))
        engine, _ = await connect(settings, clock)
        recording = Recording(engine)
        app = create_app(settings, clock=clock, engine=recording)
        server = Server(app.door, bind("127.0.0.1", 0), settings, clock)
        await app.open()
        serving = app.tasks.spawn(server.serve(), "serve")
        await app.start()
        try:
            async with AsyncAnthropic(base_url=server.url, api_key=KEY, timeout=600, max_retries=2) as client:
                yield lambda question: _ask(client, question, recording)
        finally:
            server.stop()
            await serving
            await app.aclose()


async def _ask(client: AsyncAnthropic, question: Question, recording: Recording) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": "claude-x",
        "max_tokens": question.max_tokens,
        "extra_body": {"temperature": 0},
        "extra_headers": {"anthropic-version": "2023-06-01"},
        "tools": list(TOOLS),
        "tool_choice": question.choice,
        "messages": [{"role": "user", "content": question.prompt}],
    }
    message = await client.messages.create(**request)
    calls = [{"name": block.name, "input": block.input} for block in message.content if block.type == "tool_use"]
    said = "".join(block.text for block in message.content if block.type == "text")
    return _row(question, raw=recording.text, calls=calls, text=said, stop=message.stop_reason)


def _row(question: Question, **reply: Any) -> dict[str, Any]:
    return {"way": question.way, "prompt": question.prompt, "needs": question.tool, **reply}


@asynccontextmanager
async def _bare(model: Path) -> AsyncIterator[Ask]:
    with Stage() as stage:
        child = start_llama(stage, model, 1, REPO / "src")
        await asyncio.to_thread(child.wait_until_ready, _HEALTH % KEY.encode())
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(base_url=child.url, headers=headers, timeout=600) as client:
            yield lambda question: _ask_bare(client, question)


_HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer %b\r\n\r\n"


async def _ask_bare(client: httpx2.AsyncClient, question: Question) -> dict[str, Any]:
    request = {
        "max_tokens": question.max_tokens,
        "temperature": 0,
        "tools": [_function(tool) for tool in TOOLS],
        "messages": [{"role": "user", "content": question.prompt}],
    }
    reply = (await client.post("/v1/chat/completions", json=request)).raise_for_status().json()
    choice = reply["choices"][0]
    functions = [call["function"] for call in choice["message"].get("tool_calls") or ()]
    calls = [{"name": each["name"], "input": _read(each["arguments"])} for each in functions]
    return _row(question, calls=calls, text=choice["message"].get("content"), stop=choice["finish_reason"])


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    about = {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
    return {"type": "function", "function": about}


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return None


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_valid(row: dict[str, Any]) -> bool:
    """Whether there is a call, and each is of an offered tool with arguments that its schema allows."""
    calls = row["calls"]
    return bool(calls) and all(
        jsonschema.Draft202012Validator(_SCHEMAS[call["name"]]).is_valid(call["input"]) for call in calls
    )


def report(path: Path) -> None:
    rows = _rows(path)
    print(f"{path.stem}: {len(rows)} replies")
    for way in ("asked", "auto", "any", "tool", "bare"):
        asked = [row for row in rows if row["way"] == way and row["needs"]]
        cut = [row for row in asked if row["stop"] == "max_tokens"]
        valid = [row for row in asked if is_valid(row)]
        right = [row for row in valid if row["calls"][0]["name"] == row["needs"]]
        print(f"  {way}: of {len(asked)}, valid {len(valid)}, of the right tool {len(right)}, cut {len(cut)}")
    plain = [row for row in rows if not row["needs"]]
    print(f"  no tool needed: of {len(plain)}, calls in {sum(bool(row['calls']) for row in plain)}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tools", description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF to ask; without it, what is recorded is reported")
    parser.add_argument("--out", type=Path, required=True, help="where the replies are recorded, one JSON a line")
    parser.add_argument("--ways", default=",".join(_WAYS), help="which questions to ask, in this order")
    parser.add_argument("--seconds", type=float, default=math.inf, help="ask for so long, and go on another time")
    given = parser.parse_args()
    if given.model:
        asyncio.run(record(given.model, given.out, tuple(given.ways.split(",")), given.seconds))
    report(given.out)


if __name__ == "__main__":
    main()
