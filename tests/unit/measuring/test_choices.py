"""What is chosen by itself, how it is told, and lines on the screen."""

from __future__ import annotations

import doctest
import importlib
import io
import pkgutil

import numpy as np
import pyarrow as pa
import pytest
from idsweep import measuring
from idsweep.measuring import checkpoints, defaults, rows
from idsweep.measuring.follow import Screen
from idsweep.measuring.source import Source
from idsweep.tables.collect import GLOBAL, LOCAL, Estimates

MODULES = [f"idsweep.measuring.{module.name}" for module in pkgutil.iter_modules(measuring.__path__)]


@pytest.mark.parametrize("name", [*MODULES, "idsweep.models.same_weights", "idsweep.models.matrices"])
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("depth", [1, 2, 6, 12, 13, 24, 30, 36, 80, 126])
def test_layers_are_few_and_reach_from_the_first_to_the_last(depth: int) -> None:
    chosen = defaults.layers_of(depth)
    layers = list(range(depth + 1)) if chosen == "all" else chosen
    assert (layers[0], layers[-1]) == (0, depth)
    assert len(layers) == len(set(layers)) == min(depth + 1, 13)
    assert np.ptp(np.diff(layers)) <= 1


@pytest.mark.parametrize("number", [1, 2, 8, 9, 154])
@pytest.mark.parametrize("most", [8, 20])
def test_checkpoints_are_spread(number: int, most: int) -> None:
    steps = [0, *np.unique(np.geomspace(1, 143_000, number - 1).round()).astype(int).tolist()] if number > 1 else [5]
    offered = {f"step{step}": step for step in steps}
    chosen = checkpoints.spread(offered, most)
    assert len(chosen) <= most
    assert {chosen[0], chosen[-1]} == {f"step{steps[0]}", f"step{steps[-1]}"}
    assert [offered[name] for name in chosen] == sorted(offered[name] for name in chosen)


@pytest.mark.parametrize("tokens", [250.0, 500.0, 999.0, 1_234.0, 5_432.0, 6_250.0, 1e7])
def test_points_are_no_more_than_the_texts_hold(tokens: float) -> None:
    assert defaults.FEWEST <= defaults.points_of(tokens) <= min(tokens, defaults.TOKENS)


def test_too_short_texts_are_told() -> None:
    with pytest.raises(ValueError, match=r"About 100 tokens of the texts .* A dimension needs 200 points"):
        defaults.points_of(100.0)


def test_figures_fit_the_source() -> None:
    def names(**keys: object) -> set[str]:
        return set(defaults.figures_of(Source("m", "m", "causal", (), **keys), "all"))

    assert "dynamics" in names(steps=(1, 2)) and "dynamics" not in names(steps=(1,))
    assert "shifts" in names(base="b") and "shifts" not in names()
    assert names(number=300) == {"violins", "scales", "nulls"}


def test_lines_stand_in_the_order_of_training_and_of_layers() -> None:
    def row(checkpoint: str, layer: int, variant: str = "data", **keys: object) -> dict[str, object]:
        place = {"model": "m", "checkpoint": checkpoint, "dataset": "d", "representation": f"layer_{layer}"}
        return place | {"estimator": "twonn", "variant": variant, "n_points": 1234} | keys

    local = [
        row(checkpoint, layer, mean=layer + 0.5, standard_error=0.1, scale_stable=True)
        for checkpoint in ("step100", "step20")
        for layer in (10, 2)
    ]
    local.append(row("step20", 2, "gaussian", mean=9.0))
    local.append(row("step20", 10, mean=123.456, standard_error=float("nan"), scale_stable=None))
    estimates = Estimates(
        pa.Table.from_pylist(local, schema=LOCAL),
        pa.Table.from_pylist([row("step20", 2, value=7.25) | {"estimator": "gride"}], schema=GLOBAL),
    )
    found = rows.lines_of(estimates, {"step20": 20, "step100": 100})
    assert [(place[1], place[3]) for place in found] == [
        ("step20", "layer_2"),
        ("step20", "layer_10"),
        ("step100", "layer_2"),
        ("step100", "layer_10"),
    ]
    first = found["m", "step20", "d", "layer_2"]
    assert first == {
        "points": "1,234",
        "mean": "2.50",
        "interval": "± 0.20",
        "stable": "yes",
        "null": "9.00",
        "gride": "7.25",
    }
    unknown = found["m", "step20", "d", "layer_10"]
    assert (unknown["mean"], unknown["interval"], unknown["stable"]) == ("123.5", "", "")
    table = rows.Table(found, whole=True)
    assert table.head.split() == [
        "checkpoint",
        "layer",
        "points",
        "TwoNN",
        "95",
        "%",
        "null",
        "stable",
        "lPCA",
        "GRIDE",
        "PR",
    ]
    widths = {len(table.line(place, columns).rstrip()) <= len(table.head) for place, columns in found.items()}
    assert widths == {True}


def test_a_status_is_rewritten_on_a_terminal_and_rare_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for output, expected in ((Terminal(), "\r\x1b[K"), (io.StringIO(), "")):
        screen = Screen(output)
        for i in range(3):
            screen.status(f"{i} of 3 jobs")
        screen.say("a line")
        screen.end()
        said = output.getvalue()
        assert "a line\n" in said
        assert (expected in said) if expected else ("jobs" not in said)
        assert said.endswith("a line\n") or said.endswith("\x1b[K")


def test_what_a_terminal_would_obey_is_written_out() -> None:
    output = io.StringIO()
    Screen(output).say("a \x1b[31mname")
    assert output.getvalue() == "a \\x1b[31mname\n"
