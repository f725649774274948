"""The look that all figures share, and how they are written.

Sizes are inches on paper: a figure printed at its own size has no letter below 7 pt. Figures are
built without pyplot on the Agg canvas, from matplotlib's own defaults rather than from the reader's
matplotlibrc, so that the same tables give the same bytes.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from textwrap import fill

import matplotlib.style
import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from idsweep.drawing.estimator_names import estimator_name
from idsweep.files.atomic import whole_or_nothing

log = logging.getLogger(__name__)

# Names may be of any script. Where DejaVu Sans lacks a sign, the first of these that is installed and has it is taken.
OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Tamil",
    "Noto Sans Thai",
    "Noto Sans Ethiopic",
    "Noto Sans Symbols",
    "Noto Sans Symbols 2",
    "Noto Emoji",
    "Segoe UI Emoji",
    "Segoe UI Symbol",
    "Symbola",
    "Arial Unicode MS",
    "Unifont",
)
INSTALLED = {font.name for font in fontManager.ttflist}
NO_GLYPH = re.compile(r"Glyph (\d+) .*missing from font")
COLUMN_WIDTH = 3.4
TEXT_WIDTH = 6.9
SMALL, NORMAL = 7, 8
GREY = "0.45"
STYLE = [
    "default",
    seaborn.axes_style("ticks"),
    {
        "font.family": ["DejaVu Sans", *(name for name in OTHER_FONTS if name in INSTALLED)],
        "font.size": NORMAL,
        "axes.labelsize": NORMAL,
        "axes.titlesize": NORMAL,
        "axes.titlelocation": "left",
        "axes.titlepad": 4,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "legend.fontsize": SMALL,
        "legend.title_fontsize": SMALL,
        "legend.frameon": False,
        "lines.linewidth": 1.1,
        "text.parse_math": False,
        "figure.constrained_layout.w_pad": 0.05,
        "figure.constrained_layout.h_pad": 0.05,
        "pdf.fonttype": 42,
        "svg.hashsalt": "idsweep",
    },
]
METADATA = {
    ".pdf": {"CreationDate": None, "Creator": "idsweep"},
    ".png": {"Software": "idsweep"},
    ".svg": {"Date": None, "Creator": "idsweep"},
}
PNG_DPI = 200
# Ten colours of a contrast with white of 3:1 or more, which readers with any kind of colour blindness can tell apart.
CATEGORIES = (
    "#0173b2",
    "#c77c02",
    "#00795a",
    "#621400",
    "#5b6dff",
    "#62004e",
    "#3b9db1",
    "#27149d",
    "#a5522d",
    "#808080",
)
DARK_SEQUENCE = "plasma", 0.64  # up to where its contrast with white is 3:1
TITLE_LETTER, LINE = 0.066, 0.14
LONGEST_BAR = 3.3
MOST_TICKS = 9  # at 1, 2, 5 …
NAMED = 12
NUMBER = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d+|[kmbKMB](?![a-zA-Z]))?)")
SCALES = ("linear", "log")
DASHES = ("-", "--", ":", "-.")
UNITS = {"k": 1e3, "m": 1e6, "b": 1e9}

styled = matplotlib.style.context(STYLE)


def figure(width: float, height: float) -> Figure:
    """An empty figure of `width` × `height` inches, laid out so that no label is clipped."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def statement(text: str) -> Figure:
    """A figure that says in words why there is nothing to draw."""
    drawn = figure(TEXT_WIDTH, 1.2)
    drawn.text(0.5, 0.5, fill(text, 95), ha="center", va="center", color="0.25")
    return drawn


