"""`antiphon tune`: find the fastest settings of the built-in engine for a model."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, tell
from antiphon.core.errors import OperatorError
from antiphon.settings import Settings, load_settings

if TYPE_CHECKING:
    from antiphon.engines.tune import Trial


def tune(
    model: Annotated[str | None, typer.Option(help="NAME, PATH.gguf or hf:org/repo[:quant].")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    q8_keys: Annotated[
        bool, typer.Option(help="Try keys of eight bits, too: what the model says changes a little.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Try settings of the built-in engine for some minutes, on a quiet machine, and keep the best for this model."""
    with plain_errors():
        trial = asyncio.run(_tune(load_settings(config, model=model, data_dir=data_dir), with_q8_keys=q8_keys))
    found = {"setup": _changed(trial), "speed": trial.speed._asdict(), "gain": round(trial.gain, 3)}
    tell(found, f"Taken: {_told(trial)}. The next `antiphon serve` uses it.", as_json=as_json)


async def _tune(settings: Settings, *, with_q8_keys: bool) -> "Trial":
    from antiphon.core.clock import SystemClock
    from antiphon.engines import gguf
    from antiphon.engines.building import binary_of
    from antiphon.engines.models import find_model
    from antiphon.engines.setup import Setup, keep_tuned, setup_of
    from antiphon.engines.tune import Speed, Trial, measure_model, num_logical, tune

    file = await find_model(settings.model, settings.data_dir)
    plan = gguf.plan(file.path, gguf.available_bytes(), gguf.num_cores())
    binary = binary_of(settings.data_dir)

    async def measure(setups: Sequence[Setup]) -> Sequence[Speed]:
        return await measure_model(file.path, plan, setups, SystemClock())

    trial: Trial | None = None
    built = str(binary) if binary.is_file() else None
    async for trial in tune(setup_of(plan), built, num_logical(), measure, with_q8_keys=with_q8_keys):
        typer.echo(_told(trial), err=True)
    if trial is None:
        raise OperatorError("Nothing was tried.")
    keep_tuned(settings.data_dir, file.path, trial.setup, {"speed": trial.speed._asdict(), "gain": trial.gain})
    return trial


def _changed(trial: "Trial") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(trial.setup)


def _told(trial: "Trial") -> str:
    setup = ", ".join(f"{name} {value}" for name, value in _changed(trial).items() if value is not None)
    prompt, one, four, copied = trial.speed
    paces = f"{prompt:.0f} tokens/s of a prompt, {one:.1f} written, {four:.1f} by four, {copied:.1f} copied"
    return f"{setup}: {paces}; " + (f"{trial.gain:.2f}x" if trial.gain else "slower in something")
