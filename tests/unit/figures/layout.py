"""What every figure must keep to, whatever it shows."""

from __future__ import annotations

from itertools import combinations

import pandas as pd
from idsweep.figures import dynamics
from idsweep.files.columns import PASS
from idsweep.tables.brought import REFERENCE
from idsweep.tables.events import EVENTS
from idsweep.tables.token_tables import LOSSES
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.text import Text

LEAST_POINTS = 7
NO_EVENTS = EVENTS.empty_table().to_pandas()
NO_REFERENCE = REFERENCE.empty_table().to_pandas()
NO_LOSSES = pd.DataFrame(columns=[*(field.name for field in PASS), *LOSSES.names])


def draw_dynamics(
    local: pd.DataFrame,
    training: pd.DataFrame,
    events: pd.DataFrame = NO_EVENTS,
    reference: pd.DataFrame = NO_REFERENCE,
    losses: pd.DataFrame = NO_LOSSES,
    **options: object,
) -> Figure:
    """The figure of a sweep in which nothing happens, nothing was published and nothing is predicted, unless told."""
    return dynamics.draw(local, training, events, reference, losses, **options)


def layout_faults(drawn: Figure) -> list[str]:
    """Texts that lie on each other or partly outside the paper, or are smaller than 7 pt, as laid out for print."""
    drawn.draw_without_rendering()
    texts = [text for text in _texts(drawn) if text.get_visible() and text.get_text()]
    boxes = [text.get_window_extent(drawn.canvas.get_renderer()).padded(-0.5) for text in texts]
    shown = [(text, box) for text, box in zip(texts, boxes, strict=True) if box.width > 0 and box.height > 0]
    faults = [f"small: {text.get_text()!r}" for text in texts if text.get_fontsize() < LEAST_POINTS]
    paper = drawn.bbox
    faults += [
        f"outside: {text.get_text()!r}"
        for text, box in shown
        if box.x0 < 0 or box.y0 < 0 or box.x1 > paper.x1 or box.y1 > paper.y1
    ]
    return faults + [
        f"overlap: {one.get_text()!r} and {other.get_text()!r}"
        for (one, box), (other, beside) in combinations(shown, 2)
        if box.x0 < beside.x1 and beside.x0 < box.x1 and box.y0 < beside.y1 and beside.y0 < box.y1
    ]


def panels(drawn: Figure, title: str) -> list[Axes]:
    """The panels of a title, wherever its lines were broken."""
    return [axes for axes in drawn.axes if " ".join(axes.get_title("left").split()) == " ".join(title.split())]


def _texts(drawn: Figure) -> list[Text]:
    ticks = [tick for axis in drawn.findobj(Axis) for tick in _ticks(axis)]
    of_ticks = {id(label) for tick, _ in ticks for label in (tick.label1, tick.label2)}
    others = [text for text in drawn.findobj(Text) if id(text) not in of_ticks]
    return others + [label for tick, in_view in ticks if in_view for label in (tick.label1, tick.label2)]


def _ticks(axis: Axis) -> list[tuple[Tick, bool]]:
    """Each tick of an axis and whether it is within the limits, beyond which none is drawn."""
    low, high = sorted(axis.get_view_interval())
    margin = 1e-9 * (high - low)
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [(tick, low - margin <= tick.get_loc() <= high + margin) for tick in ticks]
