"""Message Batches with the official SDK, and what it cannot send."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types.messages import MessageBatch

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.core.scope import Scope
from antiphon.web.pages import Page
from tests.fixtures.batches import ended, results_of, turn_clock
from tests.fixtures.images import png, sign
from tests.fixtures.world import HEADERS, World, ask


def requests(*ids: str, **fields: Any) -> list[Any]:
    return [{"custom_id": name, "params": ask(f"say {name}", **fields)} for name in ids]


async def run(client: AsyncAnthropic, items: list[Any]) -> tuple[MessageBatch, dict[str, Any]]:
    """An ended batch, and its results by their custom_id."""
    batch = await ended(client, (await client.messages.batches.create(requests=items)).id)
    return batch, await results_of(client, batch.id)


async def test_a_batch_runs_to_its_end():
    async with World() as world, world.sdk() as client:
        made = await client.messages.batches.create(requests=requests("a", "b", "c"))
        assert made.processing_status == "in_progress"
        assert (made.request_counts.processing, made.results_url, made.ended_at) == (3, None, None)
        assert (made.expires_at - made.created_at).total_seconds() == 86_400
        batch = await ended(client, made.id)
        assert (batch.request_counts.processing, batch.request_counts.succeeded) == (0, 3)
        assert batch.results_url == f"{world.url}/v1/messages/batches/{made.id}/results"
        results = await results_of(client, made.id)
    assert {name: result.message.content[0].text for name, result in results.items()} == {
        "a": "say a",
        "b": "say b",
        "c": "say c",
    }
    usage = results["a"].message.usage
    assert (usage.service_tier, usage.input_tokens, usage.output_tokens) == ("batch", 4, 2)


async def test_the_beta_client_finds_the_same():
    async with World() as world, world.sdk() as client:
        made = await client.beta.messages.batches.create(requests=requests("a"))
        await ended(client, made.id)
        lines = [line async for line in await client.beta.messages.batches.results(made.id)]
        assert [line.custom_id for line in lines] == ["a"]
        assert [batch.id async for batch in client.beta.messages.batches.list()] == [made.id]
        assert (await client.beta.messages.batches.delete(made.id)).type == "message_batch_deleted"


WRONG_PARAMS: list[dict[str, Any]] = [
    {"model": "echo", "max_tokens": 1},
    ask(model="nobody"),
    ask(messages=[]),
    ask(max_tokens="5"),
    ask(tool_choice={"type": "any"}),
    ask(max_tokens=1_000_000),
    ask("w " * 250_000),
]


async def test_wrong_params_get_the_words_of_the_call_that_they_would_have_been():
    items: list[Any] = [{"custom_id": str(n), "params": params} for n, params in enumerate(WRONG_PARAMS)]
    async with World() as world, world.sdk() as client:
        batch, results = await run(client, items)
        assert batch.request_counts.errored == len(items)
        for n, params in enumerate(WRONG_PARAMS):
            status, answer = await world.post("/v1/messages", params, **{"anthropic-version": "2026-10-21"})
            assert status in (400, 404)
            error = results[str(n)].error
            assert error.type == "error"
            assert error.request_id is None
            assert {"type": error.error.type, "message": error.error.message} == answer["error"]


async def test_what_a_batch_cannot_do_is_told_for_each_request():
    async with World() as world, world.sdk() as client:
        items = [
            {"custom_id": "stream", "params": ask(stream=True)},
            {"custom_id": "none", "params": ask(max_tokens=0)},
        ]
        _, results = await run(client, items)
    assert results["stream"].error.error.message == '"stream=True" is not supported in the Message Batches API'
    assert results["none"].error.error.message == "max_tokens: must be greater than or equal to 1"


async def test_items_are_read_in_the_version_and_with_the_betas_of_their_batch():
    async with World() as world, world.sdk() as client:
        _, new = await run(client, requests("t", temperature=0.5))
        status, made = await world.post("/v1/messages/batches", {"requests": requests("t", temperature=0.5)})
        assert status == 200
        await ended(client, made["id"])
        old = await results_of(client, made["id"])
    assert new["t"].error.error.message == "temperature: Extra inputs are not permitted"
    assert old["t"].type == "succeeded"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "requests: Field required"),
        (b'{"requests": []}', "requests: List should have at least 1 item after validation, not 0"),
        (b'{"requests": {}}', "requests: Input should be a valid array"),
        (b'{"requests": null}', "requests: Input should be a valid array"),
        (b'{"requests": [1]}', "requests.0: Input should be an object"),
        (b'{"requests": [{"params": {}}]}', "requests.0.custom_id: Field required"),
        (b'{"requests": [{"custom_id": "a"}]}', "requests.0.params: Field required"),
        (b'{"requests": [{"custom_id": "a", "params": 5}]}', "requests.0.params: Input should be an object"),
        (
            b'{"requests": [{"custom_id": "%b", "params": {}}]}' % (b"a" * 65),
            "requests.0.custom_id: String should have at most 64 characters",
        ),
        (
            b'{"requests": [{"custom_id": "a", "params": {}}, {"custom_id": "b c", "params": {}}]}',
            "requests.1.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            b'{"requests": [{"custom_id": "", "params": {}}]}',
            "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
        ),
        (
            b'{"requests": [{"custom_id": "dup", "params": {}}, {"custom_id": "dup", "params": {}}]}',
            "requests: custom_id's must be unique within a batch. Duplicate custom_id found: dup",
        ),
        (b'{"requests": [', "The request body is not valid JSON: unexpected end of data"),
        (b'{"requests": [{"custom_id": "a"', "The request body is not valid JSON: unexpected end of data"),
        (b"[]", "The request body is not valid JSON: expected an object"),
        (b'{"requests": [], "requests": []}', "The request body is not valid JSON: duplicate key"),
    ],
)
async def test_a_wrong_list_is_told_at_once(body: bytes, words: str):
    async with World() as world, world.sdk() as client:
        status, answer = await world.post("/v1/messages/batches", body)
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert answer["error"]["message"].startswith(words)
        assert not (await client.messages.batches.list()).data


@pytest.mark.full
async def test_too_many_requests_are_told():
    body = json.dumps({"requests": [{"custom_id": str(n), "params": {}} for n in range(100_001)]}).encode()
    async with World() as world:
        async with world.http.post("/v1/messages/batches", headers=HEADERS, data=io.BytesIO(body)) as reply:
            status, answer = reply.status, await reply.json()
    assert status == 400
    assert answer["error"]["message"].startswith("requests: List should have at most 100000 items")


async def test_a_body_over_256_mb_is_refused_by_its_head():
    async with World() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rpartition(":")[2]))
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        length = 256 * 1024 * 1024 + 1
        writer.write(
            f"POST /v1/messages/batches HTTP/1.1\r\nhost: x\r\n{head}content-length: {length}\r\n\r\n".encode()
        )
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()
    assert answer.startswith("HTTP/1.1 413")


async def test_a_batch_is_listed_page_by_page_the_newest_first():
    async with World(batch_worker=False) as world, world.sdk() as client:
        made = [(await client.messages.batches.create(requests=requests("a"))).id for _ in range(5)]
        assert [batch.id async for batch in client.messages.batches.list(limit=2)] == made[::-1]
        page = await client.messages.batches.list(limit=2, before_id=made[0])
        assert ([batch.id for batch in page.data], page.has_more) == ([made[2], made[1]], True)
        with pytest.raises(anthropic.BadRequestError, match="after_id: msgbatch_no was not found"):
            await client.messages.batches.list(after_id="msgbatch_no")


async def test_while_it_runs_it_says_when_to_look_again_and_has_no_results():
    async with World(batch_worker=False) as world, world.sdk() as client:
        made = await client.messages.batches.create(requests=requests("a"))
        raw = await client.messages.batches.with_raw_response.retrieve(made.id)
        assert raw.headers["retry-after"] == "10"
        async with world.http.get(f"/v1/messages/batches/{made.id}/results", headers=HEADERS) as reply:
            assert reply.status == 404
            message = f"Message Batch {made.id} has no available results."
            assert (await reply.json())["error"] == {"type": "not_found_error", "message": message}
        with pytest.raises(anthropic.BadRequestError, match=r"In progress batches cannot be deleted\. Consider"):
            await client.messages.batches.delete(made.id)


async def test_an_unknown_batch_is_404():
    async with World() as world, world.sdk() as client:
        for ask_for in ("retrieve", "cancel", "delete"):
            with pytest.raises(anthropic.NotFoundError, match=r"Message Batch msgbatch_no not found\."):
                await getattr(client.messages.batches, ask_for)("msgbatch_no")


async def test_a_batch_of_another_workspace_is_unknown():
    async with World() as world, world.sdk() as client:
        batch, _ = await run(client, requests("a"))
        scope = Scope(world.app.directory.home.organization_id, "wrkspc_01another")
        for refused in (
            world.app.batches.retrieve(scope, batch.id),
            world.app.batches.cancel(scope, batch.id),
            world.app.batches.delete(scope, batch.id),
            anext(world.app.batches.results(scope, batch.id)),
            world.app.batches.list(scope, Page(batch.id, None, 5)),
        ):
            with pytest.raises(ApiError, match=r"not found|was not found"):
                await refused
        assert not (await world.app.batches.list(scope, Page(None, None, 5))).rows


async def test_cancel_ends_what_waits_and_what_runs():
    async with World(slots=2) as world, world.sdk() as client:
        items = requests("slow1", "slow2", "slow3", model="slow", max_tokens=100_000)
        made = await client.messages.batches.create(requests=items)
        while world.app.worker.num_running < 2 or world.app.catalog.models[0].pool.num_free:
            await asyncio.sleep(0.01)
        canceled = await client.messages.batches.cancel(made.id)
        assert canceled.processing_status == "canceling"
        assert canceled.cancel_initiated_at is not None
        assert canceled.request_counts.processing == 3
        again = await client.messages.batches.cancel(made.id)
        assert again.cancel_initiated_at == canceled.cancel_initiated_at
        batch = await ended(client, made.id)
        assert batch.request_counts.canceled == 3
        assert {result.type for result in (await results_of(client, made.id)).values()} == {"canceled"}
        assert world.app.catalog.models[0].pool.num_free == 2


async def test_what_is_not_done_after_a_day_expires_even_in_mid_item():
    clock = ManualClock()
    async with World(clock=clock, slots=1) as world, world.sdk(timeout=30) as client:
        made = await client.messages.batches.create(requests=requests("a", "b", model="slow", max_tokens=100_000))
        await turn_clock(clock, lambda: world.app.worker.num_running == 1, step_s=0.1)
        clock.advance(86_399)
        assert (await client.messages.batches.retrieve(made.id)).processing_status == "in_progress"
        batch = await ended(client, made.id, clock)
        assert batch.request_counts.expired == 2
        assert {result.type for result in (await results_of(client, made.id)).values()} == {"expired"}


async def test_results_are_kept_29_days():
    clock = ManualClock()
    async with World(clock=clock) as world, world.sdk() as client:
        made = await client.messages.batches.create(requests=requests("a"))
        batch = await ended(client, made.id, clock)
        clock.advance(29 * 86_400 - 60)
        assert list(await results_of(client, made.id)) == ["a"]
        clock.advance(60)
        await turn_clock(clock, lambda: True)
        for _ in range(200):
            clock.advance(1)
            batch = await client.messages.batches.retrieve(made.id)
            if batch.archived_at:
                break
        assert batch.archived_at is not None
        assert batch.results_url is None
        assert batch.processing_status == "ended"
        async with world.http.get(f"/v1/messages/batches/{made.id}/results", headers=HEADERS) as reply:
            assert reply.status == 404


async def test_a_deleted_batch_is_gone_with_all_its_rows():
    async with World() as world, world.sdk() as client:
        batch, _ = await run(client, requests("a", "b"))
        await client.messages.batches.delete(batch.id)
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.batches.retrieve(batch.id)
        for _ in range(200):
            async with world.app.database.read() as connection:
                rows = await connection.exec_driver_sql(
                    "SELECT id FROM batches UNION SELECT batch_id FROM batch_results"
                )
                if not rows.all():
                    return
            await asyncio.sleep(0.02)
    raise AssertionError("the rows of a deleted batch stay")


async def test_a_batch_costs_half_and_is_in_the_ledger_once_for_each_result():
    prices = {"*": {"input": 1, "output": 10}}
    async with World(prices=prices) as world, world.sdk() as client:
        _, results = await run(client, [*requests("a", "b"), {"custom_id": "bad", "params": {}}])
        await world.app.keeper.flush()
        async with world.app.database.read() as connection:
            query = "SELECT message_id, service_tier, input_tokens, output_tokens, input_cost, output_cost FROM usage"
            rows = (await connection.exec_driver_sql(query)).all()
    messages = {result.message.id: result.message.usage for result in results.values() if result.type == "succeeded"}
    assert {row[0] for row in rows} == set(messages)
    for row in rows:
        message_id, tier, num_input, num_output, input_cost, output_cost = tuple(row)
        assert (tier, num_input, num_output) == (
            "batch",
            messages[message_id].input_tokens,
            messages[message_id].output_tokens,
        )
        assert (input_cost, output_cost) == (num_input * 500, num_output * 5_000)


async def test_limits_of_pace_are_not_for_batches_and_the_budget_is():
    limits = {"requests_per_minute": 2}
    async with World(rate_limits=limits) as world, world.sdk() as client:
        batch, _ = await run(client, requests(*map(str, range(10))))
        assert batch.request_counts.succeeded == 10
        await client.messages.create(**ask())


async def test_everything_that_a_call_can_do_works_in_a_batch():
    tool = {"name": "look", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    items: list[Any] = [
        {"custom_id": "tool", "params": ask(model="tool-caller", tools=[tool], max_tokens=100)},
        {"custom_id": "json", "params": ask(output_config={"format": {"type": "json_schema", "schema": schema}})},
        {"custom_id": "think", "params": ask(model="thinker", max_tokens=2000, thinking={"type": "adaptive"})},
        {"custom_id": "cache", "params": ask("w " * 2000, cache_control={"type": "ephemeral"}, max_tokens=5)},
    ]
    async with World() as world, world.sdk() as client:
        batch, results = await run(client, items)
    assert batch.request_counts.succeeded == 4, results
    assert results["tool"].message.stop_reason == "tool_use"
    assert list(json.loads(results["json"].message.content[0].text)) == ["n"]
    assert results["think"].message.content[0].type == "thinking"
    usage = results["cache"].message.usage
    assert usage.cache_creation_input_tokens + usage.cache_read_input_tokens > 1900


async def test_pictures_documents_and_files_work_in_a_batch():
    grass = {"type": "text", "media_type": "text/plain", "data": "The grass is green. The sky is blue."}
    document: Any = {"type": "document", "source": grass, "citations": {"enabled": True}}
    question = {"type": "text", "text": "What colour is it?"}
    async with World() as world, world.sdk() as client:
        uploaded = await client.files.upload(file=("grass.txt", b"The grass is green.", "text/plain"))
        by_id = {"type": "document", "source": {"type": "file", "file_id": uploaded.id}}
        gone = by_id | {"source": {"type": "file", "file_id": "file_01nobodys"}}
        items = [
            {"custom_id": "picture", "params": ask([png(sign("STOP")), question])},
            {"custom_id": "cited", "params": ask([document, question], model="citer")},
            {"custom_id": "file", "params": ask([by_id, question])},
            {"custom_id": "gone", "params": ask([gone, question])},
        ]
        _, results = await run(client, items)
    assert [results[name].type for name in ("picture", "cited", "file", "gone")] == [*["succeeded"] * 3, "errored"]
    assert results["cited"].message.content[0].citations[0].cited_text.startswith("The grass is green.")
    assert results["file"].message.usage.input_tokens > 6
    assert "file_01nobodys" in results["gone"].error.error.message


async def test_engines_that_are_busy_are_asked_again_and_broken_ones_a_few_times():
    clock = ManualClock()
    async with World(clock=clock) as world, world.sdk() as client:
        items = [*requests("broken", model="fail-2"), *requests("fine")]
        batch = await ended(client, (await client.messages.batches.create(requests=items)).id, clock)
        results = await results_of(client, batch.id)
        assert results["fine"].type == "succeeded"
        assert results["broken"].error.error.type == "api_error"
        made = await client.messages.batches.create(requests=requests("down", model="down"))
        for _ in range(120):
            clock.advance(30)
            await client.messages.batches.retrieve(made.id)
        assert (await client.messages.batches.retrieve(made.id)).processing_status == "in_progress"
        clock.advance(86_400)
        assert (await ended(client, made.id, clock)).request_counts.expired == 1


async def test_models_say_that_they_take_batches():
    async with World() as world, world.sdk() as client:
        model = await client.models.retrieve("echo")
    assert model.capabilities
    assert model.capabilities.batch.supported
