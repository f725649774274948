"""The callback in transformers' Trainer: what it logs, that it changes nothing, and that it goes on where a training does."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from builders.live_trainings import decoder, texts, trainer
from idsweep.files.parquet import read_table
from idsweep.live import LocalDimensionCallback
from idsweep.live import watched as watched_module
from idsweep.statistics.sequential import Decision
from idsweep.tables.brought import read_metric
from transformers import EarlyStoppingCallback, TrainerCallback

MEAN = "eval_local_dimension/layer_02/mean"
SMALL = {"layers": [1, -1], "n_neighbors": 16, "points": 300, "max_length": 32}


def callback(**keys: Any) -> LocalDimensionCallback:
    return LocalDimensionCallback(texts(), **(SMALL | keys))


def curve(history: list[dict[str, Any]], key: str = MEAN) -> dict[int, float]:
    return {row["step"]: row[key] for row in history if key in row}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A training that nothing watches."""
    done = trainer(tmp_path_factory.mktemp("plain"), [])
    done.train()
    return done


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same training, measured at each evaluation."""
    done = trainer(tmp_path_factory.mktemp("watched"), [callback()])
    done.train()
    return done


def is_same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def without_ours(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [row for row in history if not any(key.startswith("eval_local_dimension") for key in row)]
    return [
        {key: value for key, value in row.items() if "runtime" not in key and "per_second" not in key} for row in rows
    ]


def test_weights_and_losses_are_those_of_a_training_that_nothing_watches(plain: Any, watched: Any) -> None:
    assert is_same(plain.model, watched.model)
    assert without_ours(watched.state.log_history) == without_ours(plain.state.log_history)


@pytest.mark.parametrize("keys", [{"gradient_checkpointing": True}, {"gradient_accumulation_steps": 2}, {"bf16": True}])
def test_nor_does_it_change_a_training_of_another_kind(keys: dict[str, Any], tmp_path: Path) -> None:
    alone = trainer(tmp_path / "a", [], **keys)
    alone.train()
    beside = trainer(tmp_path / "b", [callback(every=3)], **keys)
    beside.train()
    assert is_same(alone.model, beside.model)
    assert set(curve(beside.state.log_history)) == {0, 3, 6}


def test_what_is_logged_stands_in_the_table_and_is_read_as_a_metric(watched: Any) -> None:
    history, folder = watched.state.log_history, Path(watched.args.output_dir) / "local_dimension"
    assert set(curve(history)) == {0, 4, 8}
    table = read_metric(folder / "metrics/local_dimension_layer_02.csv")
    assert dict(zip(table["step"].to_pylist(), table["value"].to_pylist(), strict=True)) == curve(history)
    row = next(row for row in history if MEAN in row and row["step"] == 4)
    assert row["eval_local_dimension_runtime"] > 0
    assert row["eval_local_dimension/layer_01/standard_error"] > 0
    assert row["eval_local_dimension/layer_01/n_undefined"] == 0


def test_the_number_is_of_float32_without_autocast(watched: Any, tmp_path: Path) -> None:
    """As the workflow measures the saved checkpoint, whatever precision the training has."""
    half = trainer(tmp_path, [callback()], bf16=True)
    half.train()
    assert curve(half.state.log_history)[0] == curve(watched.state.log_history)[0]


def test_in_the_background_the_values_are_logged_at_their_own_steps(plain: Any, watched: Any, tmp_path: Path) -> None:
    beside = trainer(tmp_path, [callback(every=4, background=True)])
    beside.train()
    assert curve(beside.state.log_history) == curve(watched.state.log_history)
    assert curve(beside.state.log_history, "epoch")[0] == 0 and is_same(plain.model, beside.model)
    assert without_ours(beside.state.log_history) == without_ours(plain.state.log_history)


def test_the_best_checkpoint_and_early_stopping_go_by_it(tmp_path: Path) -> None:
    class Rising(TrainerCallback):
        """Spoils the model, so that no later checkpoint has a lower dimension."""

        def on_step_end(self, args: Any, state: Any, control: Any, model: torch.nn.Module, **given: Any) -> None:
            with torch.no_grad():
                for weight in model.parameters():
                    weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)), alpha=0.3)

    keys = {"metric_for_best_model": MEAN, "greater_is_better": False, "load_best_model_at_end": True}
    one = trainer(
        tmp_path, [Rising(), callback(), EarlyStoppingCallback(1)], max_steps=20, eval_steps=2, save_steps=2, **keys
    )
    one.train()
    values = {step: value for step, value in curve(one.state.log_history).items() if step}
    assert one.state.best_metric == min(values.values())
    best = min(values, key=values.get)
    assert one.state.best_model_checkpoint.endswith(f"checkpoint-{best}")
    assert one.state.global_step == best + 2 < 20


class Killed(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == 7:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(folder: Path, callbacks: list[TrainerCallback]) -> None:
    """A training in a process of its own, which is killed in its seventh step."""
    process = multiprocessing.get_context("fork").Process(target=trainer(folder, [*callbacks, Killed()]).train)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_training_goes_on_with_its_curve(tmp_path: Path) -> None:
    """What was measured behind the checkpoint that it goes on from is measured again, as it then comes out."""
    killed(tmp_path / "a", [])
    alone = trainer(tmp_path / "a", [])
    alone.train(resume_from_checkpoint=True)

    killed(tmp_path / "b", [callback(every=2)])
    before, again = read_table(tmp_path / "b/local_dimension/local_dimension.parquet"), callback(every=2)
    assert pc.unique(before["step"]).to_pylist() == [0, 2, 4, 6]
    beside = trainer(tmp_path / "b", [again])
    beside.train(resume_from_checkpoint=True)

    assert is_same(alone.model, beside.model)
    after = again.live.table
    assert pc.unique(after["step"]).to_pylist() == [0, 2, 4, 6, 8]
    kept = pc.less_equal(after["step"], 4)
    assert after.filter(kept).equals(before.filter(pc.less_equal(before["step"], 4)))
    of_layer = after.filter(pc.equal(after["representation"], "layer_02"))
    logged = curve(beside.state.log_history)
    assert dict(zip(of_layer["step"].to_pylist(), of_layer["value"].to_pylist(), strict=True)) == logged
    points = again.live.measurements.points(6)
    mean = points.filter(pc.and_(pc.equal(points["scope"], "mean"), pc.equal(points["representation"], "layer_02")))
    assert mean["value"].to_pylist() == [logged[6]]


def test_a_new_training_in_the_same_folder_begins_a_new_curve(tmp_path: Path) -> None:
    trainer(tmp_path, [callback()]).train()
    again = callback()
    trainer(tmp_path, [again], model=decoder(1), max_steps=4).train()
    assert pc.unique(again.live.table["step"]).to_pylist() == [0, 4]


@pytest.fixture
def upturn_at_4(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Curves of which step 4 is said to be an upturn: real ones need dozens of steps."""

    class Told:
        def add(self, step: float, value: float, standard_error: float) -> list[Decision]:
            return [Decision("upturn", 2.0, value, step, False)] if step == 4 else []

    monkeypatch.setattr(watched_module, "CurveWatch", Told)
    yield


