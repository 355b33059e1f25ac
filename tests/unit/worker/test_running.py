"""How long others of a batch wait for the first whose prompt begins as theirs do."""

from typing import Any, cast

import pytest

from antiphon.core.clock import ManualClock
from antiphon.worker.loop import Running


@pytest.mark.parametrize(("computing_s", "waited_s"), [(0.5, 2.0), (15.0, 15.0), (600.0, 60.0)])
def test_others_wait_for_a_prompt_as_long_as_it_took_to_compute(computing_s: float, waited_s: float):
    """With slots that are busy nothing can be copied, and each of the others would compute it anew."""
    clock = ManualClock()
    running = Running(cast(Any, None), clock)
    assert running.is_awaited
    clock.advance(computing_s)
    running.background.note_computed()
    clock.advance(waited_s - 0.1)
    assert running.is_awaited
    clock.advance(0.2)
    assert not running.is_awaited
