"""What a server counts of real calls, and what it says of them in its log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.errors import ApiError, internal
from antiphon.telemetry import names
from antiphon.telemetry.logs import JsonFormatter
from antiphon.turn.pieces import Piece, Stop
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.redaction import CANARY
from tests.fixtures.serving import serving
from tests.fixtures.world import HEADERS, World, ask


async def counts(world: World) -> dict[str, float]:
    """Every series of /metrics with its value."""
    async with world.http.get("/metrics") as reply:
        lines = (await reply.text()).splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def test_every_metric_of_the_table_is_there():
    async with World() as world, world.http.get("/metrics") as reply:
        text = await reply.text()
    told = set(re.findall(r"^# TYPE (antiphon_\w+) ", text, re.MULTILINE))
    assert told == {metric.name for metric in names.METRICS}


async def test_a_stream_is_timed_from_its_request_to_its_first_token_and_on():
    engine = ScriptedEngine()
    async with World(engine) as world:
        began_at = time.monotonic()
        reading = asyncio.ensure_future(world.stream(ask(model="scripted")))
        await engine.started.wait()
        await asyncio.sleep(0.1)
        engine.feed([Piece("one", 1)])
        await asyncio.sleep(0.2)
        engine.feed([Piece(" two", 3, stop=Stop("end"))])
        await reading
        whole_s = time.monotonic() - began_at
        seen = await counts(world)
    first_s = seen['antiphon_time_to_first_token_seconds_sum{model="scripted"}']
    later_s = seen['antiphon_time_per_output_token_seconds_sum{model="scripted"}']
    assert min(first_s, later_s) > 0.099
    assert first_s + 2 * later_s < whole_s


async def test_the_queue_is_told_as_it_is():
    engine = ScriptedEngine(num_slots=1)
    async with World(engine, max_waiting=1) as world:
        running = asyncio.ensure_future(world.post("/v1/messages", ask(model="scripted")))
        await engine.started.wait()
        waiting = asyncio.ensure_future(world.post("/v1/messages", ask(model="scripted")))
        while not (await counts(world))["antiphon_queue_waiting"]:
            await asyncio.sleep(0.01)
        assert (await world.post("/v1/messages", ask(model="scripted")))[0] == 529
        busy = await counts(world)
        engine.say("done")
        engine.say("done")
        assert [(await running)[0], (await waiting)[0]] == [200, 200]
        idle = await counts(world)
    shown = ("waiting", "refused_total")
    assert [busy[f"antiphon_queue_{name}"] for name in shown] == [1, 1]
    assert [busy["antiphon_slots"], busy["antiphon_slots_in_use"], busy["antiphon_open_calls"]] == [1, 1, 3]
    assert [idle["antiphon_queue_waiting"], idle["antiphon_slots_in_use"]] == [0, 0]
    assert busy['antiphon_errors_total{kind="overloaded"}'] == 1


async def test_a_limit_that_was_hit_is_counted_by_whose_it_is():
    async with World(rate_limits={"requests_per_minute": 1}) as world:
        statuses = [(await world.post("/v1/messages", ask()))[0] for _ in range(3)]
        seen = await counts(world)
    assert statuses == [200, 429, 429]
    assert seen['antiphon_limits_hit_total{limit="requests_per_minute",party="organization"}'] == 2


async def test_a_call_that_has_ended_is_pending_until_the_ledger_has_it():
    async with World() as world:
        await world.post("/v1/messages", ask())
        await world.app.keeper.flush()
        assert (await counts(world))["antiphon_ledger_pending_rows"] == 0
        async with world.app.database.write():  # holds up the ledger
            await world.post("/v1/messages", ask())
            assert (await counts(world))["antiphon_ledger_pending_rows"] == 1


async def test_an_error_in_mid_stream_is_counted_though_its_status_is_200():
    engine = ScriptedEngine()
    async with World(engine) as world:
        engine.feed([Piece("some", 1)], internal())
        await world.stream(ask(model="scripted"))
        seen = await counts(world)
    assert seen['antiphon_errors_total{kind="internal"}'] == 1
    assert seen['antiphon_requests_total{route="/v1/messages",status="200"}'] == 1


async def test_a_server_without_models_has_no_engine():
    async with World() as world:
        assert (await counts(world))["antiphon_engine_up"] == 1
        world.app.catalog.load([])
        assert (await counts(world))["antiphon_engine_up"] == 0


async def test_a_failing_database_is_counted():
    async with World() as world:
        for attempt in (world.app.database.read, world.app.database.write):
            with pytest.raises(ApiError, match="Overloaded"):
                async with attempt():
                    raise OSError("the disk is gone")
        assert (await counts(world))["antiphon_database_failures_total"] == 2


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


async def test_a_request_that_breaks_is_logged_by_its_id_and_without_its_words():
    engine, heard = ScriptedEngine(), Heard()
    log = logging.getLogger("antiphon.web")
    log.addHandler(heard)
    async with World(engine) as world:
        engine.feed(RuntimeError(f"no template for {CANARY}"))
        async with world.http.post("/v1/messages", headers=HEADERS, json=ask(model="scripted")) as reply:
            request_id = reply.headers["request-id"]
            assert reply.status == 500
    log.removeHandler(heard)
    (line,) = heard.lines
    assert line["request_id"] == request_id
    assert line["message"] == f"request {request_id} failed"
    assert "RuntimeError" in line["trace"]
    assert CANARY not in str(line)


def test_the_log_is_json_where_that_is_asked(tmp_path: Path):
    with serving(tmp_path, "--fake", ANTIPHON_LOG_FORMAT="json", ANTIPHON_ALIASES='{"a":"b"}') as server:
        lines = [json.loads(line) for line in server.printed.splitlines() if line.startswith("{")]
    assert ("warning", "antiphon.engines") in [(line["level"], line["logger"]) for line in lines]


async def test_a_port_of_its_own_needs_no_key():
    async with World(host="127.0.0.1", metrics_port=0) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.app.metrics_port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert b"antiphon_open_calls 0.0" in answer


async def test_without_the_setting_there_is_no_port_of_its_own():
    async with World() as world:
        assert world.app.metrics_port is None
