"""A GGUF file becomes the model and the tokenizer that it was made of."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from builders import gguf_models
from builders.real_models import SMOLLM2, skip_without_smollm2
from gguf import GGMLQuantizationType as Type
from idsweep.files.packages import path_in_package
from idsweep.models.checkpoints import load_model
from idsweep.models.folders import read_architecture
from idsweep.models.gguf_files import convert_tokenizer, convert_weights
from idsweep.models.tokenizers import PROBE, load_tokenizer

IDS = torch.arange(40).reshape(2, 20) * 7 % 400


def converted(folder: Path, **how: object) -> Path:
    gguf_models.write(folder / "m.gguf", gguf_models.model(), **how)
    convert_weights(folder / "m.gguf", folder / "model")
    return folder / "model"


@pytest.mark.parametrize("tied", [False, True])
def test_hidden_states_are_those_of_the_model_that_was_written(tied: bool, tmp_path: Path) -> None:
    original = gguf_models.model(tied)
    gguf_models.write(tmp_path / "m.gguf", original)
    convert_weights(tmp_path / "m.gguf", tmp_path / "model")
    assert read_architecture(tmp_path / "model")[:2] == (3, 64)
    loaded = load_model(tmp_path / "model", kind="causal", layers=3)
    with torch.inference_mode():
        expected = original(IDS, output_hidden_states=True)
        found = loaded(IDS, output_hidden_states=True)
    for one, other in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Type.Q8_0, Type.Q4_1, Type.Q4_0, Type.BF16, Type.F16], ids=lambda kind: kind.name)
def test_quantised_weights_are_the_numbers_that_they_stand_for(kind: Type, tmp_path: Path) -> None:
    original = gguf_models.model()
    weights = load_model(converted(tmp_path, quantization=kind), kind="causal", layers=3).state_dict()
    for name, values in original.state_dict().items():
        if values.ndim == 2 and not name.endswith(("q_proj.weight", "k_proj.weight")):  # whose rows change places
            rounded = gguf.quants.dequantize(gguf.quants.quantize(values.numpy(), kind), kind)
            torch.testing.assert_close(weights[name], torch.from_numpy(rounded), rtol=0, atol=0)
            assert not torch.equal(weights[name], values)


@pytest.mark.parametrize("cut", ["smollm", "gpt-2"])
def test_texts_are_cut_as_the_file_says(cut: str, tmp_path: Path) -> None:
    gguf_models.write(tmp_path / "m.gguf", gguf_models.model(), cut=cut)
    convert_tokenizer(tmp_path / "m.gguf", tmp_path / "tokenizer")
    found = load_tokenizer(tmp_path / "tokenizer")
    trained = gguf_models.tokenizer()
    if cut == "gpt-2":
        trained.pre_tokenizer = gguf_models.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for text in (PROBE, "In  1998\n\n12 x", "<|end|>"):
        assert found(text, add_special_tokens=False)["input_ids"] == trained.encode(text).ids
    assert found.eos_token == "<|end|>"


@pytest.mark.parametrize("cut", [None, "deepseek-llm"])
def test_an_unknown_way_to_cut_is_refused(cut: str | None, tmp_path: Path) -> None:
    gguf_models.write(tmp_path / "m.gguf", gguf_models.model(), cut=cut)
    with pytest.raises(ValueError, match=r"m.gguf cuts texts in the way .* `tokenizer: \{of: NAME\}`"):
        convert_tokenizer(tmp_path / "m.gguf", tmp_path / "tokenizer")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_file_that_was_cut_short(share: float, tmp_path: Path) -> None:
    gguf_models.write(tmp_path / "m.gguf", gguf_models.model())
    content = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"m.gguf (is no GGUF file|cannot be read as a model in GGUF)"):
        convert_weights(tmp_path / "m.gguf", tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_trained_model_knows_the_capital_of_france(tmp_path: Path) -> None:
    skip_without_smollm2()
    file = path_in_package(SMOLLM2, "SmolLM2-135M-Instruct.Q4_1.gguf")
    convert_weights(file, tmp_path / "model")
    convert_tokenizer(file, tmp_path / "tokenizer")
    model = load_model(tmp_path / "model", kind="causal", layers=30)
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.inference_mode():
        following = model(ids).logits[0, -1].argmax()
    assert tokenizer.decode(following) == " Paris"


def test_an_architecture_that_is_not_known(tmp_path: Path) -> None:
    gguf_models.write(tmp_path / "m.gguf", gguf_models.model(), architecture="llama9")
    with pytest.raises(ValueError, match=r"m.gguf cannot be read as a model in GGUF: .*llama9"):
        convert_weights(tmp_path / "m.gguf", tmp_path / "model")


def test_what_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ValueError, match="is no GGUF file of version 2 or 3"):
        convert_weights(tmp_path / "m.gguf", tmp_path / "model")
    with pytest.raises(ValueError, match="There is no file"):
        convert_weights(tmp_path / "n.gguf", tmp_path / "model")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idsweep.models.gguf_files.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install gguf"):
        convert_weights(tmp_path / "m.gguf", tmp_path / "model")
