"""From configuration to sweep: defaults, names that are safe as paths, steps, layers, what each job depends on."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from builders import sweeps
from builders.project import CONFIG, PROJECT
from builders.sweeps import NEWS, complaints_of, graph_of, loaded
from idsweep.config.load import ConfigError, load
from idsweep.models.folders import is_tokenizer_file
from idsweep.planning.page import page
from idsweep.planning.plan import plan
from idsweep.sweep.checks import foreseen
from idsweep.sweep.models import Model, offered_checkpoints, safe
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph
from safetensors.numpy import save_file
from snakemake.utils import update_config

HUB = {"kind": "causal", "layers": 6}


def sweep_of(**changes: Any) -> Sweep:
    return sweeps.sweep_of(NEWS | changes)


def test_defaults_are_filled_in() -> None:
    filled = loaded(NEWS)
    assert filled["tokens"] == {
        "sequences": None,
        "max_length": 512,
        "number": 10000,
        "choose": "random",
        "select": "text",
        "seed": 42,
        "sequence_seed": 778,
    }
    assert filled["points"]["deduplicate"] is True
    assert filled["keep_embeddings"] is False
    assert filled["catalog"]["models"]["minilm"]["kind"] == "encoder"


def test_the_sweep_of_the_page_about_measuring_is_valid() -> None:
    page = (PROJECT / "docs/measure.md").read_text()
    given = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    filled = loaded(given)
    assert given["datasets"] == ["my_text"]
    assert set(given["models"]["pythia-70m"]["checkpoints"]) <= set(
        offered_checkpoints(filled["catalog"]["models"]["pythia-70m"])
    )


def test_what_is_given_is_not_changed() -> None:
    given = {"sweep": "s", "models": {"minilm": None}, "datasets": ["lee_news"]}
    load(given, CONFIG)
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
        ("日本语模型-7b", "日本语模型-7b"),
        ("Модель №1/α", "Модель--№1--α"),
        ("🦙", "🦙"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\u202eb\u3000c\u200d", "a--b--c--"),
        ("/", "_"),
    ],
)
def test_names_become_safe_paths(name: str, path: str) -> None:
    assert safe(name) == path


def test_a_hub_id_may_be_a_model_s_name() -> None:
    name = "org/my model"
    sweep = sweep_of(models={name: None}, catalog={"models": {name: HUB | {"hub": "org/x"}}})
    assert list(sweep.models) == ["org--my--model"]


NAMES = ("模型 一", "μοντέλο/2", "🦙 7b")


def test_tables_and_messages_show_names_as_they_are_written() -> None:
    models = {name: HUB | {"hub": f"x/{i}-{{checkpoint}}", "checkpoints": "step{1}"} for i, name in enumerate(NAMES)}
    news = {"数据 集": {"loader": "text", "path": str(PROJECT / "README.md")}}
    sweep = sweep_of(
        models=dict.fromkeys(NAMES), datasets=["数据 集"], catalog={"models": models, "datasets": news}, figures={}
    )
    graph = JobGraph(sweep)
    assert {model.name for model in sweep.models.values()} == {*NAMES}
    assert [*sweep.models] == ["模型--一", "μοντέλο--2", "🦙--7b"]
    for rule, names in graph.jobs():
        if rule == "estimate_dimensions":
            identity = graph.settings(rule, **dict(names))["identity"]
            assert identity["model"] in NAMES and identity["group"] in NAMES and identity["dataset"] == "数据 集"
            assert dict(names)["model"] in sweep.models, "a part of a path"
    told = complaints_of(NEWS | {"models": {"模型 二": None}, "catalog": {"models": models}})
    assert any("'模型 二'" in line and "模型 一" in line for line in told), told


def test_names_that_no_path_tells_apart_are_both_told() -> None:
    for one, other in (("模 型", "模/型"), ("cafe\u0301", "caf\u00e9"), (" ", "/")):
        catalog = {"models": {one: HUB | {"hub": "x/y"}, other: HUB | {"hub": "x/z"}}}
        (told,) = complaints_of(NEWS | {"models": {one: None, other: None}, "catalog": catalog})
        assert repr(one) in told and repr(other) in told, told
    catalog = {"models": {"ΜΟΝΤΕΛΟ": HUB | {"hub": "x/y"}, "μοντελο": HUB | {"hub": "x/z"}}}
    (told,) = complaints_of(NEWS | {"models": dict.fromkeys(catalog["models"]), "catalog": catalog})
    assert "'ΜΟΝΤΕΛΟ' and 'μοντελο' differ only in upper and lower case" in told
    for blank in ("", " \u3000", "\u200b", "\u202e"):
        (told,) = complaints_of(NEWS | {"models": {blank: None}, "catalog": {"models": {blank: HUB | {"hub": "x/y"}}}})
        assert told == f"catalog.models: the name {blank!a} has no letter that can be seen; give it another one"
    long = "模" * 100
    (told,) = complaints_of(NEWS | {"models": {long: None}, "catalog": {"models": {long: HUB | {"hub": "x/y"}}}})
    assert "is too long for a file, 300 bytes; expected at most 200" in told


def test_two_names_that_become_one_path_are_told() -> None:
    catalog = {"models": {"a/b": HUB | {"hub": "x/y"}, "a--b": HUB | {"hub": "x/y"}}}
    with pytest.raises(ConfigError, match="two names become 'a--b' as a path"):
        sweep_of(models={"a/b": None, "a--b": None}, catalog=catalog)


def model_folder(folder: Path, *, tokenizer: bool = True, adapter: bool = False) -> Path:
    folder.mkdir(parents=True)
    weights = {"weight": np.zeros(1, dtype=np.float32)}
    if adapter:
        (folder / "adapter_config.json").write_text("{}")
        save_file(weights, folder / "adapter_model.safetensors")
        return folder
    (folder / "config.json").write_text(
        '{"num_hidden_layers": 2, "hidden_size": 8, "model_type": "gpt2", "n_positions": 600}'
    )
    save_file(weights, folder / "model.safetensors")
    if tokenizer:
        (folder / "tokenizer.json").touch()
    return folder


def model_of(entry: dict[str, Any], chosen: dict[str, Any] | None = None, **changes: Any) -> Model:
    catalog = {"models": {"mine": entry, **changes.pop("others", {})}}
    return sweep_of(models={"mine": chosen}, catalog=catalog, **changes).models["mine"]


def test_an_adapter_of_another_model_fails_beside_others(tmp_path: Path) -> None:
    for step, of in ((1, "start"), (2, "pythia-70m")):
        folder = model_folder(tmp_path / f"adapters/checkpoint-{step}", adapter=True)
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": of}))
    start = {"start": {"path": str(model_folder(tmp_path / "start")), "kind": "causal"}}
    entry = {"path": str(tmp_path / "adapters"), "kind": "causal", "base": "start", "checkpoints": "checkpoint-{1,2}"}
    assert model_of(entry, {"checkpoints": ["checkpoint-1"]}, others=start).failing == {}
    sweep = sweep_of(models={"mine": None}, catalog={"models": {"mine": entry, **start}})
    assert [*sweep.models["mine"].failing] == ["checkpoint-2"]
    assert "mine @ checkpoint-2: " in foreseen(sweep) and "was trained on pythia-70m, not on start" in foreseen(sweep)


def test_a_folder_of_checkpoints(tmp_path: Path) -> None:
    model_folder(tmp_path / "checkpoint-500", tokenizer=False)
    model_folder(tmp_path / "checkpoint-1000")
    entry = {"path": str(tmp_path), "kind": "causal", "checkpoints": "checkpoint-{500,1000}"}
    model = model_of(entry)
    assert (model.depth, model.positions) == (2, 600)
    assert model.weights("checkpoint-1000") == tmp_path / "checkpoint-1000"
    assert model.tokenizer.folder == tmp_path / "checkpoint-1000"
    (tmp_path / "checkpoint-500/model.safetensors").unlink()
    assert model_of(entry, {"checkpoints": ["checkpoint-1000"]}).failing == {}
    with pytest.raises(ConfigError, match=r"catalog\.models\.mine\.path: .*checkpoint-500 holds no weights"):
        model_of(entry, {"checkpoints": ["checkpoint-500"]})
    shutil.rmtree(tmp_path / "checkpoint-500")
    with pytest.raises(ConfigError, match=r"catalog\.models\.mine\.checkpoints: there is no folder .*checkpoint-500"):
        model_of(entry)


def safetensors_of(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


DEEP = b'{"a":' * 100_000
HEADERS = {
    "no mapping": b"[]",
    "nothing": b"null",
    "nested": DEEP,
    "an entry is no mapping": b'{"w": 1}',
    "no data_offsets": b'{"w": {"dtype": "F32", "shape": [1]}}',
    "data_offsets are no list": b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": 4}}',
    "data_offsets are text": b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": ["0", "4"]}}',
    "one data_offset": b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
    "negative": b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, -4]}}',
    "endless number": b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, ' + b"9" * 5000 + b"]}}",
    "no UTF-8": b"\xff" * 20,
    "cut short": b'{"w": {"dtype"',
}


def write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def link_to_nothing(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("nowhere")

    return make


def replace_by_link(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("nowhere")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    **{f"header: {name}": write("model.safetensors", safetensors_of(text)) for name, text in HEADERS.items()},
    "header that is longer than the file": write("model.safetensors", (2**63).to_bytes(8, "little") + b"{}"),
    "an empty file": write("model.safetensors", b""),
    "a link to no weights": link_to_nothing("model.safetensors"),
    "a link to no config": link_to_nothing("config.json"),
    "a link to no folder": replace_by_link,
    "a config that is nested": write("config.json", DEEP),
    "a config that is no mapping": write("config.json", b"[1]"),
    "a config that is no JSON": write("config.json", b"{"),
    "a config with endless layers": write("config.json", b'{"n_layer": 999999999999, "n_embd": 4}'),
    "a config without layers": write("config.json", b'{"n_layer": true, "n_embd": 4}'),
    "an index that is nested": write("model.safetensors.index.json", DEEP),
    "an index that names no files": write("model.safetensors.index.json", b'{"weight_map": {"a": 1, "b": "c"}}'),
    "an index that is a list": write("model.safetensors.index.json", b"[]"),
    "weights that are a folder": lambda folder: (
        (folder / "model.safetensors").unlink(),
        (folder / "model.safetensors").mkdir(),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", ["first", "last"])
def test_one_bad_checkpoint_of_three_fails_alone(tmp_path: Path, damage: str, which: str) -> None:
    for step in (1, 2, 3):
        model_folder(tmp_path / f"checkpoint-{step}")
    bad = {"first": "checkpoint-1", "last": "checkpoint-3"}[which]
    DAMAGE[damage](tmp_path / bad)
    entry = {"path": str(tmp_path), "kind": "causal", "checkpoints": "checkpoint-{1,2,3}"}
    sweep = sweep_of(models={"mine": None}, catalog={"models": {"mine": entry}}, tokens={"max_length": 128})
    assert list(sweep.models["mine"].checkpoints) == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    assert list(sweep.models["mine"].failing) == [bad]
    assert f"mine @ {bad}: " in foreseen(sweep)
    graph = graph_of(sweep, tmp_path)
    signatures = {
        graph.signature("extract_embeddings", model="mine", checkpoint=name, dataset="lee_news")
        for name in sweep.models["mine"].checkpoints
    }
    assert len(signatures) == 2
    assert f"mine @ {bad}: " in page(plan(sweep))
    entry["checkpoints"] = "checkpoint-*"  # one that a trainer may be writing
    assert len(sweep_of(models={"mine": None}, catalog={"models": {"mine": entry}}).models["mine"].checkpoints) == 2


def test_checkpoints_are_looked_for_when_the_sweep_is_made(tmp_path: Path) -> None:
    """A new folder is a new checkpoint, in order of its step; one that is being written is not there yet."""
    model_folder(tmp_path / "checkpoint-1000")
    model_folder(tmp_path / "checkpoint-best")
    entry = {"path": str(tmp_path), "kind": "causal", "checkpoints": "checkpoint-*"}
    assert [c.step for c in model_of(entry).checkpoints.values()] == [1000]
    model_folder(tmp_path / "checkpoint-500")
    half_written = model_folder(tmp_path / "checkpoint-1500") / "model.safetensors"
    half_written.write_bytes(half_written.read_bytes()[:-1])
    assert [c.step for c in model_of(entry).checkpoints.values()] == [500, 1000]
    with pytest.raises(ConfigError, match=r"mine\.checkpoints: .*no complete checkpoint whose name is 'run-\*'"):
        model_of(entry | {"checkpoints": "run-*"})
    with pytest.raises(ConfigError, match="works only with a local `path`"):
        model_of(HUB | {"hub": "a/b", "checkpoints": "checkpoint-*"})


def test_named_checkpoints_have_the_steps_they_are_given() -> None:
    named = {"stage1-step2-tokens5B": 2, "main": None, "stage1-step1-tokens2B": 1}
    model = model_of(HUB | {"hub": "a/b", "checkpoints": named})
    assert [(c.name, c.step) for c in model.checkpoints.values()] == [
        ("main", None),
        ("stage1-step1-tokens2B", 1),
        ("stage1-step2-tokens5B", 2),
    ]
    assert model.hub("main") == ("a/b", "main")


def test_a_repository_for_each_checkpoint() -> None:
    model = model_of(HUB | {"hub": "a/b-{checkpoint}", "checkpoints": "step{1..4}", "revision": "v1"})
    assert model.hub("step4") == ("a/b-step4", "v1")


def test_a_sweep_chooses_checkpoints_by_a_pattern() -> None:
    chosen = {"checkpoints": "step{0,512,1000..143000/71000}"}
    model = sweep_of(models={"pythia-70m": chosen}).models["pythia-70m"]
    assert [c.step for c in model.checkpoints.values()] == [0, 512, 1000, 72000, 143000]


def test_seeds_are_models_of_their_own() -> None:
    entry = HUB | {"hub": "a/b-{seed}", "seeds": [0, 3]}
    sweep = sweep_of(models={"mine": None}, catalog={"models": {"mine": entry}})
    assert [(m.name, m.seed, m.hub("final")[0]) for m in sweep.models.values()] == [
        ("mine-seed0", 0, "a/b-0"),
        ("mine-seed3", 3, "a/b-3"),
    ]
    assert list(sweep_of(models={"mine": {"seeds": [3]}}, catalog={"models": {"mine": entry}}).models) == ["mine-seed3"]
    with pytest.raises(ConfigError, match=r"models\.mine\.seeds: \[5\] are not offered; allowed: 0, 3"):
        sweep_of(models={"mine": {"seeds": [5]}}, catalog={"models": {"mine": entry}})
    trained = loaded(NEWS)
    trained = trained["catalog"]["models"]["tiny_neox"] | {"seeds": [1, 2]}
    del trained["training"]["seed"]
    twins = sweep_of(models={"twin": None}, catalog={"models": {"twin": trained}}, tokens={"max_length": 128}).models
    assert [model.seed for model in twins.values()] == [1, 2]


def started(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    model_folder(tmp_path / "run/checkpoint-4")
    return {
        "path": str(tmp_path / "run"),
        "kind": "causal",
        "checkpoints": "checkpoint-*",
        "initial": "theirs",
    } | changes


@pytest.mark.parametrize("source", ["path", "hub"])
def test_the_model_that_another_started_from_is_its_step_0(tmp_path: Path, source: str) -> None:
    theirs = {
        "path": {"path": str(model_folder(tmp_path / "theirs")), "kind": "causal", "dtype": "bfloat16"},
        "hub": {"hub": "a/b", "kind": "causal", "layers": 2, "prefix": "inner"},
    }[source]
    catalog = {"models": {"mine": started(tmp_path), "theirs": theirs}}
    sweep = sweep_of(models={"mine": None}, catalog=catalog, tokens={"max_length": 128})
    model = sweep.models["mine"]
    assert [(c.name, c.step) for c in model.checkpoints.values()] == [("initial", 0), ("checkpoint-4", 4)]
    assert list(sweep.models) == ["mine"] and list(sweep.known) == ["mine", "theirs"]
    plain = sweep_of(
        models={"mine": None},
        catalog={"models": {"mine": {k: v for k, v in catalog["models"]["mine"].items() if k != "initial"}}},
        tokens={"max_length": 128},
    )
    passes = {"model": "mine", "dataset": "lee_news"}
    graph, without = (graph_of(one, tmp_path) for one in (sweep, plain))
    names = passes | {"checkpoint": "checkpoint-4"}
    assert graph.signature("extract_embeddings", **names) == without.signature("extract_embeddings", **names)
    settings = graph.settings("extract_embeddings", **passes, checkpoint="initial")
    assert settings["model"]["kind"] == "causal"
    if source == "hub":
        assert settings["source"] == {"hub": "a/b", "revision": "main"} and settings["model"]["prefix"] == "inner"
        assert graph.inputs("extract_embeddings", **passes, checkpoint="initial")["weights"][0].endswith(
            "/theirs/final"
        )
    else:
        assert graph.read("extract_embeddings", **passes, checkpoint="initial")["weights"] == str(tmp_path / "theirs")
    assert plan(sweep)


@pytest.mark.parametrize(
    ("changes", "chosen", "told"),
    [
        (
            {"checkpoints": {"checkpoint-4": 0}},
            {},
            r"mine\.initial: 'checkpoint-4' of `checkpoints` is the first already",
        ),
        ({}, {"checkpoints": ["initial"]}, r"mine\.initial: nothing else of this model is measured; measure theirs"),
        (
            {"initial": "minilm"},
            {},
            r"mine\.initial: minilm has 6 blocks and this model 2, so that it did not start there",
        ),
        ({"initial": "none"}, {}, r"mine\.initial: 'none' is not in the catalog"),
        ({"initial_checkpoint": "step1"}, {}, r"mine\.initial_checkpoint: 'step1' is not a checkpoint of theirs"),
    ],
)
def test_what_cannot_be_step_0_is_told(tmp_path: Path, changes: dict, chosen: dict, told: str) -> None:
    theirs = {"path": str(model_folder(tmp_path / "theirs")), "kind": "causal"}
    catalog = {"models": {"mine": started(tmp_path, **changes), "theirs": theirs}}
    with pytest.raises(ConfigError, match=told):
        sweep_of(models={"mine": chosen}, catalog=catalog, tokens={"max_length": 128})


def test_a_tokenizer_may_lie_beside_the_checkpoints(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "checkpoint-4")
    for file in folder.iterdir():
        if is_tokenizer_file(file.name):
            file.rename(tmp_path / file.name)
    model = model_of({"path": str(tmp_path), "kind": "causal", "checkpoints": "checkpoint-*"})
    assert model.tokenizer.folder == tmp_path


def test_adapters_build_on_a_base_and_take_its_tokenizer(tmp_path: Path) -> None:
    base = {"path": str(model_folder(tmp_path / "base")), "kind": "causal"}
    model_folder(tmp_path / "lora/checkpoint-8", adapter=True)
    entry = {"path": str(tmp_path / "lora"), "kind": "causal", "base": "theirs", "checkpoints": "checkpoint-*"}
    sweep = sweep_of(models={"mine": None}, catalog={"models": {"mine": entry, "theirs": base}})
    model = sweep.models["mine"]
    assert (model.depth, model.tokenizer.name, model.base[0].name) == (2, "theirs", "theirs")
    assert list(sweep.models) == ["mine"] and list(sweep.known) == ["mine", "theirs"]
    with pytest.raises(ConfigError, match=r"mine\.base_checkpoint: .* has 2 checkpoints; name the one"):
        model_of(entry, others={"theirs": HUB | {"hub": "a/b", "checkpoints": "step{1,2}"}})
    (tmp_path / "lora/checkpoint-8/adapter_config.json").unlink()
    (tmp_path / "lora/checkpoint-8/config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no complete checkpoint"):
        model_of(entry, others={"theirs": base})


@pytest.mark.parametrize(
    ("base", "named", "said"),
    [
        ({"hub": "a/right"}, "a/right", None),
        ({"hub": "a/right"}, "b/Right", None),
        ({"hub": "a/right"}, "/models/wrong", None),
        ({"hub": "a/right"}, "a/wrong", "trained on a/wrong, not on a/right. "),
        ({"hub": "a/right"}, "tiny_neox", "trained on tiny_neox, not on a/right. "),
        ({"hub": "a/{checkpoint}", "checkpoints": {"right": None}}, "a/right", None),
        ({"path": "local"}, "a/right", None),
        ({"path": "local"}, "theirs", None),
        ({"path": "local"}, "tiny_neox", "trained on tiny_neox, not on theirs. Give its entry in the catalog that model as `base`"),
    ],
)  # fmt: skip
def test_adapters_that_were_trained_on_another_model_are_told(
    tmp_path: Path, base: dict[str, Any], named: str, said: str | None
) -> None:
    if "path" in base:
        base = {"path": str(model_folder(tmp_path / "local"))}
    folder = model_folder(tmp_path / "lora", adapter=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": named}))
    entry = {"path": str(folder), "kind": "causal", "base": "theirs"}
    others = {"theirs": {"kind": "causal"} | ({"layers": 2} if "hub" in base else {}) | base}
    if said is None:
        assert model_of(entry, others=others).base[0].name == "theirs"
        return
    with pytest.raises(ConfigError, match=re.escape(f"mine.base: {folder}: the adapter was {said}")):
        model_of(entry, others=others)


def test_models_share_a_tokenizer_where_they_say_so() -> None:
    sweep = sweep_of(models={"pythia-70m": None, "pythia-160m": None})
    assert list(sweep.tokenizers()) == ["pythia-70m"]
    alone = sweep_of(models={"pythia-160m": None})
    assert alone.models["pythia-160m"].tokenizer.owner["hub"] == "EleutherAI/pythia-70m"
    with pytest.raises(ConfigError, match=r"mine\.tokenizer\.of: 'pythia-160m' has no tokenizer of its own"):
        model_of(HUB | {"hub": "a/b", "tokenizer": {"of": "pythia-160m"}})
    with pytest.raises(ConfigError, match=r"mine\.tokenizer: a shared tokenizer has the options of .*: max_length"):
        model_of(HUB | {"hub": "a/b", "tokenizer": {"of": "pythia-70m", "max_length": 8}})


def test_the_static_vectors_of_the_paper_are_one_file_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake merges the files of --configfile in their order, as here."""
    both = {}
    for file in ("token_embeddings.yaml", "with/static_vectors.yaml"):
        update_config(both, yaml.safe_load((PROJECT / "config/experiments" / file).read_text()))
    complaints = sweeps.complaints_of(both)
    assert len(complaints) == 3 and all("vectors/" in complaint for complaint in complaints)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectors").mkdir()
    for complaint in complaints:
        Path(complaint.split(": ")[1].removesuffix(" is not a file")).write_text("1 300\na " + "0 " * 300 + "\n")
    static = [model for model in sweeps.sweep_of(both).models.values() if model.kind == "static"]
    assert len(static) == 3


