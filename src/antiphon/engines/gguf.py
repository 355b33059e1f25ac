"""GGUF files: what their header tells of a model, and how much of it this machine can run at once."""

import mmap
import os
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antiphon.core.errors import OperatorError

_STRING, _ARRAY = 8, 9
_SCALARS = {number: struct.Struct(f"<{code}") for number, code in enumerate("BbHhIif?--Qqd") if code != "-"}
_MAX_ENTRIES = 10_000
_MAX_KEPT = 1_024  # of an array: a list with a number for each layer, but no vocabulary

_WANTED_SLOTS = 4
_MIN_WINDOW = 2_048
_WINDOW_STEP = 256  # the server rounds windows to this
_KV_BYTES = 2  # a value of the cache, as f16
_OVERHEAD_BYTES = 300 << 20  # the program, a vocabulary, buffers to compute in
_SHARE = 0.85  # of the free memory that the engine may take
_MAX_CACHE_MIB = 8_192
_NUM_CHECKPOINTS = 8

_FULL_LAYERS = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4}
"""Architectures in which only each n-th layer looks back further than the sliding window."""

_WEIGHTS_PER_S = 20e9  # that one core multiplies while it reads a prompt (measured: AVX2, 4-bit weights)
_BATCH_S = 0.6  # at the start of a prompt; about a second deep in it
_MIN_BATCH, _MAX_BATCH = 32, 2_048


@dataclass(frozen=True, slots=True)
class Header:
    """What a model's file says of it. `kv_values`: those that one token adds to the cache, in all layers together."""

    architecture: str
    window: int
    num_bytes: int
    kv_values: int
    num_weights: int
    """That one token is multiplied with: in a mixture of experts, the experts that it meets."""

    @property
    def token_bytes(self) -> int:
        """What a token takes in the cache."""
        return max(1, self.kv_values * _KV_BYTES)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the engine is to run a model. `window` is in tokens, and for each slot."""

    window: int
    num_slots: int
    num_batch: int
    num_threads: int
    cache_mib: int
    num_checkpoints: int = _NUM_CHECKPOINTS
    flash: bool | None = None
    """Whether to use flash attention; None leaves it to the engine."""
    repacks: bool = True
    """Whether weights are laid out anew for this processor."""
    q8_keys: bool = False
    """Whether the cache keeps keys in eight bits instead of sixteen."""
    num_draft: int = 0
    """How many tokens are guessed at once where a reply repeats something; those of all slots fit into one batch."""


def needed_bytes(header: Header, num_tokens: int) -> int:
    """What has to be free for the model with a cache of `num_tokens`."""
    return int((header.num_bytes + _OVERHEAD_BYTES + num_tokens * header.token_bytes) / _SHARE)


def read_header(path: Path) -> Header:
    """Raises OperatorError if `path` is not a whole GGUF header."""
    try:
        return _header(read_entries(path), _num_bytes(path))
    except OSError as error:
        raise OperatorError(f"The model {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise OperatorError(f"{path} is not a GGUF model, or only a part of one: fetch it again.") from error


def read_entries(path: Path) -> dict[str, Any]:
    """What stands before the vocabulary. Raises OSError, or ValueError and its like where that is no GGUF header."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Reader(data).read()


