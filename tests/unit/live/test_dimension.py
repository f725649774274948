"""Measurements in a plain loop: what they leave as it was, what they measure, and what is refused."""

from __future__ import annotations

import pickle
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm
import yaml
from builders.live_trainings import decoder, rows, texts, tokenizer
from builders.sweeps import sweep_of
from idsweep.estimators.registry import estimate_mean
from idsweep.live import LiveDimension
from idsweep.live.budget import Budget
from idsweep.live.undisturbed import undisturbed
from torch import nn

SMALL = {"n_neighbors": 16, "points": 300, "max_length": 32}


def live(model: nn.Module, **keys: Any) -> LiveDimension:
    return LiveDimension(model, tokenizer(), texts(), **(SMALL | {"layers": [1, -1]} | keys))


def train(model: nn.Module, between: Any = None, steps: int = 4) -> nn.Module:
    """A plain loop with dropout, whose batches come from the global generator of torch."""
    torch.manual_seed(3)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    ids = torch.tensor([row["input_ids"] for row in rows()])
    for step in range(steps):
        batch = ids[torch.randint(len(ids), (4,))]
        model(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if between is not None:
            between(step)
    return model


def is_same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def numbers_of_numpy() -> list[int]:
    return np.random.get_state()[1].tolist()  # noqa: NPY002 (the global one)


def test_a_loop_ends_with_the_same_weights_and_random_numbers() -> None:
    alone = train(decoder())
    states = torch.get_rng_state(), random.getstate(), numbers_of_numpy()
    model = decoder()
    watched = live(model)
    train(model, watched.measure)
    assert is_same(alone, model)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1] and numbers_of_numpy() == states[2]
    values = watched.table["value"].to_pylist()
    assert len(values) == 8 and len(set(values)) == 8


def test_modes_buffers_and_forward_are_put_back() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Dropout(), nn.Dropout()))
    model[2].eval()  # a part in evaluation mode, with a child in training mode
    model[2][1].train()
    model.register_buffer("grown", torch.zeros(2))
    modes = [module.training for module in model.modules()]
    grown = model.grown
    with pytest.raises(RuntimeError), undisturbed(model):
        assert not any(module.training for module in model.modules())
        model.grown = torch.ones(3)
        model(torch.randn(5, 4))
        random.random()
        raise RuntimeError
    assert [module.training for module in model.modules()] == modes
    assert model.grown is grown and not grown.any()
    assert model[1].num_batches_tracked == 0


def test_autocast_of_the_loop_does_not_change_the_number() -> None:
    model = decoder()
    first = live(model).measure(0)
    with torch.autocast("cpu", torch.bfloat16):
        second = live(model).measure(0)
    assert {**first, "runtime": 0} == {**second, "runtime": 0}


def test_a_compiled_model_is_measured_as_it_was_written() -> None:
    model = decoder()
    expected = live(model).measure(0)
    for compiled in (torch.compile(model, backend="eager"), model):
        model.compile(backend="eager")
        found = live(compiled).measure(0)
        assert {**found, "runtime": 0} == {**expected, "runtime": 0}
    assert model._compiled_call_impl is not None


def test_in_the_background_the_states_are_those_of_their_step() -> None:
    model, beside = decoder(), decoder()
    now, later = live(model), live(beside, background=True)
    train(model, now.measure)
    ready: list[Any] = []

    def between(step: int) -> None:
        assert bool(later.measure(step)) == (step == 0)
        ready.extend(later.finished())

    train(beside, between)
    ready += later.close()
    assert [one.step for one in ready] == [1, 2, 3] and is_same(model, beside)
    assert later.table.drop(["runtime"]).equals(now.table.drop(["runtime"]))


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.convolution(images).mean((2, 3)))


def pictures() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(40, 3, 8, 8, generator=generator) for _ in range(3)]


def test_modules_of_any_model_are_measured_by_name() -> None:
    model = Images()
    found = LiveDimension(model, modules=["head"], inputs=pictures(), n_neighbors=16).measure(0)
    with torch.no_grad():
        vectors = torch.cat([model(batch) for batch in pictures()]).numpy()
    expected = estimate_mean(vectors, "twonn", n_neighbors=16)
    assert found["head/mean"] == expected.value and found["head/n_undefined"] == 0


