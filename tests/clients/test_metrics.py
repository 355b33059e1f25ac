"""Who may read /metrics, and what a client can write into it: nothing."""

from __future__ import annotations

import pytest

from antiphon.facades.health import is_loopback
from tests.fixtures.world import ADMIN_KEY, API_KEY, HEADERS, World, ask


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_on_loopback_they_are_open(host: str):
    async with World(host=host) as world, world.http.get("/metrics") as reply:
        text = await reply.text()
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nantiphon_open_calls 1.0\n" in text


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({}, 401, "x-api-key header is required"),
        ({"x-api-key": "wrong"}, 401, "API key is invalid."),
        ({"x-api-key": API_KEY}, 401, "API key is invalid."),
        ({"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}, 401, "invalid x-api-key"),
        ({"x-api-key": ADMIN_KEY}, 200, None),
        ({"authorization": f"Bearer {ADMIN_KEY}"}, 200, None),
    ],
)
async def test_elsewhere_they_need_an_admin_key(headers: dict[str, str], status: int, message: str | None):
    async with World(host="0.0.0.0") as world, world.http.get("/metrics", headers=headers) as reply:
        text = await reply.text()
        assert reply.status == status
        if message:
            assert (await reply.json())["error"] == {"type": "authentication_error", "message": message}
        assert ("antiphon_open_calls" in text) == (status == 200)


@pytest.mark.parametrize("header", ["x-forwarded-for", "X-Real-IP", "forwarded"])
async def test_behind_a_proxy_on_the_same_machine_they_need_one_too(header: str):
    async with World() as world:
        async with world.http.get("/metrics", headers={header: "203.0.113.7"}) as reply:
            assert reply.status == 401
        async with world.http.get("/metrics", headers={header: "203.0.113.7", "x-api-key": ADMIN_KEY}) as reply:
            assert reply.status == 200


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.5", False),
        ("antiphon.example", False),
    ],
)
def test_which_hosts_are_loopback(host: str, is_local: bool):
    assert is_loopback(host) == is_local


async def test_no_label_holds_a_clients_own_word():
    async with World() as world:
        await world.post("/v1/messages", ask(model="claude-mine"))
        await world.post("/v1/messages", ask(model="mine-at-all"))
        await world.post("/v1/messages", ask(model="fail-31337"))
        for path in ("/v1/models/mine", "/v1/mine", "/mine?mine=mine"):
            async with world.http.request("PATCH", path, headers=HEADERS) as reply:
                assert reply.status in (404, 405)
        async with world.http.get("/metrics") as reply:
            text = await reply.text()
    assert "mine" not in text.lower()
    assert "31337" not in text
    assert 'antiphon_requests_total{route="/v1/models/{model_id:path}",status="405"} 1.0' in text
    assert 'antiphon_tokens_total{direction="output",model="fail-N"}' in text