@styled
def save(drawn: Figure, paths: Iterable[str | Path], missing: Sequence[str] = ()) -> None:
    """Write `drawn` to every path, in the format of its ending: .pdf, .png (200 dpi) or .svg.

    missing: checkpoints that are not measured; below the figure a line says so.
    The bytes depend on the figure and on the version of matplotlib alone (of signs that DejaVu Sans lacks, on the installed
    fonts): no dates, fixed ids. Signs that no font has are boxes, and warned of. Each
    file appears under its name when it is whole. Raises ValueError for another ending.
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        if path.suffix not in METADATA:
            raise ValueError(f"{path}: a figure is written as {', '.join(METADATA)}, not as {path.suffix!r}.")
    if missing:
        _say_missing(drawn, missing)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for path in paths:
            with whole_or_nothing(path) as unfinished:
                drawn.savefig(unfinished, format=path.suffix[1:], dpi=PNG_DPI, metadata=METADATA[path.suffix])
    _tell(warned, paths[0].stem if paths else "")


def _tell(warned: Iterable[warnings.WarningMessage], name: str) -> None:
    """Say which signs no installed font has, in one line; pass other warnings on."""
    boxes = {}
    for warning in warned:
        if found := NO_GLYPH.match(str(warning.message)):
            boxes[chr(int(found[1]))] = True
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if boxes:
        more = f" and {len(boxes) - NAMED} more" if len(boxes) > NAMED else ""
        log.warning(
            "The figure %s shows boxes in place of %s%s: no installed font that matplotlib can use has these signs. Install "
            "one (Noto Sans CJK, Noto Emoji, Unifont), delete matplotlib's list of fonts (fontlist-*.json in its cache "
            "folder), and draw again: --forcerun draw_figure.",
            name,
            " ".join(list(boxes)[:NAMED]),
            more,
        )


def _say_missing(drawn: Figure, missing: Sequence[str]) -> None:
    """Write below the figure which checkpoints are not measured, of many the first."""
    more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
    width, height = drawn.get_size_inches()
    text = fill(f"Not measured: {', '.join(missing[:NAMED])}{more}", int(width / TITLE_LETTER))
    room = LINE * (text.count("\n") + 2)
    drawn.set_size_inches(width, height + room)
    share = room / (height + room)
    drawn.get_layout_engine().set(rect=(0, share, 1, 1 - share))
    drawn.text(0.05 / width, share / 2, text, fontsize=SMALL, color=GREY, va="center")


def categories(count: int) -> list[tuple[float, float, float]]:
    """`count` colours that colour-blind readers can tell apart on white (repeating after ten)."""
    return [to_rgb(CATEGORIES[place % len(CATEGORIES)]) for place in range(count)]


def sequence(name: str = "viridis") -> Colormap:
    """A perceptually uniform colour map for areas, without its palest end. For lines and points see `dark_sequence`."""
    return ListedColormap(seaborn.color_palette(name, 256, as_cmap=True)(np.linspace(0.0, 0.92, 256)))


def dark_sequence() -> Colormap:
    """A perceptually uniform colour map for lines and points: each colour has a contrast with white of 3:1 or more."""
    name, end = DARK_SEQUENCE
    return ListedColormap(seaborn.color_palette(name, 256, as_cmap=True)(np.linspace(0.0, end, 256)))


def line_looks(names: Sequence[str]) -> dict[str, dict]:
    """Colour and dashes of a line for each name.

    Where the names carry a number in which they differ (pythia-70m, pythia-1.4b …, pythia-70m-deduped), its size is the
    colour, of a sequence, and the words around it are the dashes. Otherwise, and where there are fewer than three sizes
    or more than four kinds of words, ten colours that can be told apart, dashed the second time around.
    """
    parts = [NUMBER.split(name) for name in names]
    words = list(dict.fromkeys(tuple(part[::2]) for part in parts))
    varied = [numbers for numbers in zip(*(part[1::2] for part in parts), strict=False) if len(set(numbers)) > 1]
    if len(set(map(len, parts))) == len(varied) == 1 and len(words) <= len(DASHES):
        sizes, order = np.unique([_size(number) for number in varied[0]], return_inverse=True)
        if len(sizes) > 2:
            shades = dark_sequence()(order / (len(sizes) - 1))
            dashes = [DASHES[words.index(tuple(part[::2]))] for part in parts]
            return {
                name: {"color": tuple(shade[:3]), "linestyle": dash}
                for name, shade, dash in zip(names, shades, dashes, strict=True)
            }
    colours = categories(len(names))
    return {
        name: {"color": colours[place], "linestyle": DASHES[place // 10 % len(DASHES)]}
        for place, name in enumerate(names)
    }


def _size(number: str) -> float:
    """1.4b as 1.4e9."""
    return float(number.rstrip("kmbKMB")) * UNITS.get(number[-1].lower(), 1.0)


def with_neighbors(estimator: str, rows: pd.DataFrame) -> str:
    """An estimator and the number of its neighbours, "TwoNN, L = 64", from the column `n_neighbors` of `rows`, where there is one."""
    sizes = sorted(rows["n_neighbors"].dropna().astype(int).unique()) if "n_neighbors" in rows else []
    return estimator_name(estimator) + (f", L = {', '.join(map(str, sizes))}" if sizes else "")


def local_label(quantity: str, estimator: str, rows: pd.DataFrame) -> str:
    """An axis label such as "Local intrinsic dimension (TwoNN, L = 64)"; see `with_neighbors`."""
    return f"{quantity} ({with_neighbors(estimator, rows)})"


def step_label(step: float) -> str:
    """A training step in print, never rounded: 512, 1k, 143k, 1.5k."""
    step = int(step)
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if step >= unit and step % (unit // 10) == 0:
            return f"{step / unit:g}{letter}"
    return str(step)


def columns(panels: int, least_width: float, margin: float = 0.7) -> int:
    """How many of `panels` fit side by side in the text width if each is at least `least_width` wide."""
    return max(1, min(panels, int((TEXT_WIDTH - margin) / least_width)))


def positions(
    blocks: int, panels: int, least_width: float, margin: float = 0.7
) -> tuple[int, list[list[tuple[int, int]]]]:
    """How many panels stand side by side, and the (row, column) of each panel of each block.

    A block begins a new row, unless it is a single panel.
    """
    if panels == 1:
        across = columns(blocks, least_width, margin)
        return across, [[divmod(block, across)] for block in range(blocks)]
    across = columns(panels, least_width, margin)
    down = ceil(panels / across)
    return across, [
        [(block * down + place // across, place % across) for place in range(panels)] for block in range(blocks)
    ]


def stride(count: int, room: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 … by which `count` tick labels are thinned to fit `room` many."""
    scale = 1
    while True:
        for factor in (1, 2, 5):
            if ceil(count / (factor * scale)) <= max(room, 1):
                return factor * scale
        scale *= 10


