"""A sweep's curves for trackers: names, steps and values as in its tables, read back from what the tracker wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from idsweep.cli import main
from idsweep.files.parquet import write_table
from idsweep.tables.collect import GLOBAL, LOCAL, TRAINING
from idsweep.tables.export import export, read_runs
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEPS = (0, 100, 2500)


def estimate_rows(**changed: Any) -> list[dict[str, Any]]:
    row = {
        "set": "main",
        "estimator": "twonn",
        "model": "m",
        "group": "m",
        "seed": 3,
        "dataset": "news",
        "split": "test",
    }
    row |= {"representation": "layer_6", "layer": 6, "cloud": "points", "variant": "data"} | changed
    return [row | {"step": step, "checkpoint": f"step{step}", "mean": 20 - step / 1000} for step in STEPS]


def write_tables(results: Path, local: list[dict[str, Any]], training: list[dict[str, Any]] | None = None) -> Path:
    values = [{**row, "value": row["mean"] + 1, "standard_error": 0.25} for row in local]
    rows = {"local": [{"standard_error": 0.5, **row} for row in local], "global": values, "training": training}
    for name, schema in (("local", LOCAL), ("global", GLOBAL), ("training", TRAINING)):
        if rows[name] is not None:
            plain = [{field: row.get(field) for field in schema.names} for row in rows[name]]
            write_table(results / f"tables/{name}.parquet", pa.Table.from_pylist(plain, schema), {})
    return results


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_each_model_with_all_curves_at_their_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = estimate_rows(model="größe: 2", representation="input_embeddings", layer=None)
    halves = estimate_rows(variant="data/2")
    final = [row | {"model": "final", "step": None} for row in estimate_rows()]
    losses = [
        {"model": "m", "group": "m", "seed": 3, "metric": "train_loss", "value": 1 / (1 + n), "step": n} for n in STEPS
    ]
    results = write_tables(tmp_path / "sweep", [*estimate_rows(), *other, *halves, *final], losses)
    assert main(["export", str(results), "--to", "tensorboard"]) == 0
    said = capsys.readouterr().out
    assert "m: 5 curves, 15 values.\n" in said and f"tensorboard --logdir {results}/trackers/tensorboard" in said
    folder = results / "trackers/tensorboard"
    assert sorted(path.name for path in folder.iterdir()) == ["größe%3A 2", "m"]
    written = scalars(folder / "m")
    assert list(written) == [
        "local_dimension/news/layer_06/mean",
        "local_dimension/news/layer_06/standard_error",
        "global_dimension/news/layer_06/value",
        "global_dimension/news/layer_06/standard_error",
        "train_loss",
    ]
    assert written["local_dimension/news/layer_06/mean"] == pytest.approx({0: 20, 100: 19.9, 2500: 17.5})
    assert written["global_dimension/news/layer_06/value"] == pytest.approx({0: 21, 100: 20.9, 2500: 18.5})
    assert written["local_dimension/news/layer_06/standard_error"] == dict.fromkeys(STEPS, 0.5)
    assert written["train_loss"] == pytest.approx({0: 1, 100: 1 / 101, 2500: 1 / 2501})
    assert "local_dimension/news/input_embeddings/mean" in scalars(folder / "größe%3A 2")

    assert main(["export", str(results), "--to", "tensorboard"]) == 1
    assert "already there. Delete it, or give another --folder." in capsys.readouterr().err
    assert main(["export", str(results), "--to", "tensorboard", "--folder", str(tmp_path / "elsewhere")]) == 0
    assert scalars(tmp_path / "elsewhere/m") == written


def test_parts_are_in_names_where_there_are_several(tmp_path: Path) -> None:
    rows = [*estimate_rows(), *estimate_rows(estimator="mle", split="train"), *estimate_rows(dataset="films")]
    (run,) = read_runs(write_tables(tmp_path, rows))
    assert [name for name in run.curves if name.startswith("local") and name.endswith("mean")] == [
        "local_dimension/news/test/twonn/layer_06/mean",
        "local_dimension/news/train/mle/layer_06/mean",
        "local_dimension/films/twonn/layer_06/mean",
    ]
    assert (run.model, run.group, run.seed) == ("m", "m", 3)


def test_undefined_values_are_left_out_and_steps_come_in_their_order(tmp_path: Path) -> None:
    rows = estimate_rows()[::-1]
    rows[0] |= {"mean": np.nan}
    for row in rows:
        row["standard_error"] = np.nan
    (run,) = read_runs(write_tables(tmp_path, rows))
    assert run.curves["local_dimension/news/layer_06/mean"] == {0: 20, 100: 19.9}
    assert "local_dimension/news/layer_06/standard_error" not in run.curves
    assert [step for step, _ in run.by_step()] == [0, 100, 2500]


def test_a_sweep_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(tmp_path / "results/mine", estimate_rows())
    monkeypatch.chdir(tmp_path)
    assert "m: 4 curves" in export("mine", "tensorboard")
    assert (tmp_path / "results/mine/trackers/tensorboard/m").is_dir()
    with pytest.raises(FileNotFoundError, match=r"no folder yours, nor results/yours.*below results there are mine"):
        export("yours", "tensorboard")


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    with pytest.raises(FileNotFoundError, match="has no folder tables: the sweep is not finished"):
        export(tmp_path, "tensorboard")
    results = write_tables(tmp_path, estimate_rows())
    with pytest.raises(
        ValueError,
        match="'mlflow' is no tracker that is known here; expected one of tensorboard, trackio, wandb, or embedding-atlas",
    ):
        export(results, "mlflow")
    (results / "tables/global.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"global\.parquet is not there.*-- .*/tables/global\.parquet"):
        export(results, "tensorboard")
    write_tables(tmp_path, [row | {"step": None} for row in estimate_rows()])
    with pytest.raises(ValueError, match="has a training step"):
        export(results, "tensorboard")
    write_tables(tmp_path, [*estimate_rows(), *estimate_rows()])
    with pytest.raises(ValueError, match=r"layer_06/mean of model 'm' has several values at step 0"):
        export(results, "tensorboard")
    write_tables(tmp_path, estimate_rows())
    for package in ("tensorboard", "trackio", "wandb"):
        for module in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
        assert main(["export", str(results), "--to", package]) == 1
        assert f"{package} is not installed. Install it with: pip install {package}" in capsys.readouterr().err