def test_outputs_of_another_shape_are_taken_as_told() -> None:
    inputs = [(pictures()[0],)]
    given = {"modules": ["convolution"], "inputs": inputs, "n_neighbors": 16, "points": 200}
    with pytest.raises(ValueError, match=r"gives \(40, 8, 6, 6\).*Say with take="):
        LiveDimension(Images(), **given)
    found = LiveDimension(Images(), take=lambda output: output.flatten(2).transpose(1, 2), **given)
    assert found.measure(0)["convolution/mean"] > 1
    assert found.table["n_points"].to_pylist() == [200]


def test_padding_of_named_inputs_is_left_out() -> None:
    class Echo(nn.Module):
        def forward(self, states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return states

    mask = torch.ones(20, 10, dtype=torch.int64)
    mask[:, 6:] = 0
    states = torch.randn(20, 10, 3, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential()
    model.add_module("echo", Echo())
    model.forward = lambda states, attention_mask: model.echo(states, attention_mask)
    one = LiveDimension(model, modules=["echo"], inputs=[{"states": states, "attention_mask": mask}], n_neighbors=8)
    one.measure(0)
    assert one.table["n_points"].to_pylist() == [120]


def test_clouds_are_drawn_from_the_points_in_their_order() -> None:
    """As from an embeddings file, whose points are sorted, though the longest sequences are run first."""
    model = decoder()
    one = live(model, cloud={"sequences": 12, "draw": "distinct", "normalize": "unit"})
    states = one._states.read(model.eval())["layer_01"]
    assert states.ids.tolist() == list(range(300))
    with torch.no_grad():
        batch = tokenizer()([text.strip() for text in texts()[:1]], truncation=True, max_length=32, return_tensors="pt")
        expected = model.base_model(batch["input_ids"], output_hidden_states=True).hidden_states[1][0]
    tokens = states.tokens.to_pylist()
    of_first = [row for row in tokens if row["sequence"] == 0]
    for row in of_first:
        np.testing.assert_allclose(states.vectors[row["point"]], expected[row["position"]].numpy(), atol=1e-5)
    assert of_first
    assert one.measure(0)["layer_01/n_undefined"] == 0 and one.table["n_points"].to_pylist()[0] < 300


def test_the_same_step_is_measured_once() -> None:
    one = live(decoder())
    assert one.measure(3) == one.measure(3) != {}
    assert len(one.table) == 2


def test_a_budget_leaves_measurements_out() -> None:
    now = [0.0]
    budget = Budget(0.1, clock=lambda: now[0])
    assert budget.allows()
    made = 0
    for second in range(1, 1001):
        now[0] = float(second)
        if budget.allows():
            budget.spend(2.0)
            now[0] += 2.0
            made += 1
    assert 0.08 < 2.0 * made / 1000 <= 0.1


def test_a_budget_skips_steps_of_a_training() -> None:
    model = decoder()
    one = live(model, budget=1e-6)
    train(model, one.measure)
    assert one.table["step"].unique().to_pylist() == [0]


def test_what_a_folder_holds_is_gone_on_with(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = decoder()
    live(model, folder=tmp_path).measure(0)
    again = live(model, folder=tmp_path)
    assert again.table["step"].unique().to_pylist() == [0] and again.measure(0) == {}
    assert again.measure(3) and again.measure(2) == {} and "step 2 is not measured" in caplog.text
    again.go_on_from(0)
    assert again.measure(2)
    with pytest.raises(ValueError, match=r"measured with n_neighbors: 16, not 8"):
        live(model, folder=tmp_path, n_neighbors=8)
    with pytest.raises(ValueError, match="other tokens or inputs"):
        LiveDimension(model, tokenizer(), texts()[::-1], folder=tmp_path, **SMALL, layers=[1, -1])


def test_a_training_that_changes_its_directory_keeps_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = live(decoder(), folder="kept")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    one.measure(0)
    assert (tmp_path / "kept/local_dimension.csv").is_file() and not any((tmp_path / "elsewhere").iterdir())


def test_the_values_of_points_are_kept(tmp_path: Path) -> None:
    one = live(decoder(), folder=tmp_path)
    found = one.measurement(5)
    kept = one.measurements.points(5)
    assert (
        found.estimates["layer_01"]["value"].to_pylist()
        == kept.filter(kept["representation"].combine_chunks().to_numpy(zero_copy_only=False) == "layer_01")[
            "value"
        ].to_pylist()
    )


@pytest.mark.parametrize(
    ("given", "keys", "message"),
    [
        ((None, ["a text"]), {}, "tokenizer: layers are measured at tokens"),
        ((tokenizer(), None), {}, "texts: layers are measured at tokens"),
        ((tokenizer(), "one text"), {}, "a list of strings is needed"),
        ((tokenizer(), ["", " "]), {}, "the corpus has no text"),
        ((tokenizer(), ["Few words here."]), {}, "points are too few for 64 neighbours"),
        ((tokenizer(), texts()), {"layers": [7]}, "the model has layers 0…2"),
        ((tokenizer(), texts()), {"layers": [2, -1]}, "each can be named once"),
        ((tokenizer(), texts()), {"estimator": "lpca", "parameters": {"alpha": 1}}, "has no parameter 'alpha'"),
        ((tokenizer(), texts()), {"estimator": "gride"}, "gride is not local"),
        ((tokenizer(), texts()), {"n_neighbors": 1}, "n_neighbors: 1"),
        ((tokenizer(), texts()), {"budget": 0}, "budget: 0 is no share"),
        ((None, None), {"modules": ["gpt_neox.layers.1"]}, "modules and inputs: give both"),
        ((None, None), {"modules": ["layer.9"], "inputs": [1]}, "the model has no 'layer.9'; it has gpt_neox"),
        ((None, None), {"modules": ["gpt_neox"], "inputs": []}, "inputs: there is no batch"),
    ],
)
def test_what_cannot_be_measured_is_refused(given: tuple[Any, Any], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LiveDimension(decoder(), *given, **keys)


def test_a_model_without_hidden_states_is_told_how_to_be_measured() -> None:
    with pytest.raises(ValueError, match=r"Images is no model of transformers.*modules="):
        LiveDimension(Images(), tokenizer(), texts())


def test_a_module_that_is_never_called_is_told() -> None:
    with pytest.raises(ValueError, match="unused is called 0 times"):
        LiveDimension(Images(), modules=["unused"], inputs=pictures())


def test_a_failed_measurement_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    model = decoder()
    one, other = live(model), live(model)
    one.measure(0)
    with torch.no_grad():
        model.gpt_neox.layers[0].mlp.dense_h_to_4h.bias[0] = float("nan")
    assert one.measure(1) == {} and "NaN" in caplog.text
    assert model.training and len(one.table) == 2
    with pytest.raises(ValueError, match="NaN"):
        other.measure(0)  # the first says what is wrong


def test_the_model_is_left_as_it_was_to_its_hooks_and_methods() -> None:
    class Merged(nn.Linear):
        """As adapters that merge their weights when the mode changes."""

        def train(self, mode: bool = True) -> nn.Module:
            with torch.no_grad():
                self.weight.add_(1)
            return super().train(mode)

    class Lazy(nn.Module):
        """As rotary embeddings that are computed at the first call."""

        cache = None

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            if self.cache is None:
                self.cache = torch.ones(1)
                self.register_buffer("late", torch.ones(1))
            return states * self.cache

    torch.manual_seed(0)
    model = nn.Sequential(Merged(4, 8), Lazy(), nn.Linear(8, 2))
    weights = model[0].weight.detach().clone()
    LiveDimension(model, modules=["2"], inputs=torch.randn(60, 4), n_neighbors=8).measure(0)
    assert torch.equal(model[0].weight, weights) and "late" not in dict(model.named_buffers())
    model(torch.randn(3, 4)).sum().backward()  # what was kept is no tensor of inference mode
    pickle.dumps(decoder_that_was_measured())


def decoder_that_was_measured() -> nn.Module:
    """transformers' hooks for hidden states cannot be pickled."""
    model = decoder()
    live(model).measure(0)
    return model


def test_outputs_are_taken_before_they_are_changed_in_place() -> None:
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True)), torch.randn(100, 6)
    before = inputs.clone()
    states = LiveDimension(model, modules=["0"], inputs=inputs, n_neighbors=8)._states.read(model)["0"]
    torch.testing.assert_close(torch.from_numpy(states.vectors), model[0](inputs).detach())
    in_place = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 6))
    LiveDimension(in_place, modules=["1"], inputs=inputs, n_neighbors=8).measure(0)
    assert torch.equal(inputs, before)


