"""Projectors: the files that give sight to a model. What their header tells, and what they cost."""

import struct
from pathlib import Path
from typing import NamedTuple

from antiphon.core.errors import OperatorError
from antiphon.engines import gguf

_WHOLE_PICTURES = ("gemma3", "gemma4v", "gemma4uv")
"""Kinds whose pictures have to be computed in one batch: all tokens of a picture attend to each other."""
_WHOLE_BATCH = 512


class Projector(NamedTuple):
    """`min_batch` is what the engine's batch must hold, so that a picture is not made smaller than its model knows."""

    path: Path
    num_bytes: int
    min_batch: int

    @property
    def memory_bytes(self) -> int:
        """Its weights, and about as much for a picture that it computes."""
        return 2 * self.num_bytes


def read_projector(path: Path) -> Projector:
    """Raises OperatorError if `path` is no file that makes a model see."""
    try:
        entries = gguf.read_entries(path)
        if entries["general.architecture"] != "clip":
            raise OperatorError(f"{path} is a model, and no projector: give its mmproj file with --mmproj.")
        if not entries.get("clip.has_vision_encoder"):
            raise OperatorError(f"The projector {path} is not for pictures: give one that has a vision encoder.")
        kind = entries.get("clip.vision.projector_type") or entries.get("clip.projector_type")
        return Projector(path, path.stat().st_size, _WHOLE_BATCH if kind in _WHOLE_PICTURES else 0)
    except OSError as error:
        raise OperatorError(f"The projector {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise OperatorError(f"{path} is not a GGUF file, or only a part of one: fetch it again.") from error
