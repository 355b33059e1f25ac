"""`python -m bench.tools --model FILE.gguf --out FILE.jsonl`: ask a model for calls, and record all that it wrote.

Four questions for each prompt: `auto` as it stands, `auto` with the tool asked for by name, `any` and `tool`. Prompts
that need no tool are asked with `auto` only. Temperature 0. What is recorded already is not asked again.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
from bench.processes import KEY
from bench.tools.prompts import NEEDING, NEEDLESS, TOOLS

_MAX_TOKENS = 300
_SCHEMAS = {tool["name"]: tool["input_schema"] for tool in TOOLS}


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


def questions() -> Iterator[Question]:
    for needing in NEEDING:
        yield Question("auto", needing.prompt, needing.tool)
    for prompt in NEEDLESS:
        yield Question("auto", prompt)
    for needing in NEEDING:
        yield Question("asked", f"{needing.prompt} Use the tool {needing.tool}.", needing.tool)
    for way in ("any", "tool"):
        for needing in NEEDING:
            yield Question(way, needing.prompt, needing.tool)


async def record(model: Path, out: Path) -> None:
    known = {(row["way"], row["prompt"]) for row in _rows(out)}
    left = [question for question in questions() if (question.way, question.prompt) not in known]
    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder, out.open("a") as file:
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
                for question in left:
                    row = await _ask(client, question, recording)
                    print(json.dumps(row), file=file, flush=True)
        finally:
            server.stop()
            await serving
            await app.aclose()


async def _ask(client: AsyncAnthropic, question: Question, recording: Recording) -> dict[str, Any]:
    request: dict[str, Any] = {
        "model": "claude-x",
        "max_tokens": _MAX_TOKENS,
        "extra_body": {"temperature": 0},
        "tools": list(TOOLS),
        "tool_choice": question.choice,
        "messages": [{"role": "user", "content": question.prompt}],
    }
    message = await client.messages.create(**request)
    calls = [{"name": block.name, "input": block.input} for block in message.content if block.type == "tool_use"]
    said = "".join(block.text for block in message.content if block.type == "text")
    row = {"way": question.way, "prompt": question.prompt, "needs": question.tool, "raw": recording.text}
    return row | {"calls": calls, "text": said, "stop": message.stop_reason}


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
    for way in ("auto", "asked", "any", "tool"):
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
    given = parser.parse_args()
    if given.model:
        asyncio.run(record(given.model, given.out))
    report(given.out)


if __name__ == "__main__":
    main()
