"""Keys through the official SDK's Admin API, and through the routes of our own, over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import pytest
from sqlalchemy import insert, select

from antiphon.core.clock import ManualClock, rfc3339
from antiphon.core.scope import Scope
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR, NewKey, add_key, add_organization
from tests.fixtures.world import ADMIN_KEY, API_KEY, World, ask

OLD, NEW = "2023-06-01", "2026-10-21"
KEYS = "/v1/organizations/api_keys"
OWN = "/antiphon/api_keys"
ROLE = "The member that this API key belongs to does not have the role for it."


async def call(world: World, method: str, path: str, body: Any = None, key: str = ADMIN_KEY, version: str = NEW):
    """(status, JSON) of a call with an admin key."""
    headers = {"x-api-key": key, "anthropic-version": version}
    async with world.http.request(method, path, json=body, headers=headers) as reply:
        return reply.status, await reply.json()


async def make(world: World, **wish: Any) -> dict[str, Any]:
    status, made = await call(world, "POST", OWN, {"name": "Test"} | wish)
    assert status == 200, made
    return made


async def status_with(world: World, key: str) -> int:
    """The status of a small call of a model with `key`."""
    status, _ = await world.post("/v1/messages", ask(), **{"x-api-key": key})
    return status


async def refusal(world: World, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
    status, reply = await call(world, method, path, body, **more)
    return status, reply["error"]["message"]


async def add_member(world: World, role: str) -> str:
    user_id = f"user_{role}"
    scope = world.app.directory.home
    async with world.app.accounts.change(scope, OPERATOR) as change:
        await change.connection.execute(
            insert(tables.users).values(
                id=user_id,
                organization_id=scope.organization_id,
                email=f"{role}@example.com",
                name=role,
                role=role,
                added_at=change.now,
            )
        )
    return user_id


async def audit(world: World) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    """(action, actor, address, details), the oldest first, without those of the first start."""
    async with world.app.database.read() as connection:
        rows = (await connection.execute(select(tables.audit).order_by(tables.audit.c.id))).all()
    return [(row.action, row.actor, row.address, json.loads(row.details)) for row in rows[4:]]


async def test_the_sdk_reads_the_organization():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        me = await client.organization.retrieve()
        home = world.app.directory.home
    assert (me.id, me.type, me.name) == (home.organization_id, "organization", "Antiphon")


async def test_the_sdk_pages_through_all_keys_the_newest_first():
    async with World(clock=ManualClock()) as world, world.sdk(api_key=ADMIN_KEY) as client:
        for n in range(5):
            world.clock.advance(1)  # type: ignore[attr-defined]
            await make(world, name=f"K{n}")
        names = [key.name async for key in client.organization.api_keys.list(limit=2)]
        first = await client.organization.api_keys.list(limit=2)
        second = await first.get_next_page()
        back = await client.organization.api_keys.list(limit=1, before_id=second.data[0].id)
    assert names[:5] == ["K4", "K3", "K2", "K1", "K0"]
    assert sorted(names[5:]) == ["ANTIPHON_ADMIN_KEY", "ANTIPHON_API_KEY"]
    assert (first.has_more, first.first_id, first.last_id) == (True, first.data[0].id, first.data[1].id)
    assert [key.name for key in back.data] == ["K3"]
    assert back.has_more


async def test_the_two_versions_show_a_key_each_in_its_shape():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        home = world.app.directory.home.workspace_id
        other = (await client.organization.workspaces.create(name="Other")).id
        member = await add_member(world, "developer")
        ids = {
            "in home": (await make(world))["id"],
            "in other": (await make(world, workspace_id=other, created_by_user_id=member))["id"],
            "admin": (await make(world, kind="admin"))["id"],
        }
        new = {name: (await call(world, "GET", f"{KEYS}/{key_id}"))[1] for name, key_id in ids.items()}
        old = {name: (await call(world, "GET", f"{KEYS}/{key_id}", version=OLD))[1] for name, key_id in ids.items()}
        parsed = await client.organization.api_keys.retrieve(ids["in other"])
        old_client = client.with_options(default_headers={"anthropic-version": OLD})
        listed = [key async for key in old_client.organization.api_keys.list(workspace_id=other)]
    places = {name: key["scope"] for name, key in new.items()}
    assert places == {
        "in home": {"type": "workspace", "workspace_id": home},
        "in other": {"type": "workspace", "workspace_id": other},
        "admin": {"type": "organization"},
    }
    assert {name: key["workspace_id"] for name, key in old.items()} == {
        "in home": None,
        "in other": other,
        "admin": None,
    }
    assert all("workspace_id" not in key for key in new.values())
    assert all(not {"scope", "principal"} & key.keys() for key in old.values())
    assert new["in other"]["principal"] == {"type": "user_actor", "user_id": member}
    assert old["in other"]["created_by"] == new["in other"]["created_by"] == {"id": member, "type": "user"}
    assert (new["in home"]["principal"], new["in home"]["created_by"]) == (None, None)
    assert parsed.scope.type == "workspace"
    assert parsed.scope.workspace_id == other
    assert [key.id for key in listed] == [ids["in other"]]


async def test_a_new_key_is_shown_once_and_works_at_once():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        made = await make(world, name="ci", allowed_models=["echo"])
        assert await status_with(world, made["key"]) == 200
        shown = await client.organization.api_keys.retrieve(made["id"])
        _, fully = await call(world, "GET", f"{OWN}/{made['id']}")
    assert made["key"].startswith("sk-ant-phon1-")
    assert (shown.name, shown.status, shown.type, shown.expires_at) == ("ci", "active", "api_key", None)
    assert shown.partial_key_hint == f"{made['key'][:16]}...{made['key'][-4:]}"
    assert fully == {name: value for name, value in made.items() if name != "key"}
    assert (fully["kind"], fully["allowed_models"], fully["allowed_addresses"]) == ("api", ["echo"], [])


@pytest.mark.parametrize("status", ["inactive", "archived"])
async def test_a_revoked_key_stops_at_once(status: Any):
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        made = await make(world)
        assert await status_with(world, made["key"]) == 200
        updated = await client.organization.api_keys.update(made["id"], status=status)
        assert updated.status == status
        assert await status_with(world, made["key"]) == 401


async def test_an_inactive_key_can_come_back_and_an_archived_one_cannot():
    final = "This API key is archived, and that is final."
    async with World() as world:
        made = await make(world)
        path = f"{KEYS}/{made['id']}"
        await call(world, "POST", path, {"status": "inactive"})
        await call(world, "POST", path, {"status": "active", "name": "Back"})
        assert await status_with(world, made["key"]) == 200
        await call(world, "POST", path, {"status": "archived"})
        for body in ({"status": "active"}, {"name": "New"}, {"status": "archived", "name": "New"}):
            assert await refusal(world, "POST", path, body) == (400, final)
        assert await refusal(world, "POST", f"{OWN}/{made['id']}", {"expires_at": None}) == (400, final)
        again, key = await call(world, "POST", path, {"status": "archived"})
        assert await status_with(world, made["key"]) == 401
    assert (again, key["status"], key["name"]) == (200, "archived", "Back")


async def test_an_update_of_nothing_changes_nothing():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        made = await make(world)
        num_lines = len(await audit(world))
        key = await client.organization.api_keys.update(made["id"], name=None, status=None)
        assert (key.name, key.status) == ("Test", "active")
        assert len(await audit(world)) == num_lines


async def test_an_expired_key_stops_and_says_so():
    clock = ManualClock()
    async with World(clock=clock) as world, world.sdk(api_key=ADMIN_KEY) as client:
        made = await make(world, expires_at=rfc3339(clock.now() + 60))
        assert await status_with(world, made["key"]) == 200
        clock.advance(60)
        assert await status_with(world, made["key"]) == 401
        assert (await client.organization.api_keys.retrieve(made["id"])).status == "expired"
        expired = [key.id async for key in client.organization.api_keys.list(status="expired")]
        active = [key.id async for key in client.organization.api_keys.list(status="active")]
        assert expired == [made["id"]]
        assert made["id"] not in active
        await call(world, "POST", f"{OWN}/{made['id']}", {"expires_at": None})
        assert await status_with(world, made["key"]) == 200


async def test_lists_are_filtered():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        workspace = (await client.organization.workspaces.create(name="Other")).id
        member = await add_member(world, "developer")
        there = (await make(world, workspace_id=workspace))["id"]
        theirs = (await make(world, created_by_user_id=member))["id"]
        gone = (await make(world))["id"]
        await client.organization.api_keys.update(gone, status="archived")
        keys = client.organization.api_keys

        async def ids(**only: Any) -> list[str]:
            return [key.id async for key in keys.list(**only)]

        assert await ids(workspace_id=workspace) == [there]
        assert await ids(created_by_user_id=member) == [theirs]
        assert await ids(status="archived") == [gone]
        assert await ids(status="inactive") == []
        assert await ids(workspace_id="wrkspc_unknown") == []
        in_home = await ids(workspace_id=world.app.directory.home.workspace_id)
        assert {theirs, gone} <= set(in_home)
        assert there not in in_home


async def test_a_key_is_refused_from_other_addresses_until_they_change():
    async with World() as world:
        made = await make(world, allowed_addresses=["10.0.0.0/8", "2001:db8::1"])
        status, body = await world.post("/v1/messages", ask(), **{"x-api-key": made["key"]})
        await call(world, "POST", f"{OWN}/{made['id']}", {"allowed_addresses": ["127.0.0.1"]})
        after = await status_with(world, made["key"])
    assert made["allowed_addresses"] == ["10.0.0.0/8", "2001:db8::1/128"]
    assert (status, body["error"]["type"]) == (403, "permission_error")
    assert body["error"]["message"] == "This API key may not be used from this address."
    assert after == 200


async def test_limits_change_one_by_one():
    async with World() as world:
        made = await make(world, allowed_models=["echo"], allowed_addresses=["127.0.0.1"])
        _, changed = await call(world, "POST", f"{OWN}/{made['id']}", {"allowed_models": []})
        _, same = await call(world, "POST", f"{OWN}/{made['id']}", {})
    assert (changed["allowed_models"], changed["allowed_addresses"]) == ([], ["127.0.0.1/32"])
    assert same == changed


async def test_a_rotated_key_is_replaced_at_once():
    async with World() as world:
        made = await make(world, name="ci", allowed_models=["echo"])
        status, new = await call(world, "POST", f"{OWN}/{made['id']}/rotate")
        assert status == 200
        assert await status_with(world, made["key"]) == 401
        assert await status_with(world, new["key"]) == 200
        _, old = await call(world, "GET", f"{KEYS}/{made['id']}")
    assert old["status"] == "archived"
    assert new["id"] != made["id"]
    same = ("name", "kind", "allowed_models", "allowed_addresses", "expires_at", "scope")
    assert [new[name] for name in same] == [made[name] for name in same]


async def test_a_rotated_key_goes_on_for_its_grace():
    clock = ManualClock()
    async with World(clock=clock) as world:
        made = await make(world)
        _, new = await call(world, "POST", f"{OWN}/{made['id']}/rotate", {"grace_s": 60})
        assert (await status_with(world, made["key"]), await status_with(world, new["key"])) == (200, 200)
        clock.advance(60)
        assert (await status_with(world, made["key"]), await status_with(world, new["key"])) == (401, 200)
    assert new["expires_at"] is None


async def test_an_admin_key_can_rotate_itself():
    async with World() as world:
        made = await make(world, kind="admin")
        status, new = await call(world, "POST", f"{OWN}/{made['id']}/rotate", key=made["key"])
        assert status == 200
        assert await refusal(world, "GET", KEYS, key=made["key"]) == (401, "API key is invalid.")
        assert (await call(world, "GET", KEYS, key=new["key"]))[0] == 200


async def test_what_cannot_be_rotated_is_told_why():
    async with World() as world:
        made = await make(world)
        await call(world, "POST", f"{KEYS}/{made['id']}", {"status": "inactive"})
        inactive = await refusal(world, "POST", f"{OWN}/{made['id']}/rotate")
        environment = await refusal(world, "POST", f"{OWN}/{await id_of(world, 'ANTIPHON_API_KEY')}/rotate")
    assert inactive == (400, "Only an active API key can be rotated; this one is inactive.")
    assert environment == (
        400,
        "This API key is set in the server's environment: it can only be replaced there.",
    )


async def id_of(world: World, name: str) -> str:
    _, listed = await call(world, "GET", KEYS)
    return next(key["id"] for key in listed["data"] if key["name"] == name)


ADMIN_ROUTES = [
    ("GET", "/v1/organizations/me"),
    ("GET", KEYS),
    ("GET", f"{KEYS}/apikey_x"),
    ("POST", f"{KEYS}/apikey_x"),
    ("POST", OWN),
    ("GET", f"{OWN}/apikey_x"),
    ("POST", f"{OWN}/apikey_x"),
    ("POST", f"{OWN}/apikey_x/rotate"),
    ("GET", "/v1/organizations/workspaces"),
    ("POST", "/v1/organizations/workspaces"),
    ("GET", "/v1/organizations/workspaces/wrkspc_x"),
    ("POST", "/v1/organizations/workspaces/wrkspc_x"),
    ("POST", "/v1/organizations/workspaces/wrkspc_x/archive"),
]


async def test_an_api_key_is_no_admin_key_and_the_other_way_round():
    async with World() as world, world.sdk(api_key=ADMIN_KEY) as client:
        for method, path in ADMIN_ROUTES:
            assert await refusal(world, method, path, key=API_KEY) == (401, "API key is invalid."), path
            assert await refusal(world, method, path, key=API_KEY, version=OLD) == (401, "invalid x-api-key"), path
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(**ask())


@pytest.mark.parametrize("role", ["billing", "developer", "user"])
async def test_a_member_who_does_not_administer_is_refused_everywhere(role: str):
    async with World() as world:
        made = await make(world, kind="admin", created_by_user_id=await add_member(world, role))
        for method, path in ADMIN_ROUTES:
            assert await refusal(world, method, path, key=made["key"]) == (403, ROLE), path


async def test_a_member_who_administers_may_do_all():
    async with World() as world:
        made = await make(world, kind="admin", created_by_user_id=await add_member(world, "admin"))
        assert (await call(world, "POST", OWN, {"name": "Theirs"}, key=made["key"]))[0] == 200
        assert (await call(world, "GET", "/v1/organizations/me", key=made["key"]))[0] == 200


UNKNOWN = ["apikey_01unknown", "apikey%00", "%E2%82%AC", "a" * 2000]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", KEYS), ("POST", KEYS), ("GET", OWN), ("POST", OWN), ("POST", f"{OWN}/{{}}/rotate")]
)
async def test_a_key_that_is_not_there_is_404(method: str, path: str):
    body = {"name": "New"} if path == KEYS else {}
    async with World() as world:
        for key_id in UNKNOWN:
            whole = path.format(key_id) if "{}" in path else f"{path}/{key_id}"
            found = await refusal(world, method, whole, body if method == "POST" else None)
            assert found == (404, "API key not found."), key_id


async def add_foreign_key(world: World) -> tuple[Scope, str]:
    """A second organization, and a key in it."""
    foreign = Scope("org_foreign", "wrkspc_foreign")
    async with world.app.accounts.change(foreign, OPERATOR) as change:
        await add_organization(change.connection, foreign, "Foreign", change.now)
        key_id = await add_key(change.connection, foreign, NewKey("api", "Theirs", "d" * 64, "..."), change.now)
    return foreign, key_id


async def test_keys_of_another_organization_are_not_there():
    async with World() as world:
        foreign, key_id = await add_foreign_key(world)
        missing = (404, "API key not found.")
        assert await refusal(world, "GET", f"{KEYS}/{key_id}") == missing
        assert await refusal(world, "POST", f"{KEYS}/{key_id}", {"status": "archived"}) == missing
        assert await refusal(world, "GET", f"{OWN}/{key_id}") == missing
        assert await refusal(world, "POST", f"{OWN}/{key_id}", {"allowed_models": ["x"]}) == missing
        assert await refusal(world, "POST", f"{OWN}/{key_id}/rotate") == missing
        wish = {"name": "Mine", "workspace_id": foreign.workspace_id}
        assert await refusal(world, "POST", OWN, wish) == (404, "Workspace not found.")
        _, listed = await call(world, "GET", f"{KEYS}?limit=1000")
        assert key_id not in [key["id"] for key in listed["data"]]
        after = await refusal(world, "GET", f"{KEYS}?after_id={key_id}")
        assert after == (400, f"after_id: {key_id} was not found")
        async with world.app.database.read() as connection:
            row = (await connection.execute(select(tables.api_keys).where(tables.api_keys.c.id == key_id))).one()
    assert (row.status, row.name, row.allowed_models) == ("active", "Theirs", "[]")


BAD_BODIES = [
    (OWN, {}, "name: Field required"),
    (OWN, {"name": ""}, "name: String should have at least 1 character"),
    (OWN, {"name": "x" * 501}, "name: String should have at most 500 characters"),
    (OWN, {"name": "\x00"}, r"name: String should match pattern '^[^\x00-\x1f\x7f-\x9f]+$'"),
    (OWN, {"name": 5}, "name: Input should be a valid string"),
    (OWN, {"name": "x", "kind": "root"}, "kind: Input should be 'api' or 'admin'"),
    (OWN, {"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at: must be in the future"),
    (
        OWN,
        {"name": "x", "expires_at": "2100-01-01T00:00:00"},
        "expires_at: Input should be an RFC 3339 datetime with a time zone, such as 2026-11-22T10:00:00Z",
    ),
    (
        OWN,
        {"name": "x", "expires_at": "9999-12-31T23:59:59-12:00"},
        "expires_at: Input should be an RFC 3339 datetime with a time zone, such as 2026-11-22T10:00:00Z",
    ),
    (
        OWN,
        {"name": "x", "allowed_addresses": ["10.0.0.0/8", "10.0.0.1/8"]},
        "allowed_addresses.1: Input should be an IP address, or a network such as 10.0.0.0/8",
    ),
    (OWN, {"name": "x", "allowed_models": [""]}, "allowed_models.0: String should have at least 1 character"),
    (
        OWN,
        {"name": "x", "kind": "admin", "workspace_id": "wrkspc_x"},
        "workspace_id: an admin key belongs to the organization, not to a workspace",
    ),
    (f"{OWN}/x", {"allowed_models": None}, "allowed_models: Input should be a valid array"),
    (f"{OWN}/x/rotate", {"grace_s": -1}, "grace_s: Input should be greater than or equal to 0"),
    (f"{OWN}/x/rotate", {"grace_s": 2_592_001}, "grace_s: Input should be less than or equal to 2592000"),
    (f"{KEYS}/x", {"status": "expired"}, "status: Input should be 'active', 'inactive' or 'archived'"),
    (f"{KEYS}/x", {"name": ""}, "name: String should have at least 1 character"),
]


async def test_a_wrong_body_is_a_400_that_names_the_field():
    async with World() as world:
        for path, body, message in BAD_BODIES:
            assert await refusal(world, "POST", path, body) == (400, message), body


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("status=x", "status: Input should be 'active', 'inactive', 'archived' or 'expired'"),
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("after_id=apikey_x", "after_id: apikey_x was not found"),
        ("before_id=%00", "before_id: \x00 was not found"),
    ],
)
async def test_a_wrong_query_is_a_400_that_names_the_parameter(query: str, message: str):
    async with World() as world:
        assert await refusal(world, "GET", f"{KEYS}?{query}") == (400, message)


async def test_a_key_is_not_made_for_nobody_or_nowhere():
    async with World() as world:
        nobody = await refusal(world, "POST", OWN, {"name": "x", "created_by_user_id": "user_x"})
        nowhere = await refusal(world, "POST", OWN, {"name": "x", "workspace_id": "\x00"})
        _, listed = await call(world, "GET", KEYS)
    assert (nobody, nowhere) == ((404, "User not found."), (404, "Workspace not found."))
    assert len(listed["data"]) == 2


async def test_unknown_fields_are_refused_only_when_strict():
    async with World() as lenient, World(strict=True) as strict:
        assert (await call(lenient, "POST", OWN, {"name": "x", "bogus": 1}))[0] == 200
        refused = await refusal(strict, "POST", OWN, {"name": "x", "bogus": 1})
    assert refused == (400, "bogus: Extra inputs are not permitted")


async def test_the_audit_tells_who_changed_which_key_from_where_and_no_secret():
    async with World() as world:
        made = await make(world, name="ci")
        await call(world, "POST", f"{KEYS}/{made['id']}", {"name": "cd"})
        await call(world, "POST", f"{OWN}/{made['id']}", {"allowed_models": ["echo"]})
        _, new = await call(world, "POST", f"{OWN}/{made['id']}/rotate")
        actor = await id_of(world, "ANTIPHON_ADMIN_KEY")
        lines = await audit(world)
    actions = ["api_key.created", "api_key.updated", "api_key.updated", "api_key.created", "api_key.rotated"]
    assert [line[0] for line in lines] == actions
    assert {line[1:3] for line in lines} == {(actor, "127.0.0.1")}
    assert lines[0][3]["name"] == "ci"
    assert [line[3] for line in lines[1:3]] == [{"name": "cd"}, {"allowed_models": ["echo"]}]
    assert lines[4][3] == {"successor": new["id"], "grace_s": 0}
    assert made["key"] not in str(lines)
    assert new["key"] not in str(lines)


async def test_a_key_that_is_revoked_while_its_body_arrives_is_refused():
    clock = ManualClock()
    async with World(clock=clock) as world:
        made = await make(world, name="slow")
        body = json.dumps(ask()).encode()
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {made['key']}\r\n"
            f"anthropic-version: 2023-06-01\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        host, port = world.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + body[:5])
        await writer.drain()
        await asyncio.sleep(0.1)
        await call(world, "POST", f"/v1/organizations/api_keys/{made['id']}", {"status": "archived"})
        clock.advance(2)
        writer.write(body[5:])
        answer = await reader.readuntil(b"\r\n")
        writer.close()
        await writer.wait_closed()
    assert b" 401 " in answer
