"""How large a picture a model takes, and what it costs (documentation of vision, "Evaluate image size")."""

from math import ceil, sqrt

PATCH = 28
MAX_SIDE = 1568
MAX_TOKENS = 1568


def num_tokens(width: int, height: int) -> int:
    """One for each patch, whole or not."""
    return ceil(width / PATCH) * ceil(height / PATCH)


def fitted(width: int, height: int) -> tuple[int, int]:
    """The largest size of the same shape that fits; a picture that fits stays as it is."""
    if _fits(width, height):
        return width, height
    scale = min(MAX_SIDE / max(width, height), sqrt(MAX_TOKENS * PATCH * PATCH / (width * height)))
    long_side = round(scale * max(width, height))
    while not _fits(*(size := _scaled(width, height, long_side))):  # partial patches count as whole ones
        long_side -= 1
    return size


def _scaled(width: int, height: int, long_side: int) -> tuple[int, int]:
    scale = long_side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _fits(width: int, height: int) -> bool:
    return max(width, height) <= MAX_SIDE and num_tokens(width, height) <= MAX_TOKENS