def test_prompts_beside_the_base_are_refused() -> None:
    from peft import PromptTuningConfig, get_peft_model

    with pytest.raises(ValueError, match="PromptTuningConfig: prompts"):
        live(get_peft_model(decoder(), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)))


def test_other_inputs_are_no_continuation(tmp_path: Path) -> None:
    model, given = Images(), {"modules": ["head"], "n_neighbors": 16, "folder": tmp_path}
    LiveDimension(model, inputs=pictures(), **given).measure(0)
    LiveDimension(model, inputs=pictures(), **given)
    with pytest.raises(ValueError, match="other tokens or inputs"):
        LiveDimension(model, inputs=pictures()[::-1], **given)


def test_masks_of_another_shape_and_repeated_modules_are_refused() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.inner(states.transpose(0, 1))

    inputs = {"states": torch.randn(20, 10, 3), "attention_mask": torch.ones(20, 10)}
    with pytest.raises(ValueError, match=r"gives \(10, 20, 3\), and attention_mask is \(20, 10\)"):
        LiveDimension(Turned(), modules=["inner"], inputs=inputs, n_neighbors=8)
    shared = nn.Linear(6, 6)
    with pytest.raises(ValueError, match="0 is called 2 times"):
        LiveDimension(nn.Sequential(shared, shared), modules=["0"], inputs=torch.randn(50, 6), n_neighbors=8)


