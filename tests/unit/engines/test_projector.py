"""The headers of projectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from antiphon.core.errors import OperatorError
from antiphon.engines.projector import read_projector
from tests.unit.engines.test_gguf import SMALL, model

EYES: dict[str, Any] = {"general.architecture": "clip", "clip.has_vision_encoder": 1, "clip.projector_type": "mlp"}


def test_a_projector_costs_its_weights_and_the_pictures_that_it_computes(tmp_path: Path):
    found = read_projector(model(tmp_path / "mmproj.gguf", EYES))
    assert (found.num_bytes, found.memory_bytes, found.min_batch) == (1 << 20, 2 << 20, 0)


@pytest.mark.parametrize("key", ["clip.projector_type", "clip.vision.projector_type"])
def test_pictures_that_are_computed_whole_need_a_batch_that_holds_them(tmp_path: Path, key: str):
    assert read_projector(model(tmp_path / "mmproj.gguf", EYES | {key: "gemma3"})).min_batch == 512


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (SMALL, "is a model, and no projector"),
        (EYES | {"clip.has_vision_encoder": 0}, "is not for pictures"),
        ({"general.name": "x"}, "is not a GGUF file, or only a part of one"),
    ],
)
def test_a_file_that_makes_nothing_see_is_one_sentence(entries: dict[str, Any], says: str, tmp_path: Path):
    with pytest.raises(OperatorError, match=says):
        read_projector(model(tmp_path / "x.gguf", entries))


def test_a_missing_or_broken_file_is_one_sentence(tmp_path: Path):
    with pytest.raises(OperatorError, match="cannot be read: No such file"):
        read_projector(tmp_path / "none.gguf")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF")
    with pytest.raises(OperatorError, match="only a part of one"):
        read_projector(tmp_path / "cut.gguf")