def undefined_note(count: int, consequence: str) -> str:
    """A second line for an axis label that owns up to `count` undefined estimates; empty for none."""
    if not count:
        return ""
    return f"\n({count:,} undefined {'estimate' if count == 1 else 'estimates'} {consequence})"


def seeds_note(count: int, before: str = ", ") -> str:
    """How many seeds something is of, for a label; empty for one."""
    return f"{before}{count}\N{NO-BREAK SPACE}seeds" if count > 1 else ""


def not_drawn(names: Sequence[str], why: str = " for lack of room, see the option models", what: str = "model") -> str:
    """In words which models, or what `what` says, a figure leaves out and why; empty for none."""
    if not names:
        return ""
    listed, rest = names[:NAMED], len(names) - NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"({len(names)} {what}{'' if len(names) == 1 else 's'} not drawn{why}: {', '.join(listed)}{more})"


def below(drawn: Figure, *lines: str) -> None:
    """Write those of `lines` that are not empty below all panels, broken to fit; the paper grows by all but the first."""
    text = fitting(drawn.get_figwidth(), *lines)
    if text:
        drawn.supxlabel(text, fontsize=NORMAL)
        drawn.set_figheight(drawn.get_figheight() + LINE * text.count("\n"))


def beside(drawn: Figure, label: str) -> None:
    """Write a label left of all panels, at the middle of what is above the lines that `below` wrote; to be called after it."""
    lines = drawn.get_supxlabel().count("\n") + 1 if drawn.get_supxlabel() else 0
    drawn.supylabel(label, y=0.5 + LINE * lines / drawn.get_figheight() / 2, fontsize=NORMAL, multialignment="center")