def test_static_vectors_have_a_vocabulary_and_no_layers(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("a 1 2\n")
    entry = {"path": str(tmp_path / "v.txt"), "kind": "static"}
    given = {"models": {"mine": None}, "datasets": [], "figures": {}, "catalog": {"models": {"mine": entry}}}
    sweep = sweep_of(**given)
    assert [(m.name, c.name, d) for m, c, d in sweep.passes()] == [("mine", "final", "vocabulary")]
    assert sweep.models["mine"].representations("vocabulary") == ["input_embeddings"]
    with pytest.raises(ConfigError, match="no model of this sweep reads text"):
        sweep_of(**given | {"datasets": ["lee_news"]})
    with pytest.raises(ConfigError, match=r"figures: dynamics, .* set `figures: \{\}`"):
        sweep_of(**{key: value for key, value in given.items() if key != "figures"})
    with pytest.raises(ConfigError, match="static vectors are a local file"):
        model_of(HUB | {"hub": "a/b", "kind": "static"})
    with pytest.raises(ConfigError, match="static vectors have no prefix"):
        model_of(entry | {"prefix": "x"})


def test_embedding_matrices_and_combinations_of_layers() -> None:
    combined = {"last_two": {"layers": [-2, -1], "by": "mean"}}
    sweep = sweep_of(models={"minilm": {"layers": [-1, "input_embeddings"]}}, representations=combined)
    model = sweep.models["minilm"]
    assert model.representations("lee_news") == ["layer_6", "last_two"]
    assert model.combinations["last_two"] == ((5, 6), "mean")
    assert [dataset for *_, dataset in sweep.passes()] == ["lee_news", "vocabulary"]
    with pytest.raises(ConfigError, match=r"representations\.last_two\.layers\[0\]: 9 is not a layer of minilm"):
        sweep_of(representations={"last_two": {"layers": [9], "by": "mean"}})
    with pytest.raises(ConfigError, match=r"representations\.layer_1: this name is taken"):
        sweep_of(representations={"layer_1": {"layers": [0], "by": "mean"}})


def test_another_split_of_a_dataset() -> None:
    dataset = sweep_of(datasets=["wikitext-103:test"]).datasets["wikitext-103--test"]
    assert dataset.entry["split"] == "test"
    assert sweep_of(datasets=["wikitext-103"]).datasets["wikitext-103"].entry["split"] == "train"


def test_masked_needs_a_masked_model() -> None:
    with pytest.raises(ConfigError, match=r"extraction\.masked: no model of this sweep is of kind `masked`"):
        sweep_of(extraction={"masked": True})
    sweep = sweep_of(models={"minilm": None, "roberta-base": None}, extraction={"masked": True})
    assert [sweep.masks(model) for model in sweep.models.values()] == [False, True]
    assert [sweep.has_losses(model) for model in sweep.models.values()] == [False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tokens": {"select": "mean"}, "extraction": {"masked": True}, "models": {"roberta-base": None}},
            "tokens.select: a mean over a sequence has no token to mask",
        ),
        ({"tokens": {"select": "classes"}}, "tokens.classes: name at least one"),
        ({"tokens": {"select": "classes", "classes": ["B-*"]}}, "tokens.select: lee_news has no classes"),
        (
            {
                "datasets": ["endless"],
                "catalog": {"datasets": {"endless": {"loader": "hub", "hub": "a/b", "streaming": True}}},
            },
            "tokens.sequences: a number is needed, because endless is streamed",
        ),
    ],
)
def test_tokens_that_cannot_be_sampled_are_told_before_anything_runs(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        sweep_of(**changes)


def test_how_weights_are_loaded_is_said_by_the_sweep_the_entry_and_its_base() -> None:
    base = HUB | {
        "hub": "a/b",
        "dtype": "bfloat16",
        "attention": "eager",
        "prefix": "roberta",
        "trust_remote_code": True,
    }
    entry = {"hub": "a/c", "kind": "causal", "base": "theirs"}
    said_by_base = {"dtype": "bfloat16", "attention": "eager", "prefix": "roberta", "trust_remote_code": True}
    own = model_of(entry, others={"theirs": base})
    assert own.loading("auto") == {"kind": "causal", "layers": 6} | said_by_base
    assert own.loading("float32")["dtype"] == "float32"
    assert model_of(entry | {"dtype": "float16"}, others={"theirs": base}).loading("auto")["dtype"] == "float16"
    assert sweep_of().models["minilm"].loading("auto")["dtype"] == "auto"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "the same weights under several seeds": ({"seeds": [0, 1]}, ".seeds: all seeds would have the same weights"),
    "a seed without seeds": ({"hub": "a/{seed}"}, ".hub: {seed} is filled in from `seeds`, which this entry lacks"),
    "a checkpoint without checkpoints": (
        {"hub": "a/{checkpoint}"},
        ".hub: {checkpoint} is filled in from `checkpoints`",
    ),
    "an unknown placeholder": ({"hub": "a/{step}"}, ".hub: {step} is not known here"),
    "training of a hub model": (
        {"training": {"dataset": "lee_news", "steps": 1}},
        ".training: this key is only for models that",
    ),
    "a vocabulary's size on the hub": (
        {"tokenizer": {"vocabulary_size": 300}},
        "only tokenizers of models with `train`",
    ),
    "a base's checkpoint without base": (
        {"base_checkpoint": "step1"},
        ".base_checkpoint: this key is only for adapters on a `base`",
    ),
    "a prefix of adapters": ({"base": "minilm", "prefix": "x"}, ".prefix: this key is taken from the `base`"),
    "a tokenizer of adapters": (
        {"base": "minilm", "tokenizer": {"max_length": 9}},
        ".tokenizer: this key is taken from",
    ),
    "code of adapters": ({"base": "minilm", "trust_remote_code": True}, ".trust_remote_code: this key is taken from"),
    "lost zeros": ({"checkpoints": "step{001,010}"}, "the zeros before 001 would be lost"),
    "a mapping with numbers for names": (
        {"checkpoints": {1000: 1000}},
        "checkpoints: the key 1000 is not text; put it in quotes",
    ),
    "two checkpoints of one path": (
        {"checkpoints": {"a/b": 1, "a--b": 2}},
        "checkpoints: two names become the same path",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_entry_that_would_not_do_what_it_says_is_told(case: str) -> None:
    changes, message = WRONG[case]
    with pytest.raises(ConfigError, match=re.escape(message)):
        model_of(HUB | {"hub": "a/b"} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": ["lee_news:test"]}, "catalog.datasets.lee_news: it is one file or folder without splits"),
        ({"datasets": ["lee_news:"]}, "datasets[0]: 'lee_news:' is not in the catalog"),
        (
            {"models": {"minilm": {"layers": [0, "output_embeddings"]}}},
            "minilm is of kind 'encoder' and has no output_embeddings",
        ),
        ({"representations": {"last": {"layers": [0, 0, -7], "by": "mean"}}}, "names a layer of minilm twice"),
        ({"tokens": {"classes": ["B-*"]}}, "tokens.classes: this key is only for `select: classes`"),
        ({"figures": {"violins": {"models": 3}}}, "figures.violins.models: 3 is of the wrong type; expected a list"),
        ({"points": {"noise": float("nan")}}, "points.noise: nan is not allowed"),
        ({"sweep": "mini\n"}, "sweep: 'mini\\n' is not allowed"),
    ],
)
def test_what_would_be_measured_under_a_wrong_name_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        sweep_of(**changes)


def test_no_path_is_shared_by_two_models_tokenizers_or_texts() -> None:
    one, two = (HUB | {"hub": name} for name in ("x/one", "x/two"))
    told = "two names become 'a--b' as a path"
    for entry in ({"hub": "x/lora", "kind": "causal", "base": "a/b"}, HUB | {"hub": "y", "tokenizer": {"of": "a/b"}}):
        with pytest.raises(ConfigError, match=told):
            sweep_of(models={"a--b": None, "mine": None}, catalog={"models": {"a--b": one, "a/b": two, "mine": entry}})
    texts = {name: {"loader": "parquet", "release": "sgd", "url": f"https://x.org/{name}"} for name in ("a/b", "a--b")}
    with pytest.raises(ConfigError, match=told):
        sweep_of(datasets=["a/b:test", "a--b"], catalog={"datasets": texts})


def test_a_tokenizer_does_not_depend_on_which_checkpoints_are_measured(tmp_path: Path) -> None:
    for step in (1, 2):
        model_folder(tmp_path / f"checkpoint-{step}")
    entry = {"path": str(tmp_path), "kind": "causal", "checkpoints": "checkpoint-*"}
    assert model_of(entry, {"checkpoints": ["checkpoint-2"]}).tokenizer.folder == tmp_path / "checkpoint-1"


def test_adapters_on_a_base_that_shares_a_tokenizer() -> None:
    entry = {"hub": "x/lora", "kind": "causal", "base": "pythia-160m", "base_checkpoint": "step512"}
    assert model_of(entry).tokenizer.name == "pythia-70m"


def test_a_model_that_is_trained_on_another_entry_s_tokenizer() -> None:
    trained = loaded(NEWS)["catalog"]["models"]["tiny_neox"]
    given = {"models": {"mine": None}, "tokens": {"max_length": 128}}
    sweep = sweep_of(**given, catalog={"models": {"mine": trained | {"tokenizer": {"of": "tiny_neox"}}}})
    assert (list(sweep.known), list(sweep.corpora)) == (["mine"], ["lee_news"])
    assert sweep.tokenizers()["tiny_neox"].source == "train"
    other = {"loader": "json", "path": str(CONFIG / "schema.yaml"), "streaming": True}
    catalog = {
        "models": {"mine": trained | {"training": trained["training"] | {"dataset": "other"}}},
        "datasets": {"other": other},
    }
    with pytest.raises(ConfigError, match="other is streamed, but all of its texts are needed here"):
        sweep_of(**given, catalog=catalog)


def test_passes_are_models_by_checkpoints_by_datasets() -> None:
    sweep = sweep_of(
        models={"minilm": None, "tiny_neox": {"checkpoints": ["step512", "step0"]}},
        datasets=["lee_news", "film_reviews"],
        tokens={"max_length": 128},
    )
    passes = [(model.name, checkpoint.name, dataset) for model, checkpoint, dataset in sweep.passes()]
    assert len(passes) == 2 * (1 + 2)
    assert passes[2:4] == [("tiny_neox", "step0", "lee_news"), ("tiny_neox", "step0", "film_reviews")]


def graph(tmp_path: Path, **changes: Any) -> JobGraph:
    return graph_of(sweep_of(**changes), tmp_path)


CLOUD = {"model": "minilm", "checkpoint": "final", "dataset": "lee_news"}


def test_a_change_goes_down_the_chain_and_not_up(tmp_path: Path) -> None:
    one, two = graph(tmp_path), graph(tmp_path, points={"number": 100}, neighbors={"number": 64})
    for rule, names, same in (
        ("sample_tokens", {"tokenizer": "minilm", "dataset": "lee_news"}, True),
        ("extract_embeddings", CLOUD, True),
        ("find_neighbors", CLOUD | {"cloud": "points"}, False),
        ("estimate_dimensions", CLOUD | {"cloud": "points", "part": "standard", "layers": "layers_0-6"}, False),
        ("collect_estimates", {}, False),
        ("draw_figure", {"figure": "violins"}, False),
        ("write_report", {}, False),
    ):
        assert (one.signature(rule, **names) == two.signature(rule, **names)) is same, rule


def test_names_in_options_of_figures_are_those_of_tables(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("a 1 2\n")
    entry = {"path": str(tmp_path / "v.txt"), "kind": "static"}
    changes: dict[str, Any] = {
        "models": {"mine": None, "minilm": {"layers": ["input_embeddings"]}},
        "datasets": [],
        "catalog": {"models": {"mine": entry}},
    }
    for options, static in ((None, ["mine"]), ({"static": ["minilm"]}, ["minilm"])):
        made = graph(tmp_path, figures={"redundancy": options}, **changes)
        assert made.settings("draw_figure", figure="redundancy")["options"] == {"static": static}


def test_what_does_not_shape_numbers_is_in_no_signature(tmp_path: Path) -> None:
    one = graph(tmp_path)
    two = graph(tmp_path, compute={"batch_tokens": 1, "device": "cpu"}, keep_embeddings=True)
    assert one.signature("write_report") == two.signature("write_report")


def test_params_are_settings_and_signature_alone() -> None:
    """Snakemake compares params; a path among them would make results stale in another checkout or environment."""
    for rules in (PROJECT / "rules").glob("*.smk"):
        for block in re.findall(r"^    params:\n((?:        .*\n)+)", rules.read_text(), flags=re.MULTILINE):
            assert re.findall(r"^        (\w+)=", block, flags=re.MULTILINE) == ["settings", "signature"], block


def test_every_rule_has_settings(tmp_path: Path) -> None:
    """A rule whose script or settings are missing would fail only when its job starts."""
    scripts = {path.stem for path in (PROJECT / "workflow_scripts").glob("*.py")}
    methods = {name.removeprefix("_") for name in vars(JobGraph) if name.removeprefix("_") in scripts}
    assert methods == scripts


def changed(one: JobGraph, two: JobGraph, rule: str, **names: str) -> bool:
    return one.signature(rule, **names) != two.signature(rule, **names)


def test_what_is_compared_with_makes_no_estimate_stale(tmp_path: Path) -> None:
    """Published values and brought metrics stand beside the tables of estimates."""
    (tmp_path / "m.csv").write_text("step,value\n0,1\n")
    (tmp_path / "r.csv").write_text("model,quantity,step,value\nminilm,local_dimension,0,5\n")
    one = graph(tmp_path)
    chosen = {"minilm": {"metrics": {"f1": str(tmp_path / "m.csv")}}}
    two = graph(tmp_path, models=chosen, reference=str(tmp_path / "r.csv"))
    assert not changed(one, two, "collect_estimates")
    assert changed(one, two, "collect_reference") and changed(one, two, "collect_training")
    assert changed(one, graph(tmp_path, models={"minilm": {"layers": [0]}}), "collect_estimates")


def test_files_names_count_where_they_decide(tmp_path: Path) -> None:
    """A release tells splits by the names of its files; a folder's texts can be chosen by theirs."""
    dialogue = '[{"dialogue_id": "1", "turns": [{"speaker": "USER", "utterance": "Hi"}]}]'
    for split, text in (("train", dialogue), ("dev", dialogue.replace("Hi", "Ho"))):
        (tmp_path / "sgd" / split).mkdir(parents=True)
        (tmp_path / "sgd" / split / "dialogues_001.json").write_text(text)
    for name in ("a", "b"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / f"{name}.txt").write_text(name)
    datasets = {
        "talk": {"loader": "parquet", "release": "sgd", "path": str(tmp_path / "sgd")},
        "one": {"loader": "folder", "path": str(tmp_path / "folder"), "where": {"file": "b.txt"}},
        "all": {"loader": "folder", "path": str(tmp_path / "folder")},
    }
    given = {"datasets": list(datasets), "catalog": {"datasets": datasets}}
    before = graph(tmp_path, **given)
    before.signature("write_report")
    train, dev = (tmp_path / "sgd" / split / "dialogues_001.json" for split in ("train", "dev"))
    old = train.read_text()
    train.write_text(dev.read_text())
    dev.write_text(old)
    (tmp_path / "folder/b.txt").rename(tmp_path / "folder/c.txt")
    after = graph(tmp_path, **given)
    assert changed(before, after, "prepare_dataset", release="talk")
    for dataset, expected in (("talk", True), ("one", True), ("all", False)):
        assert changed(before, after, "sample_tokens", tokenizer="minilm", dataset=dataset) is expected, dataset


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"size_gb": 3.0, "width": 16}, set()),
        ({"tokenizer": {"padding_side": "left"}}, set()),
        ({"tokenizer": {"truncation_side": "left"}}, {"sample_tokens", "sample_vocabulary", "extract_embeddings"}),
        ({"attention": "eager"}, {"extract_embeddings"}),
        ({"dtype": "float16"}, {"extract_embeddings", "extract_vocabulary"}),
        ({"prefix": "x"}, {"extract_embeddings", "extract_vocabulary"}),
    ],
)
def test_keys_of_an_entry_make_stale_what_they_shape(tmp_path: Path, change: dict[str, Any], stale: set[str]) -> None:
    entry = HUB | {"hub": "a/b"}
    chosen = {"mine": {"layers": [0, "input_embeddings"]}}
    one, two = (graph(tmp_path, models=chosen, catalog={"models": {"mine": entry | more}}) for more in ({}, change))
    at = {"model": "mine", "checkpoint": "final"}
    jobs = {
        "fetch_checkpoint": at,
        "sample_tokens": {"tokenizer": "mine", "dataset": "lee_news"},
        "sample_vocabulary": {"tokenizer": "mine"},
        "extract_embeddings": {**at, "dataset": "lee_news"},
        "extract_vocabulary": at,
    }
    expected = stale | ({"extract_vocabulary"} if "sample_vocabulary" in stale else set())
    assert {rule for rule, names in jobs.items() if changed(one, two, rule, **names)} == expected
    assert changed(one, two, "collect_estimates") is bool(stale)


def test_the_type_that_vectors_are_stored_as_makes_them_stale(tmp_path: Path) -> None:
    chosen = {"minilm": {"layers": [0, "input_embeddings"]}}
    one, two = (graph(tmp_path, models=chosen, extraction={"storage": name}) for name in ("float32", "float16"))
    at = {"model": "minilm", "checkpoint": "final"}
    assert changed(one, two, "extract_embeddings", **at, dataset="lee_news")
    assert changed(one, two, "extract_vocabulary", **at)
    assert not changed(one, two, "sample_tokens", tokenizer="minilm", dataset="lee_news")
