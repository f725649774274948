"""Which tokens are low-dimensional? Local estimates by part, class, frequency, position and text of the tokens."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from idsweep.drawing import style
from idsweep.drawing.selection import at_last_checkpoint, of_layers, require_asked, require_one_row_each, rows_of
from idsweep.files.representations import VOCABULARY
from idsweep.neighbors.variants import DATA

log = logging.getLogger(__name__)

NEEDS = {"texts": False}
BLOCK = ["model", "checkpoint", "dataset", "representation"]
ROW_HEIGHT = 0.16
HEAD_HEIGHT = 0.45
ENDS = 12
MOST_BLOCKS = 6
LONGEST = 14
MOST_NAMED = 4
KINDS = {
    "part": "Part of a word",
    "token_class": "Class",
    "frequency": "Occurrences in the texts",
    "position": "Position in the sequence",
}
SHOWN = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"})


@style.styled
def draw(
    token_groups: pd.DataFrame,
    local: pd.DataFrame,
    *,
    estimator: str = "twonn",
    models: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
) -> Figure:
    """Local ID by what tokens are, of one model and dataset, and of its embedding matrices, at the last checkpoint: whether
    they begin a word, their class where there is one, how often they occur, where they stand, and their text, of which
    those with the 12 lowest and the 12 highest means among the frequent ones are shown. Dots are medians, lines go from
    the lower to the upper quartile, ticks are means; n is the number of tokens.

    token_groups: one row per group of tokens: `by` (part, frequency, position, token_class, token), `label`, `place` (its
    order), `n`, `mean`, `q25`, `median`, `q75`. local: the summary table, for the number of neighbours. The first run and dataset of the table are shown, or all that are asked
    for by `models` and `datasets`, below each other, up to 6; the rest is named below. `layers` are counted from the last
    one where they are negative (None: the last one). Embedding matrices are left out where datasets are asked for. Of
    several clouds of points the first one is drawn.

    Raises ValueError if what is asked for is not in the table, or a group is there twice.
    """
    rows = _rows(token_groups.assign(variant=DATA), estimator, models, datasets, layers)
    require_one_row_each(rows, "token_groups", [*BLOCK, "by", "label"])
    if rows["median"].isna().all():
        return style.statement("No groups of tokens to draw: the table has none with a defined estimate.")
    undefined = int(rows["median"].isna().sum())
    rows = rows[rows["median"].notna()]
    blocks = dict(list(rows.groupby(BLOCK, sort=False)))
    model = next(iter(blocks))[0]
    dataset = next((key[2] for key in blocks if key[2] != VOCABULARY), VOCABULARY)
    choices = {
        key: of_block
        for key, of_block in blocks.items()
        if (models is not None or key[0] == model) and (datasets is not None or key[2] in (dataset, VOCABULARY))
    }
    shown = dict(list(choices.items())[:MOST_BLOCKS])
    columns = [_columns(of_block) for of_block in shown.values()]
    heights = [max(map(_height, of_block)) for of_block in columns]
    alone = all(len(of_block) == 1 for of_block in columns)
    width = style.COLUMN_WIDTH + 0.6 if alone else style.TEXT_WIDTH
    drawn = style.figure(width, sum(heights) + 0.8)
    of_estimator = local[(local["estimator"] == estimator) & local["cloud"].isin(rows["cloud"])]
    grid = drawn.add_gridspec(len(shown), 1, height_ratios=heights)
    for place, (key, of_block) in enumerate(zip(shown, columns, strict=True)):
        beside = grid[place].subgridspec(1, len(of_block), wspace=0)
        model, checkpoint, dataset, representation = key
        parts = [representation.replace("_", "\N{NO-BREAK SPACE}")]
        head = ", ".join([f"{model} ({checkpoint})", *([dataset] if dataset != VOCABULARY else []), *parts])
        first = None
        for side, groups in enumerate(of_block):
            inches = width / len(of_block) - 1.0, heights[place]
            first = _column(drawn, beside[side], groups, first, head if side == 0 else "", *inches)
    left_out = [
        f"{model}, {representation}" if dataset == VOCABULARY else f"{model} on {dataset}"
        for model, _, dataset, representation in (key for key in blocks if key not in shown)
    ]
    style.below(
        drawn,
        style.local_label("Local intrinsic dimension", estimator, of_estimator),
        _not_shown(left_out),
    )
    if undefined:
        log.info("%d groups of tokens without a defined estimate are not drawn", undefined)
    drawn.legend(handles=_handles(), loc="outside upper center", ncols=3)
    return drawn


def _rows(
    token_groups: pd.DataFrame,
    estimator: str,
    models: Sequence[str] | None,
    datasets: Sequence[str] | None,
    layers: Sequence[int] | None,
) -> pd.DataFrame:
    """The rows of the layers on texts and, unless datasets are asked for, of the embedding matrices of each model."""
    require_asked(token_groups["estimator"], [estimator], "estimator", "the token_groups table")
    rows = token_groups[token_groups["estimator"] == estimator]
    of_matrix = rows["dataset"] == VOCABULARY
    texts, matrices = rows[~of_matrix & rows["layer"].notna()], rows[of_matrix & (rows["by"] != "position")]
    parts = {"layers": texts}
    if datasets is None:
        parts["matrices"] = matrices.assign(layer=pd.factorize(matrices["representation"])[0])
    candidates = pd.concat(parts.values())
    runs = set(candidates["model"])
    require_asked(
        candidates["group"], [name for name in models or [] if name not in runs], "model", "the token_groups table"
    )
    if datasets is not None:
        require_asked(texts["dataset"], datasets, "dataset", "the token_groups table")
    chosen = [candidates[:0]]
    for kind, part in parts.items():
        of_part = None if models is None else [name for name in models if name in {*part["model"], *part["group"]}]
        if part.empty or of_part == []:
            continue
        of_part = at_last_checkpoint(rows_of(part, "token_groups", estimator, models=of_part, datasets=datasets))
        chosen.append(of_layers(of_part, layers) if kind == "layers" else of_part)
    found = pd.concat(chosen)
    order = {name: place for place, name in enumerate(found["model"].unique() if models is None else models)}
    places = found["model"].map(order).fillna(found["group"].map(order))
    return found.iloc[places.to_numpy().argsort(kind="stable")]


def _columns(rows: pd.DataFrame) -> list[dict[str, pd.DataFrame]]:
    """The panels of each column, by their titles: kinds of tokens on the left, tokens themselves on the right."""
    kinds = {head: rows[rows["by"] == by].sort_values("place") for by, head in KINDS.items()}
    kinds = {head: groups for head, groups in kinds.items() if len(groups)}
    if "Part of a word" in kinds:
        parts = kinds["Part of a word"]
        kinds["Part of a word"] = parts.assign(label=parts["label"].str.replace("_", " "))
    texts = rows[rows["by"] == "token"].sort_values("mean", kind="stable")
    texts = texts.assign(label=[printable(text) for text in texts["label"]])
    if len(texts) > 2 * ENDS:
        ends = {
            f"Tokens with the {ENDS} lowest means": texts[:ENDS],
            f"Tokens with the {ENDS} highest means": texts[-ENDS:],
        }
    else:
        ends = {"Tokens": texts} if len(texts) else {}
    return [column for column in (kinds, ends) if column]


def _height(groups: dict[str, pd.DataFrame]) -> float:
    return sum(HEAD_HEIGHT + ROW_HEIGHT * len(of_panel) for of_panel in groups.values())


def _column(
    drawn: Figure,
    place: SubplotSpec,
    groups: dict[str, pd.DataFrame],
    first: Axes | None,
    head: str,
    width: float,
    height: float,
) -> Axes:
    """Draw panels below each other, on one axis of the dimension with `first`; returns the first panel of all."""
    empty = max(0.0, (height - _height(groups)) / ROW_HEIGHT)
    ratios = [*map(len, groups.values()), *([empty] if empty else [])]
    grid = place.subgridspec(len(ratios), 1, height_ratios=ratios)
    for row, (title, of_panel) in enumerate(groups.items()):
        axes = drawn.add_subplot(grid[row], sharex=first)
        first = first or axes
        _intervals(axes, of_panel)
        style.title(axes, f"{head}\n{title}" if row == 0 and head else title, width)
        if row < len(groups) - 1:
            axes.tick_params(labelbottom=False)
    return first


def _intervals(axes: Axes, groups: pd.DataFrame) -> None:
    """A row for each group, from top to bottom."""
    rows = range(len(groups))
    colour = style.categories(1)[0]
    axes.hlines(rows, groups["q25"], groups["q75"], color=colour, linewidth=1.4)
    axes.plot(groups["median"], rows, marker="o", markersize=3.5, linestyle="none", color=colour)
    axes.plot(groups["mean"], rows, marker="|", markersize=6, linestyle="none", color="black")
    axes.set_yticks(
        list(rows), [f"{label}  (n = {n:,})" for label, n in zip(groups["label"], groups["n"], strict=True)]
    )
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.4, color="0.9")
    axes.set_axisbelow(True)


def printable(text: str) -> str:
    """A token in print: white space by signs, letters that the font lacks by their numbers, at most 14 letters."""
    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    written = "".join(letter if ord(letter) in glyphs else f"\\u{ord(letter):04x}" for letter in text.translate(SHOWN))
    return written if len(written) <= LONGEST else written[: LONGEST - 1] + "…"


def _not_shown(names: list[str]) -> str:
    """In words what is left out; empty for none."""
    if not names:
        return ""
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"(not drawn, see the options models and datasets: {'; '.join(names[:MOST_NAMED])}{rest})"


def _handles() -> list[Line2D]:
    colour = style.categories(1)[0]
    return [
        Line2D([], [], color=colour, marker="o", markersize=3.5, linestyle="none", label="median of the n tokens"),
        Line2D([], [], color=colour, linewidth=1.4, label="their quartiles"),
        Line2D([], [], color="black", marker="|", markersize=6, linestyle="none", label="their mean"),
    ]
