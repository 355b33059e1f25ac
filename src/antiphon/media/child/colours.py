"""The colours that a picture is mostly made of, by their names."""

from collections import Counter
from functools import cache

from PIL import Image

_NAMES = {
    "black": (0, 0, 0),
    "dark grey": (70, 70, 70),
    "grey": (140, 140, 140),
    "light grey": (205, 205, 205),
    "white": (255, 255, 255),
    "red": (220, 30, 30),
    "dark red": (130, 15, 15),
    "orange": (245, 140, 20),
    "brown": (120, 75, 35),
    "beige": (225, 200, 165),
    "yellow": (245, 225, 40),
    "green": (40, 160, 60),
    "dark green": (15, 80, 35),
    "light green": (150, 220, 140),
    "turquoise": (50, 195, 190),
    "blue": (40, 80, 215),
    "dark blue": (15, 25, 95),
    "light blue": (150, 195, 240),
    "purple": (125, 45, 165),
    "pink": (245, 140, 190),
}
_SAMPLE = (40, 40)
_LEAST_PERCENT = 5
_MAX_NAMED = 5
_STEP = 32


def colours_of(image: Image.Image) -> list[tuple[str, int]]:
    """(name, percent of the picture), the most frequent first; what is rare is left out."""
    sample = image.resize(_SAMPLE, Image.Resampling.NEAREST).tobytes()
    steps = iter(byte // _STEP * _STEP + _STEP // 2 for byte in sample)
    counts = Counter(map(_nearest, zip(steps, steps, steps, strict=True)))
    total = _SAMPLE[0] * _SAMPLE[1]
    found = [(name, round(100 * number / total)) for name, number in counts.most_common(_MAX_NAMED)]
    return [(name, percent) for name, percent in found if percent >= _LEAST_PERCENT]


@cache
def _nearest(colour: tuple[int, ...]) -> str:
    def distance(name: str) -> int:
        red, green, blue = (a - b for a, b in zip(_NAMES[name], colour, strict=True))
        return 2 * red * red + 4 * green * green + 3 * blue * blue  # as eyes weigh them

    return min(_NAMES, key=distance)
