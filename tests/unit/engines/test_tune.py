"""What `antiphon tune` takes, and that it is never slower than what there was."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import OperatorError
from antiphon.engines import building, gguf
from antiphon.engines.gguf import Plan
from antiphon.engines.setup import Setup, keep_tuned, read_tuned, setup_of
from antiphon.engines.tune import Speed, Trial, measure_model, tune

PLAN = Plan(window=2048, num_slots=4, num_batch=64, num_threads=2, cache_mib=10)
DEFAULT = setup_of(PLAN)


def all_of(speed_of: Callable[[Setup], Speed]) -> Callable[[Sequence[Setup]], Awaitable[list[Speed]]]:
    async def measure(setups: Sequence[Setup]) -> list[Speed]:
        return [speed_of(setup) for setup in setups]

    return measure


async def chosen(pace: Callable[[Setup], float], binary: str | None = None) -> Trial:
    measure = all_of(lambda setup: Speed(*(pace(setup) * base for base in (100, 10, 20, 10))))
    return [trial async for trial in tune(DEFAULT, binary, 4, measure)][-1]


async def test_where_nothing_is_faster_all_stays_as_it_was():
    assert (await chosen(lambda setup: 1.0)).setup == DEFAULT
    assert (await chosen(lambda setup: 1.0 if setup == DEFAULT else 1.03)).setup == DEFAULT


async def test_what_is_faster_is_taken_together():
    def pace(setup: Setup) -> float:
        return (1.5 if setup.binary else 1.0) * (1.2 if setup.num_batch == 128 else 1.0) * (2 if setup.flash else 1)

    trial = await chosen(pace, binary="/engine")
    assert trial.setup == Setup(2, 128, flash=True, binary="/engine")
    assert trial.gain == pytest.approx(3.6)


async def test_what_is_faster_in_one_thing_and_slower_in_another_is_not_taken():
    measure = all_of(lambda setup: Speed(100, 10, 20, 10) if setup.repacks else Speed(300, 9, 20, 10))
    trials = [trial async for trial in tune(DEFAULT, None, 2, measure)]
    assert trials[-1].setup == DEFAULT


async def test_keys_of_eight_bits_are_tried_only_where_they_are_asked_for():
    measure = all_of(lambda setup: Speed(100, 10, 30 if setup.q8_keys else 20, 10))
    without = [trial async for trial in tune(DEFAULT, None, 2, measure)]
    assert not any(trial.setup.q8_keys for trial in without)
    with_them = [trial async for trial in tune(DEFAULT, None, 2, measure, with_q8_keys=True)]
    assert with_them[-1].setup == replace(DEFAULT, q8_keys=True)


async def steps(setup: Setup, seen: list[int]) -> AsyncGenerator[Speed]:
    """A measuring that ends in its second step where guesses are made."""
    for number in (1, 2):
        seen.append(setup.num_batch)
        if setup.drafts and number == 2:
            raise OperatorError("It ended.")
        yield Speed(100 * number, 10, 20, 10)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batches of the setups that are measured, step by step, with engines that are none."""
    seen: list[int] = []
    header = gguf.Header("any", 2048, 1, 1, 1)
    monkeypatch.setattr(gguf, "read_header", lambda path: header)  # pyright: ignore[reportUnknownLambdaType]

    def measure(model: Path, plan: Plan, binary: str | None, clock: object) -> AsyncGenerator[Speed]:
        return steps(replace(setup_of(plan), drafts=plan.num_draft > 0), seen)

    monkeypatch.setattr("antiphon.engines.tune._measure", measure)
    return seen


async def test_engines_that_fit_into_memory_take_turns(seen: list[int]):
    setups = [DEFAULT, replace(DEFAULT, num_batch=128)]
    speeds = await measure_model(Path("m"), PLAN, setups, ManualClock())
    assert (seen, speeds) == ([64, 128, 64, 128], [Speed(200, 10, 20, 10)] * 2)


