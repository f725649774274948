"""Events of growing curves: rarely in noise, soon after changes, and in the end those of the whole curve."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks import growing_curves as benchmark
from builders.markers import markers
from builders.project import PROJECT
from idsweep.statistics import sequential
from idsweep.statistics.change_points import Curve, dimension_events
from idsweep.statistics.sequential import CurveWatch, Decision
from scipy import stats

MARKERS = markers("growing")


def follow(
    values: np.ndarray, *, error: float | None = None, spacing: float = 1.0
) -> tuple[CurveWatch, list[Decision]]:
    watch = CurveWatch()
    return watch, watch.extend((spacing * number, value, error) for number, value in enumerate(values))


@pytest.mark.parametrize(("curves", "points"), [(400, 10), (400, 60), (200, 500)])
@pytest.mark.parametrize("noise", ["Gaussian", "autocorrelated 0.3"])
def test_noise_alone_is_an_event_in_at_most_five_percent_of_runs(noise: str, curves: int, points: int) -> None:
    wrong = int(np.isfinite(benchmark.first_decisions(noise, curves, points)).sum())
    assert wrong <= stats.binom.ppf(0.999, curves, 0.05)


def test_known_standard_errors_silence_smaller_changes() -> None:
    curve = np.where(np.arange(40) < 20, 14.0, 12.0) + 0.02 * np.random.default_rng(0).standard_normal(40)
    assert follow(curve)[1]
    assert follow(curve, error=0.05)[1]
    assert not follow(curve, error=1.0)[1]


@pytest.mark.parametrize("name", benchmark.shapes())
@pytest.mark.parametrize("points", [40, 80])
def test_what_stands_at_the_end_are_the_events_of_the_whole_curve(name: str, points: int) -> None:
    counts = benchmark.agreement(benchmark.shapes()[name], 6, points)
    assert counts["whole"] >= 5  # some curves are too noisy for some events
    assert counts["identical"] >= 5


def test_peak_onset_and_plateau_are_decided_in_their_order_and_soon() -> None:
    time = np.arange(60.0)
    curve = 5 + 10 * np.exp(-((time - 25) ** 2) / 2 / 5**2) + 0.05 * np.random.default_rng(0).standard_normal(60)
    watch, decisions = follow(curve, spacing=100)
    first = {decision.name: decision for decision in reversed(decisions)}
    assert set(watch.events) == {"peak", "onset_of_fall", "plateau"}
    assert first["peak"].step == pytest.approx(2500, abs=100) and 2600 <= first["peak"].decided <= 3200
    assert first["onset_of_fall"].decided <= 3200
    assert watch.events["peak"].value == pytest.approx(15, abs=0.3)
    assert not any(decision.withdrawn for decision in decisions if decision.name == "peak")


def test_a_higher_peak_replaces_a_peak_under_the_same_name() -> None:
    time = np.arange(100.0)
    curve = 5 + 6 * np.exp(-((time - 20) ** 2) / 2 / 4**2) + 10 * np.exp(-((time - 65) ** 2) / 2 / 5**2)
    watch, decisions = follow(curve + 0.05 * np.random.default_rng(0).standard_normal(100))
    peaks = [decision for decision in decisions if decision.name == "peak"]
    assert [peak.step for peak in peaks] == pytest.approx([20, 65], abs=2)
    assert watch.events["peak"] == peaks[-1]
    plateaus = [decision for decision in decisions if decision.name == "plateau"]
    # the level stretch between the two is one until the second rise begins
    assert any(decision.withdrawn and 45 < decision.decided < 65 for decision in plateaus)
    assert not plateaus[-1].withdrawn and plateaus[-1].step > 65


def test_the_first_checkpoint_is_no_peak_and_a_dip_takes_the_onset_back() -> None:
    values = np.concatenate([np.linspace(20, 8, 12), np.linspace(8, 15, 20), np.full(10, 15.0)])
    watch, decisions = follow(values + 0.05 * np.random.default_rng(0).standard_normal(len(values)))
    assert "peak" not in {decision.name for decision in decisions}
    assert set(watch.events) == {"upturn", "plateau"}
    assert watch.events["upturn"].step == pytest.approx(11.5, abs=1)

    values = np.concatenate([np.full(12, 20.0), np.linspace(20, 8, 8), np.linspace(8, 15, 20)])
    watch, decisions = follow(values + 0.05 * np.random.default_rng(0).standard_normal(len(values)))
    onsets = [decision.withdrawn for decision in decisions if decision.name == "onset_of_fall"]
    assert onsets[0] is False and onsets[-1] is True and "onset_of_fall" not in watch.events


def test_the_same_points_again_are_the_same_state() -> None:
    curve = benchmark.shapes()["grokking: high at first, dip, peak, level"](np.linspace(0, 1, 60))
    values = curve + 0.2 * np.random.default_rng(0).standard_normal(60)
    whole, decisions = follow(values, error=0.1)
    resumed, before = follow(values[:33], error=0.1)
    after = resumed.extend((float(number), values[number], 0.1) for number in range(33, 60))
    assert before and after and before + after == decisions
    assert resumed.events == whole.events


def test_values_that_are_not_finite_are_left_out_and_few_points_say_nothing() -> None:
    values = np.array([9.0, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]) + 1e-3 * np.random.default_rng(0).standard_normal(13)
    watch, decisions = follow(values)
    assert decisions and all(decision.decided >= 5 for decision in decisions)
    with_gaps = CurveWatch()
    for number, value in enumerate(values):
        with_gaps.add(2 * number, value)
        assert with_gaps.add(2 * number + 1, np.nan) == []
    assert {name: event.step / 2 for name, event in with_gaps.events.items()} == {
        name: event.step for name, event in watch.events.items()
    }
    assert set(watch.events) == set(dimension_events(Curve(np.arange(13.0), values, 0.0), 2, np.random.default_rng(0)))


def test_the_example_of_the_docstring_is_true() -> None:
    assert doctest.testmod(sequential) == (0, 5)


def test_equal_values_are_no_event() -> None:
    assert follow(np.full(50, 7.0))[1] == []


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (10, 0.1, "step 10 is given after step 10; "),
        (5, None, "step 5 is given after step 10; "),
        (np.nan, None, "step nan is no number of training steps; "),
        (11, -1.0, "the standard error at step 11 is -1; "),
    ],
)
def test_wrong_points_are_refused_and_change_nothing(step: float, error: float | None, message: str) -> None:
    watch = CurveWatch()
    watch.add(10, 5.0, 0.1)
    with pytest.raises(ValueError, match=message):
        watch.add(step, 5.0, error)
    assert watch.add(11, 5.0) == []


def test_the_benchmark_writes_the_tables_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in {"LENGTHS": (10,), "SHAPE_POINTS": (20,), "LEVEL_POINTS": (10,), "POINTS_AFTER": 6}.items():
        monkeypatch.setattr(benchmark, name, few)
    page = tmp_path / "events.md"
    page.write_text("before\n{}\nreplaced\n{}\nafter\n".format(*MARKERS), encoding="utf-8")
    assert benchmark.main(["--curves", "1", "--write", str(page)]) == 0
    written = page.read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() in written
    assert written.startswith("before\n") and written.endswith("\nafter\n") and "replaced" not in written

    def labels(text: str) -> list[str]:
        tables = text.partition(MARKERS[0])[2].partition(MARKERS[1])[0]
        return [re.split(r" \| (?=[\d–])", line)[0] for line in tables.splitlines() if line.startswith("| ")]

    published = (PROJECT / "docs/events.md").read_text(encoding="utf-8")
    assert labels(published) == labels(written) and len(labels(written)) > 20
