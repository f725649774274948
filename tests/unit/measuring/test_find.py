"""What a user names is found: models, checkpoints, adapters and vectors in folders, in the catalog and on a hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm
from builders import gguf_models
from builders.hub_server import serving
from builders.model_folders import MINILM, TINY, save_adapter, save_model, save_neox
from builders.project import PROJECT
from builders.sweeps import sweep_of
from idsweep.files.packages import path_in_package
from idsweep.measuring.find import find_source
from idsweep.measuring.source import Choice, Source
from idsweep.measuring.sweep_file import check_results, locked, write_sweep
from idsweep.measuring.sweep_file import sweep_of as configured
from idsweep.sweep.sweep import Sweep
from safetensors.numpy import save_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification

MODEL = path_in_package(*MINILM)


def add_tokenizer(folder: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a folder with its tokenizer."""
    return add_tokenizer(save_neox(tmp_path_factory.mktemp("models") / "neox"))


@pytest.fixture
def run(neox: Path, tmp_path: Path) -> Path:
    """Three checkpoints as transformers' Trainer leaves them, and a further folder."""
    for step in (10, 20, 100):
        shutil.copytree(neox, tmp_path / f"my_run/checkpoint-{step}")
    history = [{"step": step, "loss": 100 / step} for step in (5, 10, 100)]
    history += [{"step": 7, "eval_loss": 1.0}]
    (tmp_path / "my_run/checkpoint-100/trainer_state.json").write_text(json.dumps({"log_history": history}))
    (tmp_path / "my_run/runs").mkdir()
    return tmp_path / "my_run"


def expanded(source: Source, **texts: Any) -> Sweep:
    """The sweep that would measure a source on the news."""
    given = configured(source, source.name, texts or ({} if source.number else {"lee_news": None}), None, None, None)
    return sweep_of(given)


def test_a_folder_of_checkpoints(run: Path) -> None:
    source = find_source(str(run), Choice())
    assert (source.name, source.kind, source.depth, source.chosen) == ("my_run", "causal", 3, None)
    assert source.entries == {"my_run": {"path": str(run), "kind": "causal", "checkpoints": "checkpoint-*"}}
    assert [*source.steps] == [10, 20, 100]
    assert source.metrics == {"train_loss": str(run / "checkpoint-100/trainer_state.json")}
    assert any("logged at no checkpoint's step: eval_loss" in line for line in source.findings)
    model = expanded(source).models["my_run"]
    assert [(c.name, c.step) for c in model.checkpoints.values()] == [
        ("checkpoint-10", 10),
        ("checkpoint-20", 20),
        ("checkpoint-100", 100),
    ]


def log(folder: Path, step: int, history: list[dict[str, Any]]) -> None:
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": history}))


def test_curves_of_other_steps_than_those_in_the_names_are_left_out(run: Path) -> None:
    history = [{"step": step, "loss": 1.0} for step in (10, 20, 100)]
    log(run / "checkpoint-20", 400, history[:2])
    log(run / "checkpoint-100", 2000, history)
    source = find_source(str(run), Choice())
    assert source.metrics == {}
    assert any(
        "checkpoint-20 was saved at step 400, so its name counts something else" in line for line in source.findings
    )


def test_checkpoints_of_two_trainings_have_no_curve(run: Path) -> None:
    history = [{"step": step, "loss": 100 / step} for step in (10, 20, 100)]
    log(run / "checkpoint-20", 20, history[:2])
    log(run / "checkpoint-100", 100, history)
    assert find_source(str(run), Choice()).metrics
    log(run / "checkpoint-20", 20, [{"step": 10, "loss": 11.0}])
    source = find_source(str(run), Choice())
    assert source.metrics == {}
    assert any("checkpoint-20 has another train_loss than checkpoint-100" in line for line in source.findings)


def test_a_part_of_a_model_is_no_checkpoint(neox: Path, tmp_path: Path) -> None:
    """As sentence-transformers saves them: folders with numbers that hold a config.json, and weights."""
    model = shutil.copytree(neox, tmp_path / "embedder")
    for name, config in {"1_Pooling": {"pooling_mode_mean_tokens": True}, "2_Dense": {"in_features": 32}}.items():
        (model / name).mkdir()
        (model / name / "config.json").write_text(json.dumps(config))
    shutil.copy(neox / "model.safetensors", model / "2_Dense/model.safetensors")
    source = find_source(str(model), Choice())
    assert source.entries == {"embedder": {"path": str(model), "kind": "causal"}}


