"""Where the built-in engine's prompts are kept when no slot has room for them: in memory, or in a folder of the user's.

See decision 0029.
"""

import hashlib
import shutil
from importlib import metadata
from pathlib import Path

from antiphon.core.clock import Clock
from antiphon.engines.gguf import Plan
from antiphon.engines.saved import SavedPrompts
from antiphon.settings import Settings

_MEMORY = Path("/dev/shm")
_DISK_MIB = 16_384
_MEMORY_SHARE = 0.8
_EDGE_BYTES = 1 << 20


def saved_prompts(
    settings: Settings, model: Path, plan: Plan, clock: Clock, binary: Path | None
) -> SavedPrompts | None:
    """None where the user wants none."""
    if settings.kv_mib == 0:
        return None
    if settings.kv_dir:
        folder, mib = settings.kv_dir, _DISK_MIB
    else:
        mib = settings.kv_mib or plan.cache_mib
        folder = _memory_folder(settings.data_dir, mib) or settings.data_dir / "kv"
    engine = str(binary or metadata.version("xllamacpp"))
    return SavedPrompts(
        folder,
        (settings.kv_mib or mib) << 20,
        clock,
        model=f"{digest_of(model)} {engine} {plan.window} {plan.flash} {plan.q8_keys}",
        is_lasting=settings.kv_dir is not None,
    )


def folders_of(settings: Settings) -> list[Path]:
    """Where prompts may be kept under these settings, and are."""
    if settings.kv_dir:
        return [settings.kv_dir]
    places = (_place_in_memory(settings.data_dir), settings.data_dir / "kv")
    return [place for place in places if place.is_dir()]


def _place_in_memory(data_dir: Path) -> Path:
    return _MEMORY / f"antiphon-{hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]}"


def _memory_folder(data_dir: Path, mib: int) -> Path | None:
    """A file system in memory with room for `mib`. The folder of a server that was killed is taken up by its next."""
    try:
        if shutil.disk_usage(_MEMORY).free * _MEMORY_SHARE < mib << 20:
            return None
    except OSError:
        return None
    return _place_in_memory(data_dir)


def digest_of(model: Path) -> str:
    """Of a model's file: its size, its head and its tail. To read all of it would take as long as to load it."""
    size = model.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with model.open("rb") as file:
        digest.update(file.read(_EDGE_BYTES))
        file.seek(max(0, size - _EDGE_BYTES))
        digest.update(file.read(_EDGE_BYTES))
    return digest.hexdigest()[:32]
