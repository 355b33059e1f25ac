"""The bare child of row `photo`: the same Pillow calls on one file after another, whose paths come line by line."""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image


def main() -> None:
    for line in sys.stdin:
        path, width, height = line.split()
        image = Image.open(BytesIO(Path(path).read_bytes()), formats=["JPEG"])
        size = int(width), int(height)
        image.draft("RGB", size)
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        out = BytesIO()
        small.save(out, "JPEG", quality=90, subsampling=0)
        print(len(out.getvalue()), flush=True)


if __name__ == "__main__":
    main()
