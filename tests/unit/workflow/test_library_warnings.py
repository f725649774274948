"""What libraries warn of in jobs is told once at the end of a run, with the model's name."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from builders.model_folders import save_neox
from datasets.utils.logging import get_logger
from idsweep.models.checkpoints import load_model
from idsweep.workflow import script
from idsweep.workflow.library_warnings import describe_warnings, keeping, subject_of
from peft import LoraConfig, PeftConfig
from safetensors.torch import load_file, save_file


@pytest.fixture(autouse=True)
def restored_logging():
    root, library, show = logging.getLogger(), logging.getLogger("idsweep"), warnings.showwarning
    before = root.handlers[:], root.level, library.handlers[:]
    yield
    root.handlers[:], library.handlers[:] = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(False)
    warnings.showwarning = show


def job(folder: Path, name: str, **wildcards: str):
    """The context of a script of a run called "now"."""

    class Named(dict):
        def __getattr__(self, key: str) -> object:
            return self[key]

    (folder / "logs").mkdir(exist_ok=True)
    return script.job(
        SimpleNamespace(
            log=[str(folder / "logs" / f"{name}.log")],
            rule=name,
            wildcards=Named(wildcards),
            params=Named(settings="{}", signature="abc"),
            output=[],
            threads=1,
            resources=Named(log_level="INFO"),
        )
    )


@pytest.fixture(autouse=True)
def run(monkeypatch):
    monkeypatch.setenv("IDSWEEP_RUN", "now")
    warnings.simplefilter("always")


@pytest.fixture
def tied_in_config_only(tmp_path) -> Path:
    """A model whose config says that its embeddings are tied, with two that differ: transformers warns and unties them."""
    folder = save_neox(tmp_path / "neox")
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tie_word_embeddings": True}))
    weights = load_file(folder / "model.safetensors")
    output = next(name for name in weights if name in ("embed_out.weight", "lm_head.weight"))
    save_file(weights | {output: weights[output] + 1}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_warning_of_transformers_is_told_once_with_the_names_of_models(tied_in_config_only, tmp_path, capsys):
    for number, model in enumerate(("tiny", "tiny", "other")):
        with job(tmp_path, f"extract_{number}", model=model, checkpoint=f"step{number}"):
            model = load_model(tied_in_config_only, kind="causal")
            assert not torch.equal(model.get_output_embeddings().weight, model.get_input_embeddings().weight)
    said = describe_warnings(tmp_path / "logs", "now").splitlines()
    assert said[0] == "1 warning(s) of libraries that may concern numbers:"
    assert said[1].startswith(
        "  other, tiny (transformers): The tied weights mapping and config for this model specifies"
    )
    assert "with different values" in said[1]
    assert said[2] == f"    log: {tmp_path}/logs/extract_0.log"
    assert len(said) == 3
    assert capsys.readouterr().err == ""


def test_warnings_of_peft_and_datasets_are_told(tmp_path):
    LoraConfig(r=2).save_pretrained(tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_squares": True}))
    with job(tmp_path, "extract", model="tiny"):
        PeftConfig.from_pretrained(tmp_path / "adapter")
    with job(tmp_path, "sample_tokens", tokenizer="tiny", dataset="news"):
        get_logger("datasets.packaged_modules").warning(
            "Using the latest cached version of the dataset since it is offline"
        )
    said = describe_warnings(tmp_path / "logs", "now")
    assert "2 warning(s)" in said
    assert "  tiny (peft): Unexpected keyword arguments ['use_squares'] for class LoraConfig" in said
    assert "  news for tiny (datasets): Using the latest cached version of the dataset" in said


def test_a_model_whose_tokenizer_gives_the_same_warning_is_named_once(tmp_path):
    jobs = ({"tokenizer": "tiny", "dataset": "news"}, {"tokenizer": "other", "dataset": "news"}, {"model": "tiny"})
    for number, names in enumerate(jobs):
        with job(tmp_path, f"job_{number}", **names):
            logging.getLogger("transformers.x").warning("pad_token_id must be within the vocabulary, got -1")
    said = describe_warnings(tmp_path / "logs", "now").splitlines()
    assert said[1] == "  news for other, tiny (transformers): pad_token_id must be within the vocabulary, got -1"


def test_of_what_concerns_no_number_nothing_is_told(tmp_path):
    with job(tmp_path, "extract", model="tiny"):
        logging.getLogger("transformers.x").warning("`torch_dtype` is deprecated! Use `dtype` instead!")
        logging.getLogger("transformers.x").info("loading")
        warnings.warn("of no library", UserWarning, stacklevel=1)
        issue(tmp_path, FutureWarning)
    assert list(tmp_path.rglob("*.warnings")) == []
    assert describe_warnings(tmp_path / "logs", "now") == ""
    with job(tmp_path, "extract", model="tiny"):
        issue(tmp_path, UserWarning)
    assert "tiny (transformers): as a library would" in describe_warnings(tmp_path / "logs", "now")


def issue(folder: Path, category: type[Warning]) -> None:
    """Warn as code of transformers does that points to its caller."""
    code = compile("import warnings; warnings.warn('as a library would', category, stacklevel=2)", "x.py", "exec")
    exec(code, {"__name__": "transformers.x", "category": category})


def test_only_this_run_is_told_of_and_a_job_that_runs_again_begins_anew(tmp_path):
    logger = logging.getLogger("transformers.x")
    (tmp_path / "logs").mkdir()
    for name, run in (("a", "before"), ("b", "now")):
        with keeping(str(tmp_path / f"logs/{name}.log"), "tiny", run):
            logger.warning("of run %s", run)
            logger.warning("of run %s", run)
    assert describe_warnings(tmp_path / "logs", "now").count("of run now") == 1
    assert "before" not in describe_warnings(tmp_path / "logs", "now")
    with keeping(str(tmp_path / "logs/b.log"), "tiny", "now"):
        pass
    assert describe_warnings(tmp_path / "logs", "now") == ""
    logger.warning("after all jobs")
    assert describe_warnings(tmp_path / "logs", "now") == ""


def test_many_and_long_warnings_are_cut_and_counted(tmp_path):
    (tmp_path / "logs").mkdir()
    for model in range(5):
        with keeping(str(tmp_path / f"logs/{model}.log"), f"model{model}", "now"):
            for word in "abcdefghijkl":
                logging.getLogger("transformers.x").warning("%s of 'checkpoint-%d'", word * 500, model)
    said = describe_warnings(tmp_path / "logs", "now").splitlines()
    assert said[0].startswith("12 warning(s)")
    assert said[1] == f"  model0, model1, model2 and 2 more (transformers): {'a' * 400} …"
    assert said[-1].startswith("  … and 2 more:")
    (tmp_path / "logs/broken.warnings").write_text('{"run": "no')  # its job was killed
    assert describe_warnings(tmp_path / "logs", "now").splitlines() == said


def test_a_job_is_about_its_model_or_its_dataset():
    assert subject_of("extract_embeddings", {"model": "m", "checkpoint": "c", "dataset": "d"}) == "m"
    assert subject_of("sample_tokens", {"tokenizer": "t", "dataset": "d"}) == "d for t"
    assert subject_of("draw_figure", {"figure": "f"}) == "draw_figure"