def test_importing_it_needs_neither_lightning_nor_torchmetrics() -> None:
    code = (
        "import sys, idsweep.live.trainer; print({'lightning', 'torchmetrics', 'pytorch_lightning'} & {*sys.modules})"
    )
    done = subprocess.run([warm.python(), "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_sweep_s_configuration_can_be_run(tmp_path: Path) -> None:
    one = live(decoder().to(torch.bfloat16), folder=tmp_path / "live", cloud={"draw": "distinct"})
    one.measure(0)
    one.measure(1)
    config = yaml.safe_load(one.sweep_config(tmp_path / "out/epoch_*", "causal", name="mine"))
    for step in (1, 2):
        (tmp_path / f"out/epoch_{step}").mkdir(parents=True)
        decoder().save_pretrained(tmp_path / f"out/epoch_{step}")
        tokenizer().save_pretrained(tmp_path / f"out/epoch_{step}")
    sweep = sweep_of(config)
    assert sweep.config["extraction"]["dtype"] == "bfloat16" and sweep.config["points"]["draw"] == "distinct"
    assert [*sweep.models["mine"].checkpoints] == ["epoch_1", "epoch_2"]
    with pytest.raises(ValueError, match="kind: 'decoder' is not known"):
        one.sweep_config("out", "decoder")
    with pytest.raises(ValueError, match="give folder="):
        live(decoder()).sweep_config("out", "causal")


def test_a_folder_s_own_tokens_are_read(tmp_path: Path) -> None:
    model = decoder()
    first = live(model, folder=tmp_path).measure(0)
    again = LiveDimension(model, tokens=tmp_path / "tokens.parquet", layers=[1, -1], n_neighbors=16, points=300)
    assert {**again.measure(0), "runtime": 0} == {**first, "runtime": 0}
    with pytest.raises(ValueError, match="tokens: there is no file"):
        LiveDimension(model, tokens=tmp_path / "tokens/none.parquet")
