"""`antiphon keys` and `antiphon workspaces`, beside a running server and without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, AuthenticationError
from typer.testing import CliRunner

from antiphon.cli.main import app
from antiphon.core.errors import overloaded
from antiphon.store import aws
from tests.fixtures.serving import Served, serving, wait_until
from tests.fixtures.world import ADMIN_KEY, ask


def run(data_dir: Path, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def text(data_dir: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)])
    assert done.exit_code == 0, done.output
    return done.stdout


def refusal(data_dir: Path, *arguments: str) -> str:
    """The sentence that a command fails with."""
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)])
    assert (done.exit_code, done.stdout) == (1, "")
    return done.stderr


def works(client: Anthropic) -> bool:
    try:
        client.messages.create(**ask())
    except AuthenticationError:
        return False
    return True


def client_of(server: Served, made: Any) -> Anthropic:
    return server.sdk(api_key=made["key"])


def test_a_running_server_obeys_within_a_second(tmp_path: Path):
    with serving(tmp_path, "--fake") as server:
        team = run(tmp_path, "workspaces", "create", "--name", "Team")["id"]
        made = run(tmp_path, "keys", "create", "--name", "ci")
        theirs = run(tmp_path, "keys", "create", "--name", "theirs", "--workspace", team)
        with client_of(server, made) as mine, client_of(server, theirs) as other:
            assert works(mine)
            assert works(other)
            run(tmp_path, "keys", "revoke", made["id"])
            wait_until(lambda: not works(mine), 1.0)
            assert works(other)
            run(tmp_path, "workspaces", "archive", team)
            wait_until(lambda: not works(other), 1.0)
        rotated = run(tmp_path, "keys", "create", "--name", "again")
        new = run(tmp_path, "keys", "rotate", rotated["id"])
        with client_of(server, rotated) as old, client_of(server, new) as newer:
            assert works(newer)
            wait_until(lambda: not works(old), 1.0)
        with server.sdk(api_key=ADMIN_KEY) as admin:
            seen = {key.id: key.status for key in admin.organization.api_keys.list()}
    assert [seen[key["id"]] for key in (made, theirs, rotated, new)] == ["archived", "archived", "archived", "active"]


def test_an_admin_key_of_the_command_line_administers(tmp_path: Path):
    with serving(tmp_path, "--fake") as server:
        made = run(tmp_path, "keys", "create", "--name", "ops", "--admin", "--address", "127.0.0.0/8")
        with client_of(server, made) as client:
            assert client.organization.retrieve().name == "Antiphon"
    assert made["key"].startswith("sk-ant-phonadm1-")


def test_a_key_is_made_with_all_that_is_asked_for(data_dir: Path):
    options = ["--expires-in", "30d", "--model", "echo", "--model", "lorem", "--address", "10.0.0.1"]
    made = run(data_dir, "keys", "create", "--name", "ci", *options)
    assert (made["name"], made["kind"], made["status"]) == ("ci", "api", "active")
    assert (made["allowed_models"], made["allowed_addresses"]) == (["echo", "lorem"], ["10.0.0.1/32"])
    assert made["expires_at"] > made["created_at"]
    assert made["id"].startswith("apikey_")
    assert made["key"].startswith("sk-ant-phon1-")


def test_the_list_shows_every_key_and_no_secret(data_dir: Path):
    made = run(data_dir, "keys", "create", "--name", "[red]ci")
    run(data_dir, "keys", "revoke", made["id"])
    listed = run(data_dir, "keys", "list")
    printed = text(data_dir, "keys", "list")
    ours = next(line for line in printed.splitlines() if made["id"] in line)
    assert ours.split()[:4] == [made["id"], "[red]ci", "api", "archived"]
    assert listed[0] == {name: value for name, value in made.items() if name != "key"} | {"status": "archived"}
    assert made["key"] not in printed + json.dumps(listed)


def test_plain_words_hold_the_key_once(data_dir: Path):
    made = text(data_dir, "keys", "create", "--name", "ci")
    key_id = made.split()[2]
    rotated = text(data_dir, "keys", "rotate", key_id, "--grace", "1h")
    assert made.count("sk-ant-phon1-") == rotated.count("sk-ant-phon1-") == 1
    assert text(data_dir, "keys", "revoke", key_id) == f"The key {key_id} is revoked.\n"


def test_workspaces_are_listed_with_the_default_one(data_dir: Path):
    team = run(data_dir, "workspaces", "create", "--name", "Team")
    printed = text(data_dir, "workspaces", "list")
    assert [workspace["name"] for workspace in run(data_dir, "workspaces", "list")] == ["Team", "Default"]
    assert team["id"] in printed
    assert text(data_dir, "workspaces", "archive", team["id"]).startswith(f"The workspace {team['id']} is archived")
    assert run(data_dir, "workspaces", "list")[0]["archived_at"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["keys", "revoke", "apikey_x"], "API key not found. See `antiphon keys list`"),
        (["keys", "rotate", "apikey_x"], "API key not found. See `antiphon keys list`"),
        (["keys", "rotate", "apikey_x", "--grace", "1y"], "'1y' is no duration: give a number and one of"),
        (["keys", "create", "--name", "x", "--expires-in", "soon"], "'soon' is no duration: give a number and one of"),
        (["keys", "create", "--name", "x", "--expires-in", "0s"], "expires_at: must be in the future"),
        (["keys", "create", "--name", "x", "--workspace", "nowhere"], "Workspace not found. See `antiphon"),
        (["keys", "create", "--name", "x", "--address", "home"], "allowed_addresses.0: Input should be an IP address"),
        (["keys", "create", "--name", ""], "name: String should have at least 1 character"),
        (["workspaces", "create", "--name", "\x1b[2J"], "name: String should match pattern"),
        (["workspaces", "archive", "wrkspc_x"], "Workspace not found. See `antiphon workspaces list`"),
    ],
)
def test_what_fails_ends_with_one_sentence(data_dir: Path, arguments: list[str], says: str):
    told = refusal(data_dir, *arguments)
    assert told.startswith(f"antiphon: {says}")
    assert told.count("\n") == 1


def test_the_default_workspace_is_not_archived(data_dir: Path):
    (default,) = run(data_dir, "workspaces", "list")
    assert "The default workspace cannot be archived." in refusal(data_dir, "workspaces", "archive", default["id"])


def test_a_key_whose_pair_fails_is_shown_all_the_same(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    async def fail(*_: object) -> None:
        raise overloaded()

    monkeypatch.setattr(aws, "add_pair", fail)
    done = CliRunner().invoke(app, ["keys", "create", "--name", "ci", "--aws", "--data-dir", str(data_dir), "--json"])
    shown = json.loads(done.stdout)
    assert (done.exit_code, shown["key"][:12]) == (1, "sk-ant-phon1")
    assert "no pair (The database cannot be used: the error above says why.) Revoke it" in done.stderr
    assert f"antiphon keys revoke {shown['id']}" in done.stderr
