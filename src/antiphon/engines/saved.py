"""Prompts whose state an engine has written to files: what there is, for whom, and what makes room for more."""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from antiphon.core.clock import Clock
from antiphon.core.errors import OperatorError
from antiphon.engines.choice import Keep, Slot, rank
from antiphon.engines.packed import num_common, num_tokens

log = logging.getLogger("antiphon.engines")

_MAX_AGE_S = 86_400.0
"""Without a use, until an entry is thrown away even where there is room."""
_DISK_SHARE = 0.9
STATE, RECORD, SLOTS = ".kv", ".json", "slots.state"


@dataclass(slots=True)
class Entry:
    """One saved prompt: `salt` names whose it is. Times are seconds since the epoch."""

    name: str
    salt: str
    tokens: bytes
    num_bytes: int
    keep: Keep
    keeps_until: float
    used_at: float
    num_hits: int = 0


class SavedPrompts:
    """The entries of one model in `folder`, which an engine writes and reads; together at most `budget_bytes`.

    `model` tells all that makes a state readable. With `is_lasting` they outlive this process.
    """

    def __init__(self, folder: Path, budget_bytes: int, clock: Clock, *, model: str, is_lasting: bool) -> None:
        self.folder = folder
        self.is_lasting = is_lasting
        self.num_saved = 0
        self.num_restored = 0
        self._budget_bytes = budget_bytes
        self._clock = clock
        self._model = model
        self._entries: dict[str, Entry] = {}
        self._lock: int | None = None

    @property
    def num_bytes(self) -> int:
        return sum(entry.num_bytes for entry in self._entries.values())

    @property
    def num_entries(self) -> int:
        return len(self._entries)

    def open(self) -> None:
        """Take up what an earlier server has left. Raises OperatorError for a folder that another one uses."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.folder.lstat().st_uid != os.geteuid():  # a name in a folder of everybody's can be guessed
                raise OperatorError(f"{self.folder} belongs to another user: name a folder of your own by --kv-dir.")
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperatorError(f"Another server uses {self.folder}: give each its own --kv-dir.") from None
        except OSError as error:
            raise OperatorError(f"Prompts cannot be kept in {self.folder}: {error.strerror}.") from error
        if self.is_lasting:
            self._take_up()
        self._sweep()

    def close(self) -> None:
        """What does not last is gone."""
        if not self.is_lasting:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def find(self, salt: str, tokens: bytes) -> tuple[Entry | None, int]:
        """The entry that begins most like `tokens`, and how many of them it has."""
        best: tuple[Entry | None, int] = None, 0
        for entry in self._entries.values():
            if entry.salt == salt and (num := num_common(entry.tokens, tokens)) > best[1]:
                best = entry, num
        return best

    def has(self, slot: Slot, num: int) -> bool:
        """Whether the first `num` tokens of `slot` are saved."""
        return slot.salt is not None and self.find(slot.salt, slot.tokens)[1] >= num

    def name_for(self, slot: Slot) -> str:
        """The file that the engine is to write for `slot`, once there is room for it."""
        digest = hashlib.sha256(f"{self._model}\0{slot.salt}\0".encode() + slot.tokens)
        return digest.hexdigest()[:32] + STATE

    def make_room(self, num_bytes: int) -> bool:
        """Drop what is worth least until `num_bytes` more fit; False where they never will."""
        self._sweep()
        room = self._room()
        if num_bytes > room:
            return False
        now = self._clock.now()
        for entry in sorted(self._entries.values(), key=lambda entry: _worth(entry, now)):
            if now - entry.used_at < _MAX_AGE_S and self.num_bytes + num_bytes <= room:
                break
            self.drop(entry)
        return True

    def _room(self) -> int:
        """Bytes that all entries together may take, with what the disk has left for them."""
        free = shutil.disk_usage(self.folder).free
        return min(self._budget_bytes, int((free + self.num_bytes) * _DISK_SHARE))

    def add(self, slot: Slot, name: str, num_bytes: int) -> None:
        """The engine has written `name`. Entries that the new one contains are of no more use."""
        assert slot.salt is not None
        now = self._clock.now()
        keeps_until = now + max(0.0, slot.keeps_until - self._clock.monotonic())
        entry = Entry(name.removesuffix(STATE), slot.salt, slot.tokens, num_bytes, slot.keep, keeps_until, now)
        for old in [old for old in self._entries.values() if _is_part(old, entry)]:
            self._inherit(entry, old)
            if old.name != entry.name:
                self.drop(old)
        self._entries[entry.name] = entry
        self.num_saved += 1
        self._write(entry)

    def _inherit(self, entry: Entry, old: Entry) -> None:
        entry.num_hits += old.num_hits
        if old.keeps_until > entry.keeps_until:
            entry.keep, entry.keeps_until = old.keep, old.keeps_until

    def use(self, entry: Entry) -> None:
        """The entry was brought in."""
        entry.used_at = self._clock.now()
        entry.num_hits += 1
        self.num_restored += 1
        self._write(entry)

    def drop(self, entry: Entry) -> None:
        self._entries.pop(entry.name, None)
        for suffix in (RECORD, STATE):
            (self.folder / (entry.name + suffix)).unlink(missing_ok=True)

    def _write(self, entry: Entry) -> None:
        """The record comes after the state: one without the other is no entry."""
        record = {
            "model": self._model,
            "salt": entry.salt,
            "tokens": b64encode(entry.tokens).decode(),
            "num_tokens": num_tokens(entry.tokens),
            "num_bytes": entry.num_bytes,
            "keep": entry.keep,
            "keeps_until": entry.keeps_until,
            "used_at": entry.used_at,
            "num_hits": entry.num_hits,
        }
        _write_whole(self.folder / (entry.name + RECORD), orjson.dumps(record))

    def tell(self, state: dict[str, Any]) -> None:
        """Keep what lies in the slots where `read_slots` finds it."""
        _write_whole(self.folder / SLOTS, orjson.dumps(state))

    def _take_up(self) -> None:
        now = self._clock.now()
        for entry in read_entries(self.folder, self._model):
            if now - entry.used_at < _MAX_AGE_S:
                self._entries[entry.name] = entry
        self.make_room(0)

    def _sweep(self) -> None:
        """Remove what no entry names: of other models, too old, or half written; and what the last server has told."""
        for path in self.folder.iterdir():
            if path.name != "lock" and path.stem not in self._entries:
                with contextlib.suppress(OSError):
                    path.unlink()


def _worth(entry: Entry, now: float) -> tuple[int, float]:
    return rank(entry.keep, entry.keeps_until, now), entry.used_at


def _is_part(old: Entry, new: Entry) -> bool:
    return old.salt == new.salt and new.tokens.startswith(old.tokens)


def _write_whole(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    try:
        new.touch(mode=0o600)
        new.write_bytes(data)
        new.replace(path)
    except OSError as error:
        log.warning("what is kept of prompts cannot be told in %s: %s", path, error.strerror)


def read_slots(folder: Path) -> dict[str, Any] | None:
    """What the running server has told of its slots, and what it has reused; None where it has not."""
    try:
        return orjson.loads((folder / SLOTS).read_bytes())
    except (OSError, ValueError):
        return None


def read_entries(folder: Path, model: str | None = None) -> list[Entry]:
    """The whole entries in `folder`: of `model`, or of all."""
    found = (_entry(path, model) for path in sorted(folder.glob("*" + RECORD)))
    return [entry for entry in found if entry]


def _entry(path: Path, model: str | None) -> Entry | None:
    try:
        record: dict[str, Any] = orjson.loads(path.read_bytes())
        tokens, num_bytes = b64decode(record["tokens"], validate=True), path.with_suffix(STATE).stat().st_size
        if (model and record["model"] != model) or num_bytes != record["num_bytes"]:
            return None
        names = ("keep", "keeps_until", "used_at", "num_hits")
        return Entry(path.stem, record["salt"], tokens, num_bytes, *(record[name] for name in names))
    except (OSError, ValueError, KeyError, TypeError):
        return None
