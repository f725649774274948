"""How figures are written: signs that no font has are told."""

from __future__ import annotations

import logging
import warnings

import pytest
from idsweep.drawing import style
from matplotlib.colors import to_rgb

NO_SIGN = "\u0378"  # not assigned, so that no font has it


@style.styled
def drawn(text: str):
    figure = style.figure(2, 1)
    figure.text(0.5, 0.5, text)
    return figure


@pytest.mark.parametrize(("text", "told"), [("μοντέλο Модель é", False), (f"a {NO_SIGN}", True)])
def test_boxes_in_place_of_signs_are_told_once(tmp_path, caplog, text, told) -> None:
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(drawn(text), [tmp_path / f"heatmap.{ending}" for ending in ("pdf", "png", "svg")])
    assert len(caplog.messages) == told
    assert not told or f"The figure heatmap shows boxes in place of {NO_SIGN}: " in caplog.text


def test_other_warnings_pass(tmp_path, monkeypatch) -> None:
    figure = drawn("a")

    def warn(path, **_):
        path.touch()
        warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(figure, "savefig", warn)
    with pytest.warns(UserWarning, match="something else"):
        style.save(figure, [tmp_path / "a.png"])


def contrast(colour: object) -> float:
    """With white, by WCAG 2.2."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def test_lines_stand_out_from_white_paper() -> None:
    assert all(contrast(colour) >= 3 for colour in style.categories(10))
    assert all(contrast(colour[:3]) >= 3 for colour in style.dark_sequence()(range(256)))
    assert len(set(style.categories(10))) == 10
    assert style.estimator_name("lpca") == "local PCA"