async def test_engines_that_do_not_fit_run_one_after_another(seen: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gguf, "available_bytes", lambda: 1 << 20)
    setups = [DEFAULT, replace(DEFAULT, num_batch=128)]
    speeds = await measure_model(Path("m"), PLAN, setups, ManualClock())
    assert (seen, speeds) == ([64, 64, 128, 128], [Speed(200, 10, 20, 10)] * 2)


async def test_an_engine_that_ends_under_a_setup_is_not_taken(seen: list[int]):
    drafts = replace(DEFAULT, drafts=True)
    speeds = await measure_model(Path("m"), PLAN, [DEFAULT, drafts], ManualClock())
    assert speeds == [Speed(200, 10, 20, 10), Speed(0, 0, 0, 0)]
    with pytest.raises(OperatorError):
        await measure_model(Path("m"), PLAN, [drafts, DEFAULT], ManualClock())
    trials = [trial async for trial in tune(DEFAULT, None, 2, all_of(lambda setup: speeds[setup.drafts]))]
    assert trials[-1].setup == DEFAULT


@pytest.mark.parametrize(("num_batch", "num_slots", "num_draft"), [(64, 4, 15), (512, 4, 24), (32, 4, 0), (64, 32, 0)])
def test_the_drafts_of_all_slots_fit_into_a_batch(num_batch: int, num_slots: int, num_draft: int):
    plan = replace(PLAN, num_batch=num_batch, num_slots=num_slots)
    found = replace(setup_of(plan), drafts=True).apply(plan)
    assert found.num_draft == num_draft
    assert num_slots * (1 + num_draft) <= num_batch
    assert setup_of(plan).apply(plan).num_draft == 0


async def test_what_is_slow_in_one_thing_by_chance_is_measured_again():
    num_measured = 0

    def speed_of(setup: Setup) -> Speed:
        nonlocal num_measured
        num_measured += setup.drafts
        return Speed(100, 10, 15 if num_measured == 1 else 20, 20) if setup.drafts else Speed(100, 10, 20, 10)

    measure = all_of(speed_of)
    assert [trial async for trial in tune(DEFAULT, None, 2, measure)][-1].setup == replace(DEFAULT, drafts=True)


async def test_a_gain_that_does_not_come_again_is_not_believed():
    seen: list[Setup] = []

    def pace(setup: Setup) -> float:
        seen.append(setup)
        return 2.0 if setup.flash and seen.count(setup) == 1 else 1.0 if setup == DEFAULT else 0.9

    assert (await chosen(pace)).setup == DEFAULT


def test_what_was_found_is_kept_for_this_model_only(tmp_path: Path):
    one, other = tmp_path / "one.gguf", tmp_path / "other.gguf"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    setup = Setup(2, 128, flash=True)
    assert read_tuned(tmp_path, one) is None
    keep_tuned(tmp_path, one, setup, {"gain": 1.2})
    assert read_tuned(tmp_path, one) == setup
    assert read_tuned(tmp_path, other) is None
    assert setup.apply(PLAN).num_batch == 128


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}"])
def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, content: bytes):
    model = tmp_path / "one.gguf"
    model.write_bytes(b"one")
    (tmp_path / "tuned.json").write_bytes(content)
    assert read_tuned(tmp_path, model) is None


def test_an_engine_that_is_gone_is_not_used(tmp_path: Path):
    model = tmp_path / "one.gguf"
    model.write_bytes(b"one")
    keep_tuned(tmp_path, model, Setup(2, 64, binary=str(tmp_path / "gone")), {"gain": 1.2})
    assert read_tuned(tmp_path, model) is None


def test_a_source_that_cannot_be_fetched_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(OperatorError, match="The source cannot be fetched"):
        building.build(tmp_path, 1, lambda words: None)
    assert not building.binary_of(tmp_path).exists()
    assert list((tmp_path / "engine").iterdir()) == []
