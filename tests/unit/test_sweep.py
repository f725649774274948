"""From configuration to sweep: defaults, names that are safe as paths, steps, layers, what each job depends on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from idsweep import config
from idsweep.config import ConfigError
from idsweep.signature import Digests
from idsweep.staleness import Staleness
from idsweep.sweep import Sweep, expand, offered_checkpoints, safe

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "config"
HUB = {"kind": "causal", "layers": 6}


def sweep_of(**changes: Any) -> Sweep:
    return expand(config.load({"sweep": "s", "models": {"minilm": None}, "datasets": ["lee_news"]} | changes, FOLDER))


def test_defaults_are_filled_in() -> None:
    filled = config.load({"sweep": "s", "models": {"minilm": None}, "datasets": ["lee_news"]}, FOLDER)
    assert filled["tokens"] == {
        "sequences": None,
        "max_length": 512,
        "number": 10000,
        "special": False,
        "seed": 42,
        "sequence_seed": 778,
    }
    assert filled["points"]["deduplicate"] is True
    assert filled["keep_embeddings"] is False
    assert filled["catalog"]["models"]["minilm"]["kind"] == "encoder"


def test_the_readme_s_sweep_is_valid() -> None:
    readme = (PROJECT / "README.md").read_text()
    given = yaml.safe_load(readme.split("```yaml\n")[1].split("```")[0])
    filled = config.load(given, FOLDER)
    assert given["datasets"] == ["my_text"]
    assert set(given["models"]["pythia-70m"]["checkpoints"]) <= set(
        offered_checkpoints(filled["catalog"]["models"]["pythia-70m"])
    )


def test_what_is_given_is_not_changed() -> None:
    given = {"sweep": "s", "models": {"minilm": None}, "datasets": ["lee_news"]}
    config.load(given, FOLDER)
    assert given == {"sweep": "s", "models": {"minilm": None}, "datasets": ["lee_news"]}


def test_layers_count_from_both_ends() -> None:
    model = sweep_of(models={"minilm": {"layers": [-1, 0, 3, 6]}}).models["minilm"]
    assert (model.depth, model.layers) == (6, (0, 3, 6))
    assert sweep_of().models["minilm"].layers == tuple(range(7))
    assert sweep_of(layers=[-7]).models["minilm"].layers == (0,)


def test_pythia_s_154_checkpoints_in_order_of_training() -> None:
    model = sweep_of(models={"pythia-70m": None}).models["pythia-70m"]
    steps = [checkpoint.step for checkpoint in model.checkpoints.values()]
    assert len(steps) == 154
    assert steps == sorted(steps)
    assert list(model.checkpoints)[:3] == ["step0", "step1", "step2"]
    assert model.last_checkpoint.name == "step143000"


def test_a_single_checkpoint_is_final_and_has_no_step() -> None:
    (checkpoint,) = sweep_of().models["minilm"].checkpoints.values()
    assert (checkpoint.name, checkpoint.step) == ("final", None)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("pythia-70m", "pythia-70m"),
        ("EleutherAI/pythia-70m", "EleutherAI--pythia-70m"),
        ("a.b-c_d", "a.b-c_d"),
        ("../../etc", "etc"),
        (".hidden", "hidden"),
        ("a b;rm -rf $HOME", "a--b--rm---rf--HOME"),
        ("日本", "_"),
    ],
)
def test_names_become_safe_paths(name: str, path: str) -> None:
    assert safe(name) == path


def test_a_hub_id_may_be_a_model_s_name() -> None:
    name = "org/my model"
    sweep = sweep_of(models={name: None}, catalog={"models": {name: HUB | {"hub": "org/x"}}})
    assert list(sweep.models) == ["org--my--model"]


def test_two_names_that_become_one_path_are_told() -> None:
    catalog = {"models": {"a/b": HUB | {"hub": "x/y"}, "a--b": HUB | {"hub": "x/y"}}}
    with pytest.raises(ConfigError, match="two names become 'a--b' as a path"):
        sweep_of(models={"a/b": None, "a--b": None}, catalog=catalog)


def test_a_folder_of_checkpoints(tmp_path: Path) -> None:
    for step in (500, 1000):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "config.json").write_text('{"num_hidden_layers": 2, "hidden_size": 8}')
        (folder / "pytorch_model.bin").touch()
    (tmp_path / "checkpoint-1000/tokenizer.json").touch()
    entry = {"path": str(tmp_path), "kind": "causal", "checkpoints": {"pattern": "checkpoint-{}", "steps": [500, 1000]}}
    model = sweep_of(models={"mine": None}, catalog={"models": {"mine": entry}}).models["mine"]
    assert model.depth == 2
    assert model.weights("checkpoint-1000") == tmp_path / "checkpoint-1000"
    assert model.tokenizer == tmp_path / "checkpoint-1000"
    (tmp_path / "checkpoint-500/pytorch_model.bin").unlink()
    with pytest.raises(ConfigError, match=r"catalog\.models\.mine\.path: .*checkpoint-500 holds no weights"):
        sweep_of(models={"mine": None}, catalog={"models": {"mine": entry}})
    chosen = {"checkpoints": ["checkpoint-1000"]}
    assert sweep_of(models={"mine": chosen}, catalog={"models": {"mine": entry}}).models["mine"].depth == 2


def test_clouds_are_models_by_checkpoints_by_datasets() -> None:
    sweep = sweep_of(
        models={"minilm": None, "tiny_neox": {"checkpoints": ["step512", "step0"]}},
        datasets=["lee_news", "film_reviews"],
        tokens={"max_length": 128},
    )
    clouds = [(model.name, checkpoint.name, dataset.name) for model, checkpoint, dataset in sweep.clouds()]
    assert len(clouds) == 2 * (1 + 2)
    assert clouds[2:4] == [("tiny_neox", "step0", "lee_news"), ("tiny_neox", "step0", "film_reviews")]


def staleness(tmp_path: Path, **changes: Any) -> Staleness:
    return Staleness(sweep_of(**changes), PROJECT / "workflow_scripts", Digests(tmp_path / "digests.json"))


CLOUD = {"model": "minilm", "checkpoint": "final", "dataset": "lee_news"}


def test_a_change_goes_down_the_chain_and_not_up(tmp_path: Path) -> None:
    one, two = staleness(tmp_path), staleness(tmp_path, points={"number": 100}, neighbors={"number": 64})
    for rule, names, same in (
        ("sample_tokens", {"model": "minilm", "dataset": "lee_news"}, True),
        ("extract_embeddings", CLOUD, True),
        ("find_neighbors", CLOUD, False),
        ("estimate_dimensions", CLOUD | {"set": "standard"}, False),
        ("collect_estimates", {"scope": "local"}, False),
        ("draw_figure", {"figure": "violins"}, False),
        ("write_report", {}, False),
    ):
        assert (one.signature(rule, **names) == two.signature(rule, **names)) is same, rule


def test_what_does_not_shape_numbers_is_in_no_signature(tmp_path: Path) -> None:
    one = staleness(tmp_path)
    two = staleness(tmp_path, compute={"batch_tokens": 1, "device": "cpu"}, keep_embeddings=True)
    assert one.signature("write_report") == two.signature("write_report")


def test_params_are_settings_and_signature_alone() -> None:
    """Snakemake compares params; a path among them would make results stale in another checkout or environment."""
    for rules in (PROJECT / "rules").glob("*.smk"):
        for block in re.findall(r"^    params:\n((?:        .*\n)+)", rules.read_text(), flags=re.MULTILINE):
            assert re.findall(r"^        (\w+)=", block, flags=re.MULTILINE) == ["settings", "signature"], block


def test_every_rule_has_settings(tmp_path: Path) -> None:
    """A rule whose script or settings are missing would fail only when its job starts."""
    scripts = {path.stem for path in (PROJECT / "workflow_scripts").glob("*.py")}
    methods = {name.removeprefix("_") for name in vars(Staleness) if name.removeprefix("_") in scripts}
    assert methods == scripts
