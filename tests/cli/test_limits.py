"""`antiphon limits`, `members`, `invites` and `audit`, beside a running server and without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, RateLimitError
from typer.testing import CliRunner

from antiphon.cli.main import app
from tests.fixtures.serving import serving, wait_until
from tests.fixtures.world import ask


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


def is_limited(client: Anthropic) -> bool:
    try:
        client.messages.create(**ask())
    except RateLimitError:
        return True
    return False


def test_a_running_server_keeps_to_new_limits_within_a_second(tmp_path: Path):
    with serving(tmp_path, "--fake") as server, server.sdk() as client:
        assert not is_limited(client)
        run(tmp_path, "limits", "set", "--organization", "--requests-per-minute", "0")
        wait_until(lambda: is_limited(client), 1.0)
        run(tmp_path, "limits", "set", "--organization", "--requests-per-minute", "none")
        wait_until(lambda: not is_limited(client), 1.0)


def test_limits_are_set_shown_and_taken_away(data_dir: Path):
    key_id = run(data_dir, "keys", "create", "--name", "ci")["id"]
    workspace = run(data_dir, "workspaces", "create", "--name", "Team")["id"]
    run(data_dir, "limits", "set", "--key", key_id, "--concurrent-requests", "2", "--spend-per-month", "25.00")
    run(data_dir, "limits", "set", "--workspace", workspace, "--model", "echo", "--input-tokens-per-minute", "0")
    shown = run(data_dir, "limits", "show")
    assert shown["settings"] == {"requests_per_minute": 77}  # the running server's, whatever this command is given
    assert shown["rate_limits"] == [
        {
            "party": {"type": "key", "id": key_id},
            "model": None,
            "limits": [{"type": "concurrent_requests", "value": 2}],
        },
        {
            "party": {"type": "workspace", "id": workspace},
            "model": "echo",
            "limits": [{"type": "input_tokens_per_minute_cache_aware", "value": 0}],
        },
    ]
    assert [limit["amount"] for limit in shown["spend_limits"]] == ["2500"]
    assert "$25.00" in text(data_dir, "limits", "show")
    run(data_dir, "limits", "set", "--key", key_id, "--concurrent-requests", "none", "--spend-per-month", "none")
    shown = run(data_dir, "limits", "show")
    assert (len(shown["rate_limits"]), shown["spend_limits"]) == (1, [])


def test_a_limit_for_an_alias_is_one_for_what_it_means(data_dir: Path, tmp_path: Path):
    config = tmp_path / "antiphon.toml"
    config.write_text('aliases = { house = "lorem" }')
    arguments = ["--organization", "--model", "house", "--requests-per-minute", "7", "--config", str(config)]
    assert run(data_dir, "limits", "set", *arguments)["rate_limits"][0]["model"] == "lorem"


@pytest.mark.parametrize(("name", "meant"), [("claude-sonnet-5", "echo"), ("lorem", "lorem"), ("mine", "lorem")])
def test_a_limit_is_for_the_model_that_the_server_means(data_dir: Path, name: str, meant: str):
    arguments = ["--organization", "--model", name, "--requests-per-minute", "7"]
    assert run(data_dir, "limits", "set", *arguments)["rate_limits"][0]["model"] == meant


def test_a_server_says_which_models_and_limits_it_has(tmp_path: Path):
    config = tmp_path / "antiphon.toml"
    config.write_text('aliases = { house = "lorem" }\nrate_limits = { requests_per_minute = 55 }')
    with serving(tmp_path, "--fake", "--config", str(config)):
        pass
    arguments = ["--organization", "--requests-per-minute", "7", "--model"]
    assert run(tmp_path, "limits", "set", *arguments, "house")["rate_limits"][0]["model"] == "lorem"
    shown = run(tmp_path, "limits", "set", *arguments, "claude-x")
    assert [entry["model"] for entry in shown["rate_limits"]] == ["echo", "lorem"]
    assert shown["settings"]["requests_per_minute"] == 55


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--organization", "--model", "ecko", "--requests-per-minute", "5"], "no model 'ecko': the server has echo"),
        (["--requests-per-minute", "5"], "Say whose limits"),
        (["--organization", "--key", "apikey_1", "--requests-per-minute", "5"], "Say whose limits"),
        (["--organization"], "Say which limit"),
        (["--organization", "--requests-per-minute", "-5"], "'-5' is no limit"),
        (["--organization", "--requests-per-minute", "many"], "'many' is no limit"),
        (["--organization", "--spend-per-month", "25.5"], "'25.5' is no amount"),
        (["--organization", "--spend-per-month", "5", "--model", "echo"], "without --model"),
        (["--organization", "--model", "m" * 300, "--requests-per-minute", "5"], "more than 256 characters"),
        (["--key", "apikey_1", "--requests-per-minute", "5"], "API key not found. See `antiphon workspaces list`"),
        (["--workspace", "wrkspc_1", "--spend-per-month", "5"], "Workspace not found. See"),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_a_sentence(data_dir: Path, arguments: list[str], words: str):
    assert words in refusal(data_dir, "limits", "set", *arguments)


def test_members_are_added_listed_and_removed(data_dir: Path):
    ada = run(data_dir, "members", "add", "--email", "Ada@example.com", "--name", "Ada", "--role", "admin")
    assert (ada["email"], ada["role"]) == ("ada@example.com", "admin")
    assert "ada@example.com" in text(data_dir, "members", "list")
    assert "a member of the organization already" in refusal(
        data_dir, "members", "add", "--email", "ada@example.com", "--name", "Ada"
    )
    assert "cannot be removed" in refusal(data_dir, "members", "remove", ada["id"])
    bob = run(data_dir, "members", "add", "--email", "bob@example.com", "--name", "Bob")
    assert run(data_dir, "members", "remove", bob["id"]) == {"id": bob["id"], "type": "user_deleted"}
    assert "User not found. See `antiphon members list`" in refusal(data_dir, "members", "remove", bob["id"])
    assert [user["id"] for user in run(data_dir, "members", "list")] == [ada["id"]]


def test_an_invite_is_accepted_or_taken_back(data_dir: Path):
    first = run(data_dir, "invites", "create", "--email", "ada@example.com", "--role", "billing")
    second = run(data_dir, "invites", "create", "--email", "bob@example.com")
    user = run(data_dir, "invites", "accept", first["id"], "--name", "Ada")
    assert (user["email"], user["role"]) == ("ada@example.com", "billing")
    assert "it is accepted" in refusal(data_dir, "invites", "accept", first["id"], "--name", "Ada")
    run(data_dir, "invites", "delete", second["id"])
    assert [(invite["id"], invite["status"]) for invite in run(data_dir, "invites", "list")] == [
        (first["id"], "accepted")
    ]
    assert "email: Input should be a valid email address" in refusal(data_dir, "invites", "create", "--email", "bob")


def test_the_audit_shows_the_newest_last(data_dir: Path):
    for name in "abc":
        run(data_dir, "members", "add", "--email", f"{name}@example.com", "--name", name)
    lines = run(data_dir, "audit", "--limit", "2")
    assert [line["details"]["email"] for line in lines] == ["b@example.com", "c@example.com"]
    assert {line["actor"] for line in lines} == {"operator"}
    assert text(data_dir, "audit").splitlines()[-1].endswith('{"email": "c@example.com", "role": "developer"}')
    assert run(data_dir, "audit", "--since", "2100-01-01T00:00:00Z") == []
    ours = [line for line in run(data_dir, "audit", "--since", "2020-01-01T00:00:00+01:00") if "user" in line["action"]]
    assert len(ours) == 3
    assert "is no time" in refusal(data_dir, "audit", "--since", "2020-01-01T00:00:00")
