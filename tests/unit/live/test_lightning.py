"""The callback in Lightning's Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import pytest
import torch
from builders.live_trainings import decoder, rows, texts, tokenizer
from idsweep.live import LightningLocalDimensionCallback, LiveDimension
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

SMALL = {"layers": [1, -1], "n_neighbors": 16, "points": 300, "max_length": 32}
MEAN = "local_dimension/layer_02/mean"


class Module(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = decoder()

    def training_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:
        return self.model(batch, labels=batch).loss

    def validation_step(self, batch: torch.Tensor, number: int) -> None:
        self.log("validation_loss", self.model(batch, labels=batch).loss)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 5e-3)


def fit(folder: Path, callbacks: list[Any], resume: str | None = None, **keys: Any) -> tuple[lightning.Trainer, Module]:
    lightning.seed_everything(1, verbose=False)
    module = Module()
    ids = torch.tensor([row["input_ids"] for row in rows()])
    batches = torch.utils.data.DataLoader(ids, batch_size=4, shuffle=True)
    trainer = lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=CSVLogger(folder),
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"max_steps": 8, "val_check_interval": 4, "check_val_every_n_epoch": None, "log_every_n_steps": 1} | keys),
    )
    trainer.fit(module, batches, torch.utils.data.DataLoader(ids[:4], batch_size=4), ckpt_path=resume)
    return trainer, module


def logged(trainer: lightning.Trainer, key: str = MEAN) -> dict[int, float]:
    table = pd.read_csv(Path(trainer.logger.log_dir) / "metrics.csv").dropna(subset=[key])
    return dict(zip(table["step"], table[key], strict=True))


def test_it_logs_and_changes_nothing(tmp_path: Path) -> None:
    _, alone = fit(tmp_path / "a", [])
    callback = LightningLocalDimensionCallback(texts(), tokenizer(), part="model", every=4, **SMALL)
    trainer, beside = fit(tmp_path / "b", [callback])
    assert all(map(torch.equal, alone.state_dict().values(), beside.state_dict().values()))
    table = callback.live.table.filter(
        [name == "layer_02" for name in callback.live.table["representation"].to_pylist()]
    )
    assert logged(trainer) == dict(zip(table["step"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert {*logged(trainer)} == {0, 4, 8}
    last = LiveDimension(beside.model, tokenizer(), texts(), **SMALL).measure(8)
    assert last["layer_02/mean"] == logged(trainer)[8]


def test_checkpoints_go_by_it(tmp_path: Path) -> None:
    kept = ModelCheckpoint(tmp_path / "kept", monitor=MEAN, mode="min")
    callback = LightningLocalDimensionCallback(texts(), tokenizer(), part="model", **SMALL)
    trainer, _ = fit(tmp_path, [callback, kept])
    rows = callback.live.table.to_pylist()
    values = [row["value"] for row in rows if row["representation"] == "layer_02" and row["step"] > 0]
    assert float(kept.best_model_score) == torch.tensor(min(values)).item()
    assert not trainer.should_stop


def test_a_training_goes_on_with_its_curve(tmp_path: Path) -> None:
    kept = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=4)
    fit(
        tmp_path,
        [LightningLocalDimensionCallback(texts(), tokenizer(), part="model", every=2, **SMALL), kept],
        max_steps=4,
    )
    again = LightningLocalDimensionCallback(texts(), tokenizer(), part="model", every=2, **SMALL)
    fit(tmp_path, [again], resume=kept.best_model_path)
    assert again.live.table["step"].unique().to_pylist() == [0, 2, 4, 6, 8]


def test_modules_of_any_kind_are_measured(tmp_path: Path) -> None:
    ids = torch.tensor([row["input_ids"] for row in rows()])
    callback = LightningLocalDimensionCallback(
        part="model", modules=["gpt_neox.layers.0"], inputs=[{"input_ids": ids}], n_neighbors=16, every=4, points=200
    )
    trainer, _ = fit(tmp_path, [callback])
    assert {*logged(trainer, "local_dimension/gpt_neox.layers.0/mean")} == {0, 4, 8}


def test_what_is_monitored_is_measured_at_every_validation(tmp_path: Path) -> None:
    kept = ModelCheckpoint(tmp_path / "kept", monitor=MEAN)
    for keys in ({"budget": 0.1}, {"background": True}, {"every": 4}):
        callback = LightningLocalDimensionCallback(texts(), tokenizer(), part="model", **(SMALL | keys))
        with pytest.raises(ValueError, match="is monitored"):
            fit(tmp_path, [callback, kept])
    with pytest.raises(ValueError, match="part="):
        fit(tmp_path, [LightningLocalDimensionCallback(texts(), tokenizer(), **SMALL)])