def test_it_ends_a_training_at_an_event(upturn_at_4: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idsweep")
    stopped = trainer(tmp_path, [callback(stop_on="upturn", every=2)])
    stopped.train()
    assert stopped.state.global_step == 4
    assert curve(stopped.state.log_history, "eval_local_dimension/layer_02/upturn") == {4: 2.0}
    assert "layer_02 has its upturn at step 2" in caplog.text
    goes_on = trainer(tmp_path / "b", [callback(stop_on="plateau", every=2)])
    goes_on.train()
    assert goes_on.state.global_step == 8


def test_tensorboard_shows_each_value_at_its_step(
    watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    trainer(tmp_path, [callback(every=4, background=True)], report_to=["tensorboard"]).train()
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    shown = {event.step: event.value for event in events.Scalars("eval/local_dimension/layer_02/mean")}
    assert shown == {step: np.float32(value) for step, value in curve(watched.state.log_history).items()}
    assert [event.step for event in events.Scalars("train/loss")] == [2, 4, 6, 8]


def test_a_failed_measurement_does_not_end_the_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Spoiled(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: torch.nn.Module, **given: Any) -> None:
            if state.global_step == 3:
                with torch.no_grad():
                    model.gpt_neox.layers[1].mlp.dense_h_to_4h.bias[0] = float("nan")

    goes_on = trainer(tmp_path, [callback(every=2), Spoiled()])
    goes_on.train()
    assert goes_on.state.global_step == 8 and set(curve(goes_on.state.log_history)) == {0, 2}
    assert "step 4: the local dimension could not be measured" in caplog.text and "NaN" in caplog.text


def test_an_evaluation_without_the_metric_is_no_best_one(tmp_path: Path) -> None:
    class Spoiled(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, model: torch.nn.Module, **given: Any) -> None:
            if state.global_step == 6:
                with torch.no_grad():
                    model.gpt_neox.layers[1].mlp.dense_h_to_4h.bias[0] = float("nan")

    goes_on = trainer(tmp_path, [callback(), Spoiled()], metric_for_best_model=MEAN)
    goes_on.train()
    assert goes_on.state.global_step == 8 and goes_on.state.best_model_checkpoint.endswith("checkpoint-4")


def test_several_sets_of_texts_have_names_of_their_own(watched: Any, tmp_path: Path) -> None:
    both = [callback(), LocalDimensionCallback(texts()[20:], name="other", **(SMALL | {"points": 200}))]
    done = trainer(tmp_path, both)
    done.train()
    assert curve(done.state.log_history) == curve(watched.state.log_history)
    assert {*curve(done.state.log_history, "eval_other/layer_02/mean")} == {0, 4, 8}
    assert done.evaluate().keys().isdisjoint({MEAN})


@pytest.mark.parametrize(
    ("keys", "trained", "message"),
    [
        ({}, {"eval_strategy": "no"}, "eval_strategy is 'no'"),
        ({"budget": 0.1}, {"metric_for_best_model": MEAN}, "Leave budget out"),
        ({"background": True}, {"metric_for_best_model": MEAN}, "Leave background out"),
        ({"every": 3}, {"metric_for_best_model": MEAN}, "set every='eval'"),
        ({"layers": [5]}, {}, "the model has layers 0…2"),
        ({"n_neighbors": 400}, {}, "300 points are too few for 400 neighbours"),
        ({"tokens": "nowhere/tokens/a.parquet"}, {}, "there is no file nowhere/tokens/a.parquet"),
    ],
)
def test_what_cannot_be_measured_is_told_before_the_first_step(
    keys: dict[str, Any], trained: dict[str, Any], message: str, tmp_path: Path
) -> None:
    refused = trainer(tmp_path, [callback(**keys)], **trained)
    with pytest.raises(ValueError, match=message):
        refused.train()
    assert refused.state.global_step == 0


@pytest.mark.parametrize(
    ("keys", "message"), [({"every": 0}, "every: 0"), ({"every": "epoch"}, "every"), ({"stop_on": "fall"}, "stop_on")]
)
def test_what_is_wrong_by_itself_is_told_at_once(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        callback(**keys)


def test_adapters_are_measured_in_place(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    def adapted() -> torch.nn.Module:
        return get_peft_model(decoder(), LoraConfig(r=4, target_modules=["query_key_value"], lora_dropout=0.1))

    alone = trainer(tmp_path / "a", [], model=adapted())
    alone.train()
    beside = trainer(tmp_path / "b", [callback()], model=adapted())
    beside.train()
    assert is_same(alone.model, beside.model)
    assert len({*curve(beside.state.log_history).values()}) == 3