def test_what_is_no_checkpoint_of_one_model(run: Path, neox: Path) -> None:
    save_adapter(run / "checkpoint-30")
    with pytest.raises(
        ValueError, match=r"checkpoint-30 and checkpoint-100 .* no checkpoints of one model.* an adapter on tiny/neox"
    ):
        find_source(str(run), Choice())
    shutil.rmtree(run / "checkpoint-30")
    config = run / "checkpoint-20/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 2}))
    with pytest.raises(ValueError, match="the first is a gpt_neox of 2 blocks, the second a gpt_neox of 3 blocks"):
        find_source(str(run), Choice())


def test_adapters_on_two_bases(neox: Path, tmp_path: Path) -> None:
    for step, base in ((1, neox), (2, tmp_path / "other")):
        save_adapter(tmp_path / f"lora/checkpoint-{step}")
        saved = tmp_path / f"lora/checkpoint-{step}/adapter_config.json"
        saved.write_text(json.dumps(json.loads(saved.read_text()) | {"base_model_name_or_path": str(base)}))
    with pytest.raises(ValueError, match=f"the first is an adapter on {neox}, the second an adapter on .*/other"):
        find_source(str(tmp_path / "lora"), Choice())
    source = find_source(str(tmp_path / "lora"), Choice(base=str(neox)))
    assert any(line == f"adapters on {neox}, which is measured beside them" for line in source.findings)
    with pytest.raises(ValueError, match="adapters cannot be put on minilm of the catalog"):
        find_source(str(tmp_path / "lora"), Choice(base="minilm"))


