"""Pictures for the web: PNG files at most 900 pixels wide and 60 kB large.

Usage: python docs/site/pictures.py FOLDER_OF_FIGURES FOLDER_OF_PICTURES
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

WIDTH = 900
BYTES = 60_000


def shrink(picture: Image.Image) -> bytes:
    """A picture as a PNG file with a palette, as large as the bounds above allow.

    Raises ValueError if it is too large even at a third of the width.
    """
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    for width in (WIDTH, 800, 700, 600, 450, 300):
        width = min(width, flat.width)
        small = flat.resize((width, round(flat.height * width / flat.width)), Image.Resampling.LANCZOS)
        for colours in (256, 128, 64):
            written = io.BytesIO()
            small.quantize(colours).save(written, format="PNG", optimize=True)
            if written.tell() <= BYTES:
                return written.getvalue()
    raise ValueError(f"a picture of {picture.width} x {picture.height} pixels does not fit into {BYTES} bytes")


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.png")):
        with Image.open(file) as picture:
            (target / file.name).write_bytes(shrink(picture))
        print(target / file.name)
