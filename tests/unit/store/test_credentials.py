"""The keys of the first start."""

import json
import stat
from pathlib import Path

import pytest

from antiphon.core.errors import OperatorError
from antiphon.store.credentials import open_keyring


def test_keys_are_made_once_and_never_stored(tmp_path: Path):
    keyring, first = open_keyring(tmp_path, None, None)
    assert first is not None
    assert first.api
    assert first.admin
    again, nothing = open_keyring(tmp_path, None, None)
    assert nothing is None
    api, admin = again.find(first.api), again.find(first.admin)
    assert api is not None
    assert admin is not None
    assert (api.is_admin, admin.is_admin, keyring.find(first.api + "x")) == (False, True, None)
    stored = (tmp_path / "credentials.json").read_text()
    assert first.api not in stored
    assert first.api[-4:] not in stored


def test_an_older_file_may_hold_more(tmp_path: Path):
    _, first = open_keyring(tmp_path, None, "own-admin")
    assert first is not None
    path = tmp_path / "credentials.json"
    data = json.loads(path.read_text())
    data["keys"] = [key | {"hint": "sk-...abcd"} for key in data["keys"]]
    path.write_text(json.dumps(data))
    assert open_keyring(tmp_path, None, None)[0].find(first.api or "")


def test_folder_and_file_are_the_owners_alone(tmp_path: Path):
    open_keyring(tmp_path / "data", None, None)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data", tmp_path / "data" / "credentials.json")]
    assert modes == [0o700, 0o600]


def test_a_folder_that_cannot_be_used_is_the_operators_mistake(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "credentials.json").mkdir()
    for folder in (tmp_path / "file" / "data", tmp_path):
        with pytest.raises(OperatorError, match=r"Cannot use .*credentials\.json"):
            open_keyring(folder, None, None)