def test_a_folder_called_as_a_model_of_the_catalog(neox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken, which is told; and it can have the tokenizer of that model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(neox, "minilm")
    for file in Path("minilm").glob("tokenizer*"):
        file.unlink()
    source = find_source("minilm", Choice(tokenizer="minilm"))
    assert source.findings[0] == "the folder minilm that is here, and not minilm of the catalog"
    model = expanded(source).models["minilm"]
    assert (model.depth, model.tokenizer.owner["package"]) == (3, MINILM[0])


def test_models_without_numbers_are_named(neox: Path, tmp_path: Path) -> None:
    for name in ("best", "last"):
        shutil.copytree(neox, tmp_path / f"kept/{name}")
    with pytest.raises(ValueError, match=r"holds best, last: models whose names hold no number.* as .*kept/best"):
        find_source(str(tmp_path / "kept"), Choice())


def test_a_link_is_followed_once(run: Path, tmp_path: Path) -> None:
    """What it leads to later is something else, and the sweep that was written is not to measure it."""
    (tmp_path / "latest").symlink_to(run)
    source = find_source(str(tmp_path / "latest"), Choice())
    assert (source.name, source.entries["my_run"]["path"]) == ("my_run", str(run))


@pytest.mark.parametrize("given", ["checkpoint-10,checkpoint-100", "10,100", "checkpoint-{10,100}"])
def test_some_of_the_checkpoints(given: str, run: Path) -> None:
    source = find_source(str(run), Choice(checkpoints=given))
    assert source.chosen == ["checkpoint-10", "checkpoint-100"]
    assert [*expanded(source).models["my_run"].checkpoints] == ["checkpoint-10", "checkpoint-100"]


def test_of_many_checkpoints_some_that_are_spread(neox: Path, tmp_path: Path) -> None:
    for step in range(1, 41):
        shutil.copytree(neox, tmp_path / f"run/step_{step}")
    source = find_source(str(tmp_path / "run"), Choice())
    assert len(source.chosen) <= 20
    assert (source.chosen[0], source.chosen[-1]) == ("step_1", "step_40")
    assert len(find_source(str(tmp_path / "run"), Choice(checkpoints="all")).steps) == 40


def test_one_checkpoint_is_measured_and_told(run: Path) -> None:
    for step in (20, 100):
        shutil.rmtree(run / f"checkpoint-{step}")
    source = find_source(str(run), Choice())
    assert any("a single checkpoint: there is no curve" in line for line in source.findings)
    assert "dynamics" not in configured(source, "x", {"lee_news": None}, None, None, None)["figures"]


def test_a_model_beside_its_checkpoints_is_told(run: Path, neox: Path) -> None:
    shutil.copytree(neox, run, dirs_exist_ok=True)
    source = find_source(str(run), Choice())
    assert len(source.steps) == 3
    assert any("holds a model itself too" in line for line in source.findings)


def test_a_checkpoint_that_is_being_written_is_left_out(run: Path) -> None:
    weights = run / "checkpoint-100/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert [*find_source(str(run), Choice()).steps] == [10, 20]


def test_two_series_are_asked_about(run: Path, neox: Path) -> None:
    shutil.copytree(neox, run / "epoch-1")
    with pytest.raises(ValueError, match=r"'checkpoint-\*' \(3\), 'epoch-\*' \(1\). Choose one"):
        find_source(str(run), Choice())
    source = find_source(str(run), Choice(checkpoints="checkpoint-*"))
    assert [*source.steps] == [10, 20, 100]
    assert any("of another series: epoch-1" in line for line in source.findings)


@pytest.mark.parametrize(
    ("auto", "model_type", "kind"),
    [
        (AutoModelForCausalLM, "gpt2", "causal"),
        (AutoModelForMaskedLM, "bert", "masked"),
        (AutoModelForSequenceClassification, "bert", "encoder"),
        (AutoModel, "distilbert", "encoder"),
        (AutoModel, "t5", "encoder-decoder"),
    ],
)
def test_the_kind_is_told_by_the_config(auto: Any, model_type: str, kind: str, tmp_path: Path) -> None:
    folder = add_tokenizer(save_model(tmp_path / "m", auto, model_type, vocab_size=40, **TINY[model_type]))
    source = find_source(str(folder), Choice())
    assert source.kind == kind
    assert expanded(source).models["m"].kind == kind
    assert find_source(str(folder), Choice(kind="encoder")).kind == "encoder"


def test_a_config_without_a_class_is_told_by_its_family(neox: Path, tmp_path: Path) -> None:
    for model_type, kind in (("gpt_neox", "causal"), ("bert", "masked"), ("vit", "encoder")):
        folder = shutil.copytree(neox, tmp_path / model_type)
        config = json.loads((folder / "config.json").read_text()) | {"model_type": model_type, "architectures": None}
        (folder / "config.json").write_text(json.dumps(config))
        assert find_source(str(folder), Choice()).kind == kind


def test_adapters_and_what_they_build_on(neox: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path / "run/checkpoint-4")
    save_adapter(tmp_path / "run/checkpoint-8")
    with pytest.raises(ValueError, match=r"cannot be reached|tiny/neox"):
        find_source(str(tmp_path / "run"), Choice())
    source = find_source(str(tmp_path / "run"), Choice(base=str(neox)))
    assert (source.kind, source.base, source.depth) == ("causal", "run_base", 3)
    sweep = expanded(source)
    assert [*sweep.models] == ["run_base", "run"]
    assert sweep.models["run"].base[0].name == "run_base"


def test_an_adapter_names_a_folder(neox: Path, tmp_path: Path) -> None:
    folder = save_adapter(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    for named in (str(neox), "../base"):
        shutil.copytree(neox, tmp_path / "base", dirs_exist_ok=True)
        (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": named}))
        assert expanded(find_source(str(folder), Choice())).models["adapter"].base[0].depth == 3
    for named, said in ((None, "does not name the model"), ("/nowhere/at/all", "which is not here")):
        (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": named}))
        with pytest.raises(ValueError, match=f"{said}.*--base FOLDER"):
            find_source(str(folder), Choice())


def test_a_tokenizer_of_its_own_of_its_base_or_asked_about(neox: Path, tmp_path: Path) -> None:
    bare = save_neox(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"does not say which the model was trained with. Say it, as --tokenizer"):
        find_source(str(bare), Choice())
    for tokenizer, owner in ((str(neox), "bare_tokenizer"), ("minilm", "minilm"), ("pythia-14m", "pythia-70m")):
        source = find_source(str(bare), Choice(tokenizer=tokenizer))
        assert source.entries["bare"]["tokenizer"] == {"of": owner}
        assert expanded(source).models["bare"].tokenizer.name == owner
    config = json.loads((bare / "config.json").read_text())
    (bare / "config.json").write_text(json.dumps(config | {"_name_or_path": str(neox)}))
    assert find_source(str(bare), Choice()).entries["bare_tokenizer"]["path"] == str(neox)
    with pytest.raises(ValueError, match="--tokenizer: nowhere holds no tokenizer"):
        find_source(str(bare), Choice(tokenizer="nowhere"))


def test_a_tokenizer_beside_the_checkpoints(run: Path, neox: Path) -> None:
    for folder in run.glob("checkpoint-*"):
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
    add_tokenizer(run)
    source = find_source(str(run), Choice())
    assert expanded(source).models["my_run"].tokenizer.folder == run


def test_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "my vectors.npy", np.random.default_rng(0).normal(size=(300, 5)))
    source = find_source(str(tmp_path / "my vectors.npy"), Choice())
    assert (source.name, source.number) == ("my_vectors", 300)
    sweep = expanded(source)
    assert [(m.name, d) for m, _, d in sweep.passes()] == [("my_vectors", "vocabulary")]
    assert sweep.models["my_vectors"].representations("vocabulary") == ["vectors"]
    words = path_in_package("gensim", "test/test_data/lee_fasttext.vec")
    source = find_source(str(words), Choice())
    assert expanded(source).models[source.name].representations("vocabulary") == ["input_embeddings"]


def measure(folder: Path, endpoint: str, *words: str) -> subprocess.CompletedProcess:
    """`idsweep measure --dry-run` in a process of its own, since the client reads its environment when it is imported."""
    library = str(PROJECT / "workflow_scripts")
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "PYTHONPATH": library}
    command = [warm.python(), "-m", "idsweep.cli", "measure", *words, "--dry-run"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_equal_vectors_are_one_point(tmp_path: Path) -> None:
    different = np.random.default_rng(0).normal(size=(250, 4))
    np.save(tmp_path / "twice.npy", np.repeat(different, 2, axis=0))
    assert find_source(str(tmp_path / "twice.npy"), Choice()).findings[1].startswith("250 of them differ")
    np.save(tmp_path / "constant.npy", np.ones((300, 4)))
    with pytest.raises(ValueError, match=r"holds 300 vectors, of which 1 differ. A dimension needs 200 different ones"):
        find_source(str(tmp_path / "constant.npy"), Choice())


@pytest.mark.parametrize(
    ("file", "name"),
    [("layer.6.npy", "layer.6"), (".hidden.npy", "hidden"), ("with space.npy", "with_space"), ("向量.npy", "vectors")],
)
def test_names_of_vectors(file: str, name: str, tmp_path: Path) -> None:
    np.save(tmp_path / file, np.random.default_rng(0).normal(size=(250, 4)))
    assert find_source(str(tmp_path / file), Choice()).name == name


def test_what_of_a_file_is_taken_is_told(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(250, 5)).astype("f4")
    save_file({"bias": vectors[0], "layer_6": vectors}, tmp_path / "v.safetensors")
    pq.write_table(pa.table({"id": range(250), "embedding": list(vectors)}), tmp_path / "lists.parquet")
    pq.write_table(pa.table({f"d{i}": vectors[:, i] for i in range(5)}), tmp_path / "columns.parquet")
    said = {
        file.name: find_source(str(file), Choice()).findings[0].split("format ")[1]
        for file in sorted(tmp_path.iterdir())
    }
    assert said == {
        "columns.parquet": "parquet, columns d0, d1 … d4",
        "lists.parquet": "parquet, column embedding",
        "v.safetensors": "safetensors, tensor layer_6",
    }


def test_numbers_as_text_are_no_words(tmp_path: Path) -> None:
    """The first coordinate is not taken for a word, and left out of the vectors."""
    np.savetxt(tmp_path / "v.txt", np.random.default_rng(0).normal(size=(250, 5)))
    with pytest.raises(
        ValueError, match=r"begins with a number in place of a word.*If it holds texts, name it after --text"
    ):
        find_source(str(tmp_path / "v.txt"), Choice())


def test_arrays_of_one_file_are_told_apart(tmp_path: Path) -> None:
    arrays = {name: np.random.default_rng(i).normal(size=(250, 4)).astype("f4") for i, name in enumerate("ab")}
    save_file(arrays, tmp_path / "two.safetensors")
    first, second = (find_source(str(tmp_path / "two.safetensors"), Choice(array=name)) for name in "ab")
    write_sweep(tmp_path / "results/two/sweep.yaml", {"sweep": "two"}, first, "idsweep measure")
    with pytest.raises(ValueError, match=r"holds the results of .*two.safetensors, array a. Choose another name"):
        check_results(tmp_path / "results/two", second)


def test_any_model_on_the_hub(neox: Path, tmp_path: Path) -> None:
    with serving(("someone/neox", "main", neox), ("someone/neox", "step8", neox)) as hub:
        done = measure(tmp_path, hub.url, "someone/neox", "--checkpoints", "step8")
        assert done.returncode == 0, done.stderr
        assert "someone/neox on the hub, kind causal, by its config; 3 blocks" in done.stdout
        assert "1 checkpoint: step8" in done.stdout
        assert not any("model.safetensors" in asked.path for asked in hub.requests)
        done = measure(tmp_path, hub.url, "someone/nobody")
        assert done.returncode == 1
        assert "someone/nobody" in done.stderr
    began = time.monotonic()
    done = measure(tmp_path, "http://127.0.0.1:9", "someone/neox")
    assert done.returncode == 1
    assert "someone/neox: http://127.0.0.1:9 cannot be reached" in done.stderr
    assert time.monotonic() - began < 30


def test_which_revisions_are_checkpoints_is_asked() -> None:
    with pytest.raises(ValueError, match="which revisions of someone/neox are checkpoints is not known"):
        find_source("someone/neox", Choice(checkpoints="all"))


def test_models_of_the_catalog(tmp_path: Path) -> None:
    source = find_source("pythia-70m", Choice())
    assert len(source.chosen) == 8
    assert (source.chosen[0], source.chosen[-1]) == ("step0", "step143000")
    assert find_source("EleutherAI/pythia-70m", Choice()).name == "pythia-70m"
    given = Choice(checkpoints="step{0,512,143000}")
    assert find_source("pythia-70m", given).chosen == ["step0", "step512", "step143000"]
    assert len(find_source("pythia-70m", Choice(checkpoints="all")).steps) == 154
    for choice, said in (
        (Choice(checkpoints="step3"), "'step3' is no checkpoint of pythia-70m"),
        (Choice(kind="causal"), "--kind: pythia-70m is a model of the catalog"),
    ):
        with pytest.raises(ValueError, match=said):
            find_source("pythia-70m", choice)


@pytest.mark.parametrize(
    ("given", "choice", "said"),
    [
        ("pythia70m", Choice(), "did you mean 'pythia-70m'"),
        ("./nowhere", Choice(), "no file or folder './nowhere'"),
        ("empty", Choice(), "holds no model: there is no config.json.* Expected what transformers saves"),
        ("above", Choice(), "Did you mean above/my_run"),
        ("with_vectors", Choice(), "To measure vectors, name their file, as with_vectors/v.npy"),
        ("above/my_run/checkpoint-10", Choice(checkpoints="all"), "is one model and holds no folders of checkpoints"),
        ("above/my_run/checkpoint-10", Choice(base="minilm"), "holds a whole model and no adapter"),
        ("above/my_run/checkpoint-10", Choice(array="x"), "is a folder and no file of vectors"),
        ("above/my_run/checkpoint-10/model.safetensors", Choice(), "To measure the model, name its folder"),
        ("with_vectors/v.npy", Choice(), "holds 9 vectors. A dimension needs 200 different"),
        ("with_vectors/v.npy", Choice(base="minilm"), "--base: .* holds vectors, which have none"),
        ("with_vectors/v.npy", Choice(kind="causal"), "of kind static"),
        ("with_vectors/notes.md", Choice(), "vectors are read from files that end in"),
    ],
)
def test_what_cannot_be_measured_is_told(
    given: str, choice: Choice, said: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("above").mkdir()
    shutil.move(run, "above/my_run")
    Path("with_vectors").mkdir()
    np.save("with_vectors/v.npy", np.arange(18.0).reshape(9, 2))
    Path("with_vectors/notes.md").write_text("notes")
    with pytest.raises(ValueError, match=said):
        find_source(given, choice)


def test_results_of_something_else_are_not_written_over(run: Path, neox: Path, tmp_path: Path) -> None:
    source, other = find_source(str(run), Choice()), find_source(str(neox), Choice())
    folder = tmp_path / "results/my_run"
    assert check_results(folder, source) is None
    write_sweep(folder / "sweep.yaml", {"sweep": "my_run"}, source, "idsweep measure my_run")
    assert check_results(folder, source) is None
    with pytest.raises(ValueError, match=r"holds the results of .*my_run. Choose another name .* --name my_run_2"):
        check_results(folder, other)
    text = (folder / "sweep.yaml").read_text()
    (folder / "sweep.yaml").write_text(text.replace("by idsweep ", "by idsweep 0.0.1-", 1))
    assert "was measured by idsweep 0.0.1-" in check_results(folder, source)
    (folder / "sweep.yaml").write_text(text.replace("sweep: my_run", "sweep: my_run\ntitle: mine"))
    with pytest.raises(ValueError, match=r"was edited since it was written.* `idsweep run .*my_run/sweep.yaml`"):
        check_results(folder, source)
    (folder / "sweep.yaml").unlink()
    (folder / "tables").mkdir()
    with pytest.raises(ValueError, match="holds the results of another sweep"):
        check_results(folder, source)


def test_a_model_in_gguf(tmp_path: Path) -> None:
    gguf_models.write(tmp_path / "tiny-Q8.gguf", gguf_models.model(), gguf_models.gguf.GGMLQuantizationType.Q8_0)
    source = find_source(str(tmp_path / "tiny-Q8.gguf"), Choice())
    assert (source.name, source.kind, source.depth, source.positions) == ("tiny-Q8", "causal", 3, 128)
    model = expanded(source).models["tiny-Q8"]
    assert (model.source, model.depth, model.tokenizer.made_by) == ("gguf", 3, "convert_tokenizer")
    assert (
        expanded(find_source(str(tmp_path / "tiny-Q8.gguf"), Choice(tokenizer="minilm")))
        .models["tiny-Q8"]
        .tokenizer.name
        == "minilm"
    )
    with pytest.raises(ValueError, match=r"name its file, as .*tiny-Q8.gguf"):
        find_source(str(tmp_path), Choice())
    with pytest.raises(ValueError, match="--kind masked: models in GGUF"):
        find_source(str(tmp_path / "tiny-Q8.gguf"), Choice(kind="masked"))


def test_other_texts_of_the_same_name_are_not_written_over(run: Path, tmp_path: Path) -> None:
    source, folder = find_source(str(run), Choice()), tmp_path / "results/my_run"
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "posts.txt").write_text("It rains.\n")
    entries = {place: {"loader": "text", "path": str(tmp_path / place / "posts.txt")} for place in ("a", "b")}
    written = configured(source, "my_run", {"posts": entries["a"]}, None, 500, None)
    write_sweep(folder / "sweep.yaml", written, source, "idsweep measure")
    assert check_results(folder, source, {"posts": entries["a"], "more": entries["b"]}) is None
    for other in (entries["b"], None):
        with pytest.raises(
            ValueError, match=r"results on other texts of the name posts, .*a/posts.txt. Rename the file"
        ):
            check_results(folder, source, {"posts": other})
    (tmp_path / "a/posts.txt").unlink()  # moved
    assert check_results(folder, source, {"posts": entries["b"]}) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    said = r"results/a cannot be written: Not a directory\. Call idsweep in a folder"
    with pytest.raises(ValueError, match=said), locked(tmp_path / "results/a"):
        pass


def test_two_calls_at_once(tmp_path: Path) -> None:
    said = r"Another call of idsweep measure is at work in .*my_run"
    with locked(tmp_path / "my_run"), pytest.raises(ValueError, match=said), locked(tmp_path / "my_run"):
        pass
    with locked(tmp_path / "my_run"):
        pass


def test_an_empty_name_is_not_the_working_folder() -> None:
    with pytest.raises(ValueError, match="it is empty"):
        find_source("", Choice())
