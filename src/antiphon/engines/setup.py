"""Settings of the built-in engine that `antiphon tune` has found for a model here, and where they are kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from antiphon.engines import gguf
from antiphon.engines.keeping import digest_of

_MIN_DRAFT, _MAX_DRAFT = 12, 24


@dataclass(frozen=True, slots=True)
class Setup:
    """What is tried. `binary` is an engine that was built for this machine; None for that of the wheel."""

    num_threads: int
    num_batch: int
    flash: bool | None = None
    repacks: bool = True
    q8_keys: bool = False
    drafts: bool = False
    binary: str | None = None

    def apply(self, plan: gguf.Plan) -> gguf.Plan:
        """A batch that has to hold a picture stays as large as that."""
        num_batch = max(plan.num_batch, self.num_batch)
        return replace(
            plan,
            num_threads=self.num_threads,
            num_batch=num_batch,
            flash=self.flash,
            repacks=self.repacks,
            q8_keys=self.q8_keys,
            num_draft=_num_draft(num_batch, plan.num_slots) if self.drafts else 0,
        )


def _num_draft(num_batch: int, num_slots: int) -> int:
    """As many as every slot has room for in one batch, or the server ends; 0 where they would be too few."""
    num_draft = min(_MAX_DRAFT, num_batch // num_slots - 1)
    return num_draft if num_draft >= _MIN_DRAFT else 0


def setup_of(plan: gguf.Plan) -> Setup:
    return Setup(plan.num_threads, plan.num_batch, plan.flash, plan.repacks, plan.q8_keys)


def read_tuned(data_dir: Path, model: Path) -> Setup | None:
    """What was found for this model, this engine and this machine, if it was looked for."""
    try:
        kept: dict[str, Any] = orjson.loads((data_dir / "tuned.json").read_bytes())
        setup = Setup(**kept[_key(model)]["setup"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return setup if setup.binary is None or Path(setup.binary).is_file() else None


def keep_tuned(data_dir: Path, model: Path, setup: Setup, measured: Mapping[str, Any]) -> None:
    """For `read_tuned`; what was `measured` is for those who look into the file."""
    path = data_dir / "tuned.json"
    try:
        kept: dict[str, Any] = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        kept = {}
    kept[_key(model)] = {"setup": asdict(setup), **measured}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2))


def _key(model: Path) -> str:
    return f"{digest_of(model)} {metadata.version('xllamacpp')} {gguf.num_cores()}"
