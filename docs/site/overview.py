"""One picture with a small one of each figure, for the README.

Usage: python docs/site/overview.py FOLDER_OF_PICTURES PICTURE
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

SHOWN = ("dynamics", "profiles", "heatmap", "violins", "losses", "scales", "nulls", "shifts")
ACROSS, WIDTH, HEIGHT, DOTS = 4, 12.0, 4.2, 100  # columns, inches, inches, dots per inch


def draw(pictures: Path) -> plt.Figure:
    """The figures of `SHOWN`, each with its name above. Raises FileNotFoundError if one is missing."""
    drawn, places = plt.subplots(len(SHOWN) // ACROSS, ACROSS, figsize=(WIDTH, HEIGHT), dpi=DOTS, layout="constrained")
    for name, axes in zip(SHOWN, places.flat, strict=True):
        with Image.open(pictures / f"{name}.png") as picture:
            axes.imshow(picture.convert("RGB"), interpolation="lanczos")
        axes.set_title(name, fontsize=11, fontfamily="monospace")
        axes.set_anchor("N")
        axes.set_axis_off()
    return drawn


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    draw(source).savefig(target)
    with Image.open(target) as picture:
        picture.convert("RGB").quantize(128).save(target, optimize=True)
    print(target)
