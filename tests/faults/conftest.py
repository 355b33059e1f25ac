"""What the tests of faults share: they measure who is kept waiting, and by their own process least of all."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def nothing_old_is_looked_through() -> None:
    """As in a server that has started: a full look at what thousands of tests have left takes half a second."""
    gc.collect()
    gc.freeze()
