"""Grammars of real agents' schemas in the real llama.cpp: none is refused, and what comes out is valid."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.clock import SystemClock
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.turn.schema import gbnf
from antiphon.turn.schema.check import problem_of
from antiphon.turn.schema.gbnf import Json, Text
from antiphon.turn.schema.grammar import grammar_of
from tests.corpus.schemas.corpus import Case, cases

pytestmark = pytest.mark.real
MODEL = "smollm2"
SOURCE = Path(__file__).parents[2] / "src"
SLICE = cases()[::9]
ASKED = {
    "coding_agent/Edit": "Replace foo by bar in /tmp/a.py",
    "coding_agent/Grep": "Look for TODO in the folder src",
    "coding_agent/TodoWrite": "Plan: read the file, then fix the bug",
    "coding_agent/AskUserQuestion": "Ask me which colour I like: red or blue",
    "coding_agent/LSP": "Go to the definition at line 10, character 4 of /tmp/a.py",
    "github/create_issue": "Open an issue in acme/site: the menu is broken",
    "github/list_issues": "List the open issues of acme/site",
    "mcp_reference/git_log": "Show the last five commits of /repo",
    "mcp_reference/time_convert": "What is 14:30 of Berlin in Tokyo?",
    "mcp_reference/sequentialthinking": "Think about prime numbers",
    "mcp_reference/memory_create_entities": "Remember that Ada is a mathematician",
    "work_apps/jira_transition": "Move WEB-12 to done",
    "work_apps/stripe_create_price": "A price of 10 euros a month for product p1",
    "work_apps/gcal_create_event": "Lunch with Ann on 2026-05-04 at noon for one hour",
    "work_apps/jira_adf_comment": "Comment on WEB-12: it works now",
    "pydantic/Tree": "A tree with a root and two leaves",
    "pydantic/Discriminated": "A dog that barks twice",
    "pydantic/Constrained": "Ann, aged 30, with a score of 80",
    "pydantic/Datetimes": "The first of May 2026 at noon",
    "zod/discriminated": "The request failed with code 5",
    "zod/semver": "Version 1.2.3",
    "openapi/geojson": "The point 3, 4",
    "openapi/phone": "The number +4930123456",
    "nasty/const_object": "Anything",
}


@pytest.fixture(scope="module")
async def engine(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ChildEngine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SOURCE))
        plan = gguf.plan(smollm2, gguf.available_bytes(), gguf.num_cores())
        child = ChildEngine(smollm2, tmp_path_factory.mktemp("data"), SystemClock(), name=MODEL, plan=plan)
        await child.start()
        yield child
        await child.aclose()


async def post(engine: ChildEngine, path: str, body: dict[str, Any]) -> dict[str, Any]:
    assert engine._child
    assert engine._child._upstream
    return await engine._child._upstream.post_json(path, body)


async def complete(engine: ChildEngine, prompt: str, num_tokens: int, grammar: str) -> dict[str, Any]:
    body = {"prompt": prompt, "n_predict": num_tokens, "temperature": 0, "grammar": grammar}
    return await post(engine, "/completion", body)


async def all_compile(engine: ChildEngine, chosen: list[Case]) -> None:
    for case in chosen:
        started = time.perf_counter()
        reply = await complete(engine, "JSON: ", 1, grammar_of(Json(case.schema)).text)
        assert reply["content"] or reply["stop_type"] == "eos", case.name
        assert time.perf_counter() - started < 5, case.name


async def test_the_engine_takes_the_grammar_of_every_ninth_schema(engine: ChildEngine):
    await all_compile(engine, SLICE)


@pytest.mark.slow
async def test_the_engine_takes_the_grammar_of_every_schema(engine: ChildEngine):
    await all_compile(engine, cases())


async def test_the_engine_takes_all_tools_of_an_agent_at_once(engine: ChildEngine):
    calls = [
        gbnf.seq(
            Text(f'<tool_call>\n{{"name": "{case.name}", "arguments": '), Json(case.schema), Text("}\n</tool_call>")
        )
        for case in cases()
        if not case.name.startswith("nasty/")
    ]
    assert len(calls) > 200
    grammar = grammar_of(gbnf.many(gbnf.alt(*calls), at_most=8, between="\n"))
    assert len(grammar.text) < 200_000
    reply = await complete(engine, "JSON: ", 10, grammar.text)
    assert reply["content"].startswith("<tool_call>")


async def test_a_call_is_written_under_the_grammar_of_its_tool(engine: ChildEngine):
    schema = next(case.schema for case in cases() if case.name == "coding_agent/Edit")
    text = await written(engine, schema, ASKED["coding_agent/Edit"])
    assert text
    assert problem_of(schema, json.loads(text)) is None


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_what_the_model_writes_under_a_grammar_is_valid(engine: ChildEngine):
    by_name = {case.name: case.schema for case in cases()}
    finished = {name: await written(engine, by_name[name], question) for name, question in ASKED.items()}
    problems = {name: problem_of(by_name[name], json.loads(text)) for name, text in finished.items() if text}
    assert {name: problem for name, problem in problems.items() if problem} == {}
    assert len(problems) >= len(ASKED) / 2  # a small model does not always find an end


async def written(engine: ChildEngine, schema: object, question: str) -> str | None:
    """The whole reply, or None if it was cut off."""
    messages = [
        {"role": "system", "content": f"Answer with JSON of this schema: {json.dumps(schema)}"},
        {"role": "user", "content": question},
    ]
    prompt = (await post(engine, "/apply-template", {"messages": messages}))["prompt"]
    reply = await complete(engine, prompt, 300, grammar_of(Json(schema)).text)
    return reply["content"] if reply["stop_type"] != "limit" else None
