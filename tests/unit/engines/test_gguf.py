"""Headers of models, good and broken, and what is planned from them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.errors import OperatorError
from antiphon.engines import gguf
from antiphon.engines.gguf import available_bytes, num_cores, plan, read_header

GIB = 1 << 30
SMALL: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 10,
    "llama.context_length": 8192,
    "llama.embedding_length": 512,
    "llama.feed_forward_length": 2048,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
}
KV_BYTES = 10 * 2 * (64 + 64) * 2  # layers x heads x (key + value) x f16


def packed(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + string(value)
    if isinstance(value, list):
        kind = 8 if isinstance(value[0], str) else 5
        items = b"".join(string(v) if kind == 8 else struct.pack("<i", v) for v in value)
        return struct.pack("<IIQ", 9, kind, len(value)) + items
    return struct.pack("<II", 4, value)


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def model(path: Path, entries: dict[str, Any] = SMALL, *, version: int = 3, size: int = 1 << 20) -> Path:
    header = struct.pack("<4sIQQ", b"GGUF", version, 0, len(entries))
    body = header + b"".join(string(key) + packed(value) for key, value in entries.items())
    path.write_bytes(body.ljust(size, b"\0"))
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_tells_window_cache_and_weights(tmp_path: Path, version: int):
    header = read_header(model(tmp_path / "a.gguf", version=version))
    assert (header.architecture, header.window, header.num_bytes) == ("llama", 8192, 1 << 20)
    assert header.kv_values * 2 == KV_BYTES
    assert header.num_weights == 10 * (512 * (2 * 512 + 3 * 2048) + 512 * 128 * 2)


def test_a_vocabulary_before_the_sizes_is_read_over(tmp_path: Path):
    tokens = {"tokenizer.ggml.tokens": ["tok"] * 3000, "tokenizer.ggml.token_type": [1] * 3000}
    assert read_header(model(tmp_path / "a.gguf", tokens | SMALL)).window == 8192


def test_layers_may_differ_and_may_have_no_cache(tmp_path: Path):
    hybrid = SMALL | {"llama.attention.head_count_kv": [0, 0, 0, 2, 0, 0, 0, 2, 0, 0]}
    assert read_header(model(tmp_path / "a.gguf", hybrid)).kv_values * 2 == KV_BYTES // 5


def test_layers_that_look_through_a_window_need_no_long_cache(tmp_path: Path):
    gemma = {key.replace("llama", "gemma2"): value for key, value in SMALL.items()} | {"general.architecture": "gemma2"}
    assert read_header(model(tmp_path / "a.gguf", gemma)).kv_values * 2 == KV_BYTES // 2


def test_of_many_experts_only_those_met_count(tmp_path: Path):
    moe = SMALL | {"llama.expert_count": 64, "llama.expert_used_count": 2, "llama.expert_feed_forward_length": 128}
    assert (
        read_header(model(tmp_path / "a.gguf", moe)).num_weights < read_header(model(tmp_path / "b.gguf")).num_weights
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"GGUF",
        struct.pack("<4sIQQ", b"GGUF", 1, 0, 1),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1 << 60),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<Q", 1 << 62) + b"x",
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("k") + struct.pack("<I", 77),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("k") + struct.pack("<IIQ", 9, 9, 1 << 40),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("k") + struct.pack("<I", 9) * 400,
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + string("general.architecture") + packed("llama"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, content: bytes):
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match="not a GGUF model"):
        read_header(path)


def test_every_cut_of_a_header_is_one_sentence(tmp_path: Path):
    whole = model(tmp_path / "whole.gguf", size=0).read_bytes()
    path = tmp_path / "cut.gguf"
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(OperatorError):
            read_header(path)


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    with pytest.raises(OperatorError, match="cannot be read: No such file"):
        read_header(tmp_path / "none.gguf")


def slots_and_window(path: Path, gib: float, **wishes: int) -> tuple[int, int]:
    made = plan(path, int(gib * GIB), 2, **wishes)
    return made.num_slots, made.window


def test_memory_costs_slots_first_and_then_window(tmp_path: Path):
    path = model(tmp_path / "a.gguf")
    assert slots_and_window(path, 4) == (4, 8192)
    assert slots_and_window(path, 0.46) == (2, 8192)
    assert slots_and_window(path, 0.41) == (1, 8192)
    slots, window = slots_and_window(path, 0.375)
    assert slots == 1
    assert 2048 <= window < 8192
    assert window % 256 == 0


def test_too_little_memory_is_one_sentence_with_both_figures(tmp_path: Path):
    with pytest.raises(OperatorError, match=r"needs about 0\.4 GB of free memory, and there are 0\.3 GB"):
        plan(model(tmp_path / "a.gguf"), 300_000_000, 2)


def test_the_user_s_wishes_are_kept(tmp_path: Path):
    path = model(tmp_path / "a.gguf")
    assert slots_and_window(path, 4, num_slots=7, window=512) == (7, 512)
    assert slots_and_window(path, 4, window=1 << 20) == (4, 8192), "no more than the model was made for"
    assert slots_and_window(path, 0.46, num_slots=4)[0] == 4


def test_a_batch_is_a_power_of_two_that_grows_with_cores_and_shrinks_with_weights(tmp_path: Path):
    small, large = model(tmp_path / "a.gguf"), model(tmp_path / "b.gguf", SMALL | {"llama.block_count": 200})
    batches = [plan(path, 64 * GIB, cores).num_batch for path, cores in ((large, 2), (small, 2), (small, 16))]
    assert batches == sorted(batches)
    assert batches[0] < batches[-1]
    assert all(batch & (batch - 1) == 0 and 16 <= batch <= 2048 for batch in batches)


def test_the_prompt_cache_takes_no_more_than_half_of_what_is_left(tmp_path: Path):
    path = model(tmp_path / "a.gguf")
    assert plan(path, 64 * GIB, 2).cache_mib == 8192
    assert 0 <= plan(path, int(0.6 * GIB), 2).cache_mib < 100


def test_what_is_needed_beside_the_model_costs_as_much_memory_as_it_takes(tmp_path: Path):
    path = model(tmp_path / "a.gguf")
    assert plan(path, 2 * GIB, 2).num_slots == 4
    assert plan(path, 2 * GIB, 2, extra_bytes=int(1.31 * GIB)).num_slots == 2
    with pytest.raises(OperatorError, match=r"needs about 2\.\d GB"):
        plan(path, 2 * GIB, 2, extra_bytes=int(1.4 * GIB))


def test_a_batch_holds_what_it_has_to_hold(tmp_path: Path):
    path = model(tmp_path / "b.gguf", SMALL | {"llama.block_count": 200})
    assert plan(path, 64 * GIB, 2).num_batch < 512
    assert plan(path, 64 * GIB, 2, min_batch=512).num_batch == 512


def test_this_machine_has_cores_and_memory():
    assert num_cores() >= 1
    assert available_bytes() > 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "1000", "memory.current": "900", "memory.stat": "file 700\ninactive_file 600\n"}, 700),
        ({"memory.max": "1000", "memory.current": "900"}, 100),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "900",
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
            },
            600,
        ),
    ],
)
def test_files_that_the_kernel_merely_keeps_are_free_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(gguf, "_CGROUP", tmp_path)
    assert available_bytes() == expected