def plan(
    path: Path,
    available_bytes: int,
    num_cores: int,
    *,
    window: int | None = None,
    num_slots: int | None = None,
    extra_bytes: int = 0,
    min_batch: int = 0,
) -> Plan:
    """The model's own window in four slots, or as much of it as fits: fewer slots first, then a smaller window.

    `window` and `num_slots` are the user's own wishes; `num_slots` is kept as it is. `extra_bytes` are needed beside
    the model. Raises OperatorError.
    """
    header = read_header(path)
    fixed_bytes = header.num_bytes + extra_bytes + _OVERHEAD_BYTES
    free = int(available_bytes * _SHARE) - fixed_bytes
    wanted = min(window or header.window, header.window)
    slots, tokens = _fit(wanted, free // header.token_bytes, num_slots)
    if tokens < min(wanted, _MIN_WINDOW):
        need = needed_bytes(header, _MIN_WINDOW * slots) + extra_bytes / _SHARE
        raise OperatorError(
            f"The model {path.name} needs about {need / 1e9:.1f} GB of free memory, and there are "
            f"{available_bytes / 1e9:.1f} GB: free some, or take a smaller model."
        )
    left = free - tokens * slots * header.token_bytes
    num_batch = max(min_batch, _num_batch(header, num_cores))
    return Plan(tokens, slots, num_batch, num_cores, min(_MAX_CACHE_MIB, left // 2 >> 20))


def _fit(window: int, num_tokens: int, num_slots: int | None) -> tuple[int, int]:
    """(slots, window of each) such that together they hold at most `num_tokens`."""
    slots = num_slots or _WANTED_SLOTS
    while num_slots is None and slots > 1 and slots * window > num_tokens:
        slots //= 2
    fitting = num_tokens // slots // _WINDOW_STEP * _WINDOW_STEP
    return slots, min(window, max(0, fitting))


def _num_batch(header: Header, num_cores: int) -> int:
    """A power of two, of about a second's work: the server looks for lost clients only between two batches."""
    num_tokens = int(_WEIGHTS_PER_S * num_cores * _BATCH_S / max(1, header.num_weights))
    return max(_MIN_BATCH, min(_MAX_BATCH, 1 << max(0, num_tokens.bit_length() - 1)))


def _num_bytes(path: Path) -> int:
    """Of all parts, for a model that is split into several files."""
    stem, _, tail = path.stem.rpartition("-00001-of-")
    parts = path.parent.glob(f"{stem}-*-of-{tail}.gguf") if stem else [path]
    return sum(part.stat().st_size for part in parts)


def _header(entries: Mapping[str, Any], num_bytes: int) -> Header:
    architecture = str(entries["general.architecture"])
    own = {key.removeprefix(f"{architecture}."): value for key, value in entries.items()}
    num_layers, width = int(own["block_count"]), int(own["embedding_length"])
    num_heads = max(_per_layer(own.get("attention.head_count"), num_layers, 1))
    head_width = width // max(1, num_heads)
    kv_width = int(own.get("attention.key_length", head_width)) + int(own.get("attention.value_length", head_width))
    kv_heads = _per_layer(own.get("attention.head_count_kv"), num_layers, num_heads)
    full = _FULL_LAYERS.get(architecture, 1)
    inner = max(_per_layer(own.get("feed_forward_length"), num_layers, 4 * width))
    if experts := int(own.get("expert_used_count", 0)):
        inner = experts * int(own.get("expert_feed_forward_length", inner))
    weights = num_layers * width * (2 * width + 3 * inner) + width * kv_width * sum(kv_heads)
    kv_values = kv_width * sum(kv_heads[full - 1 :: full])
    return Header(architecture, int(own["context_length"]), num_bytes, kv_values, weights)


def _per_layer(value: Any, num_layers: int, default: int) -> list[int]:
    if isinstance(value, list):
        return [int(each) for each in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [default if value is None else int(value)] * num_layers


class _Reader:
    """The key-value pairs at the start of a file; of long arrays only the place after them is looked for."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def read(self) -> dict[str, Any]:
        magic, version, _, num_entries = self._unpack(struct.Struct("<4sIQQ"))
        if magic != b"GGUF" or version not in (2, 3) or num_entries > _MAX_ENTRIES:
            raise ValueError
        entries: dict[str, Any] = {}
        for _ in range(num_entries):
            key = self._string().decode()
            if key.startswith("tokenizer.") and _is_enough(entries):
                break  # the vocabulary comes last, and takes long
            entries[key] = self._value(self._scalar(4))
        return entries

    def _unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        values = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return values

    def _scalar(self, kind: int) -> Any:
        return self._unpack(_SCALARS[kind])[0]

    def _string(self) -> bytes:
        size = self._scalar(10)
        if size > len(self._data) - self._at:
            raise ValueError
        self._at += size
        return self._data[self._at - size : self._at]

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string().decode("utf-8", "replace")
        return self._array() if kind == _ARRAY else self._scalar(kind)

    def _array(self) -> list[Any] | None:
        kind, size = self._scalar(4), self._scalar(10)
        if kind == _ARRAY or size > len(self._data):
            raise ValueError
        if kind in _SCALARS and size > _MAX_KEPT:
            self._at += size * _SCALARS[kind].size
            return None
        values = [self._value(kind) for _ in range(size)]
        return values if size <= _MAX_KEPT else None


def _is_enough(entries: Mapping[str, Any]) -> bool:
    architecture = entries.get("general.architecture")
    return all(f"{architecture}.{key}" in entries for key in ("context_length", "block_count", "embedding_length"))


def available_bytes() -> int:
    """The memory that can be had without swapping: of the machine, or of the container."""
    free = [_meminfo_available()]
    for limit, used, stat, reclaimable in _CGROUP_FILES:
        limit_bytes, used_bytes = _cgroup_number(limit), _cgroup_number(used)
        if limit_bytes is not None and used_bytes is not None:
            free.append(limit_bytes - used_bytes + _cgroup_stat(stat, reclaimable))
    return max(0, min(free))


def num_cores() -> int:
    """The cores that this process may keep busy, hyperthreads not counted twice."""
    allowed = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else range(os.cpu_count() or 1)
    siblings = (Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in allowed)
    cores = {_read(path) or str(path) for path in siblings}
    return max(1, min(len(cores), _cpu_quota()))


def _cpu_quota() -> int:
    quota, _, period = (_read(_CGROUP / "cpu.max") or "max").partition(" ")
    return round(int(quota) / int(period)) if quota.isdigit() and period.isdigit() else sys.maxsize


_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Of both versions: the limit, what is used, and where in it the files are that the kernel only keeps while it can."""


def _meminfo_available() -> int:
    for line in (_read(Path("/proc/meminfo")) or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _cgroup_number(name: str) -> int | None:
    text = _read(_CGROUP / name)
    return int(text) if text and text.isdigit() else None


def _cgroup_stat(name: str, key: str) -> int:
    rows = (line.split() for line in (_read(_CGROUP / name) or "").splitlines())
    return next((int(row[1]) for row in rows if row[0] == key), 0)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
