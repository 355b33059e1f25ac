"""Claude Code, as its guides say: a task that needs one tool is called, run, sent back, and ends with text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.engines.fake import FakeEngine
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import Grammar, Prompt, Wish
from antiphon.turn.script import MAX_CALLS, call_grammar
from scripts.check_docs import blocks
from tests.fixtures import claude_code
from tests.fixtures.aws import new_pair
from tests.fixtures.claude_code import Session
from tests.fixtures.serving import serving
from tests.fixtures.world import API_KEY, World

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]
GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
NOTE = "the word is marmalade"
ADDRESS = "http://127.0.0.1:8484"


@pytest.fixture(scope="session")
def commands() -> Path:
    return claude_code.install()


class Seeing(FakeEngine):
    """The scripted engine, and what it was given."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.chats: list[Chat] = []

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        self.chats.append(chat)
        return await super().prepare(model, chat)


def block_of(guide: str, tag: str, url: str) -> str:
    (block,) = blocks(GUIDES / guide, tag)
    assert ADDRESS in block.text
    return block.text.replace(ADDRESS, url)


def work_of(folder: Path) -> Path:
    (folder / "note.txt").write_text(NOTE + "\n")
    return folder


def check_run(session: Session) -> None:
    """Called once, result sent back, text at the end."""
    assert len(session.blocks("assistant", "tool_use")) == 1
    check_runs(session)


def check_runs(session: Session) -> None:
    """Called at least once, each call answered, the file read, text at the end."""
    calls, results = session.blocks("assistant", "tool_use"), session.blocks("user", "tool_result")
    assert {call["name"] for call in calls} == {"Read"}
    assert [result["tool_use_id"] for result in results] == [call["id"] for call in calls]
    assert has_read(session)
    assert session.blocks("assistant", "text")
    assert (session.result["type"], session.result["is_error"]) == ("result", False)


def has_read(session: Session) -> bool:
    """Whether some call of `Read` named the file, and got what stands in it."""
    calls = {call["id"]: call for call in session.blocks("assistant", "tool_use")}
    return any(
        NOTE in json.dumps(result["content"])
        and calls[result["tool_use_id"]]["input"].get("file_path", "").endswith("note.txt")
        for result in session.blocks("user", "tool_result")
    )


async def test_a_task_runs_through_with_all_its_tools(commands: Path, tmp_path: Path):
    async with World() as world:
        script = block_of("claude-code.md", "bash test", world.url)
        session = await claude_code.run(commands, script, work_of(tmp_path), ANTIPHON_API_KEY=API_KEY)
    check_run(session)
    assert NOTE in session.result["result"]
    assert len(session.tools) >= 20


async def test_the_grammar_of_all_its_tools_is_taken_by_the_real_engine(commands: Path, tmp_path: Path, smollm2: Path):
    engine = Seeing()
    async with World(engine) as world:
        script = block_of("claude-code.md", "bash test", world.url)
        await claude_code.run(commands, script, work_of(tmp_path), ANTIPHON_API_KEY=API_KEY)
    tools = max((chat.tools for chat in engine.chats), key=len)
    assert len(tools) >= 20
    assert sum(len(json.dumps(tool.definition)) for tool in tools) > 50_000
    plan = gguf.plan(smollm2, gguf.available_bytes(), gguf.num_cores())
    real = ChildEngine(smollm2, tmp_path, SystemClock(), name="smollm2", plan=plan)
    await real.start()
    try:
        form = (await real.models())[0].form
        wish = Wish(40, grammar=Grammar(call_grammar(list(tools), form, MAX_CALLS).text))
        prompt = await real.prepare("smollm2", Chat(engine.chats[0].turns[-1:]))
        pieces = [piece async for burst in real.generate("smollm2", prompt, wish) for piece in burst]
    finally:
        await real.aclose()
    assert "".join(piece.text for piece in pieces).startswith(tuple(tool.name for tool in tools))


async def attempt(commands: Path, script: str, work: Path) -> Session:
    work.mkdir()
    return await claude_code.run(commands, script, work_of(work), seconds=200, ANTIPHON_API_KEY=API_KEY)


@pytest.mark.timeout(600)
async def test_a_task_runs_through_on_a_small_model(commands: Path, tmp_path: Path, qwen15: Path):
    """So small a model fills in parameters that it should leave out, one time in four: then it may try again, twice."""
    with serving(tmp_path, "--model", str(qwen15), ANTIPHON_SLOTS="1", ANTIPHON_TEMPERATURE_SCALE="0") as server:
        script = block_of("claude-code.md", "bash real", server.url)
        session, attempts = await attempt(commands, script, tmp_path / "1"), 1
        while not has_read(session) and attempts < 3:
            attempts += 1
            session = await attempt(commands, script, tmp_path / str(attempts))
    check_runs(session)
    assert len(session.tools) == 3


@pytest.mark.parametrize("is_signed", [True, False], ids=["a pair of keys", "a bearer token"])
async def test_its_bedrock_mode_runs_through(commands: Path, tmp_path: Path, is_signed: bool):
    async with World() as world:
        variables: Any = await aws_variables(world) if is_signed else {"AWS_BEARER_TOKEN_BEDROCK": API_KEY}
        script = block_of("bedrock.md", "bash claude", world.url)
        session = await claude_code.run(commands, script, work_of(tmp_path), seconds=100, **variables)
    check_run(session)


async def aws_variables(world: World) -> dict[str, str]:
    pair: Any = await new_pair(world)
    return {"AWS_ACCESS_KEY_ID": pair.access_key_id, "AWS_SECRET_ACCESS_KEY": pair.secret_access_key}


async def test_its_vertex_mode_runs_through(commands: Path, tmp_path: Path):
    async with World() as world:
        script = block_of("vertex.md", "bash claude", world.url)
        session = await claude_code.run(commands, script, work_of(tmp_path), ANTIPHON_API_KEY=API_KEY)
    check_run(session)