def fitting(inches: float, *lines: str) -> str:
    """Those of `lines` that are not empty, broken so that none is longer than `inches`."""
    letters = int(inches / TITLE_LETTER)
    return "\n".join(fill(line, letters) for line in lines if line)


def colour_bar(drawn: Figure, mappable: ScalarMappable, label: str, inches: float) -> Colorbar:
    """A bar of colours beside all panels, which are `inches` high, at the top of them where they are many."""
    length = min(inches, LONGEST_BAR)
    bar = drawn.colorbar(
        mappable,
        ax=drawn.axes,
        label=label,
        shrink=length / inches,
        aspect=length / 0.09,
        anchor=(0.0, 1.0),
        pad=0.02,
    )
    bar.outline.set_visible(False)
    return bar


def title(axes: Axes, text: str, inches: float) -> None:
    """Set the title of a panel that is `inches` wide, broken into lines that fit."""
    fitting = max(int(inches / TITLE_LETTER), 12)
    axes.set_title("\n".join(fill(line, fitting) for line in text.split("\n")))


def value_norm(values: pd.Series, scale: str) -> Normalize:
    """The colour norm over defined `values` for a "linear" or "log" scale. Raises ValueError for another.

    A logarithm has no place for 0: values that are not positive have the colour of the lowest that is.
    """
    norm, _ = _scale(scale)
    if scale == "log":
        positive = values[values > 0]
        values = positive if len(positive) else pd.Series([1.0])
    return norm(values.min(), values.max(), clip=True)


def value_axis(axes: Axes, scale: str, which: str = "y") -> None:
    """Make an axis "linear" or "log", the latter with ticks at 1, 2, 5, 10 …. Raises ValueError for another."""
    _, locator = _scale(scale)
    axes.set(**{f"{which}scale": scale})
    axis = getattr(axes, f"{which}axis")
    if locator is not None:
        axis.set_major_locator(locator)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())


def _scale(scale: str) -> tuple[type[Normalize], Locator | None]:
    if scale not in SCALES:
        raise ValueError(f"scale = {scale!r} is not known; it must be linear or log.")
    return (LogNorm, _LogLocator(subs=(1, 2, 5))) if scale == "log" else (Normalize, None)


class _LogLocator(LogLocator):
    """Ticks at 1, 2, 5 … as long as three of them are in view, else at round numbers; of many, at powers of ten."""

    def tick_values(self, vmin: float, vmax: float) -> np.ndarray:
        ticks = np.asarray(super().tick_values(vmin, vmax))
        in_view = ((vmin <= ticks) & (ticks <= vmax)).sum()
        if in_view > MOST_TICKS:
            return 10.0 ** np.arange(np.floor(np.log10(vmin)), np.ceil(np.log10(vmax)) + 1)
        if in_view >= 3:
            return ticks
        return MaxNLocator(5).tick_values(vmin, vmax)


def label_outer(axes: Axes, text: str, first: bool) -> None:
    """Label the y axis of a row's first panel; take the tick labels off the others, which share its scale."""
    if first:
        axes.set_ylabel(text)
    else:
        axes.tick_params(labelleft=False)


def layer_ticks(axes: Axes, layers: Sequence[int], axis: str, inches: float, each: float) -> None:
    """Tick layers that stand at 0, 1, 2 … on `axis`, with labels at least `each` inches apart."""
    step = stride(len(layers), inches / each)
    shown = range(0, len(layers), step)
    getattr(axes, f"set_{axis}ticks")(list(shown), [str(layers[i]) for i in shown])
