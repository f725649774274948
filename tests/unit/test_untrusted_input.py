"""What comes from elsewhere is read and never run: weights, models' code, YAML, archives, names, pages."""

from __future__ import annotations

import ast
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from builders.generated_configs import NASTY, SCHEMA
from builders.model_folders import save_adapter, save_neox
from builders.project import PROJECT
from builders.sweeps import complaints_of, graph_of, sweep_of
from docutils.core import publish_parts
from idsweep.config import load as configuration
from idsweep.data.corpora import read_corpus
from idsweep.data.dialogues import fetch_release, utterances
from idsweep.files.parquet import PROVENANCE_KEY, provenance, write_table
from idsweep.models.checkpoints import load_model
from idsweep.models.hub import HubFile, fetch
from idsweep.models.static_vectors import FORMATS, load_vectors
from idsweep.models.tokenizers import load_tokenizer
from idsweep.report.about import write_about
from idsweep.sweep.models import safe
from idsweep.training import fine_tuning
from idsweep.training.unfinished import Unfinished
from idsweep.workflow.heading import heading as heading_of
from jinja2 import Environment
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

LIBRARY = PROJECT / "workflow_scripts"
NEVER_RUN = r"holds more than weights \(posix\.mkdir\), or is damaged\. .* never loaded: get the weights as safetensors"


class Hostile:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder that is there once hostile code was run."""
    return tmp_path / "was run"


@pytest.fixture
def neox(tmp_path: Path) -> Path:
    return save_neox(tmp_path / "neox")


def pickled(trap: Path, neox: Path) -> Path:
    (neox / "model.safetensors").unlink()
    torch.save({"weight": Hostile(trap)}, neox / "pytorch_model.bin")
    return neox


def test_the_trap_works(trap: Path) -> None:
    pickle.loads(pickle.dumps(Hostile(trap)))
    assert trap.exists()


@pytest.mark.parametrize("prefix", [None, "gpt_neox"])
def test_a_pickle_of_weights_runs_nothing(trap: Path, neox: Path, prefix: str | None) -> None:
    with pytest.raises(ValueError, match=NEVER_RUN) as raised:
        load_model(pickled(trap, neox), kind="causal", prefix=prefix)
    assert "weights_only" not in str(raised.value), "torch's advice to run it is passed on"
    assert not trap.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_a_pickle_that_is_no_archive_runs_nothing(trap: Path, neox: Path) -> None:
    (pickled(trap, neox) / "pytorch_model.bin").write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(ValueError, match="holds more than weights, or is damaged"):
        load_model(neox, kind="causal")
    assert not trap.exists()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_a_pickle_of_an_adapter_runs_nothing(trap: Path, neox: Path, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"weight": Hostile(trap)}, adapter / "adapter_model.bin")
    with pytest.raises(ValueError, match=f"adapter cannot be merged .*{NEVER_RUN}"):
        load_model(neox, kind="causal", adapter=adapter)
    assert not trap.exists()


def test_the_state_of_a_training_runs_nothing(trap: Path, tmp_path: Path) -> None:
    with Unfinished(tmp_path / "run", "identity") as unfinished:
        torch.save({"step": Hostile(trap)}, tmp_path / ".run.unfinished" / "state.pt")
        with pytest.raises(
            ValueError, match=rf"state\.pt, from which .* {NEVER_RUN}.*\.run\.unfinished, and the training begins anew"
        ):
            unfinished.state()
    assert not trap.exists()


@pytest.mark.parametrize("format", [None, *FORMATS])
def test_static_vectors_are_never_unpickled(trap: Path, tmp_path: Path, format: str | None) -> None:
    file = tmp_path / "vectors.bin"
    file.write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(ValueError, match=r"vectors\.bin cannot be (read|measured) as"):
        load_vectors(file, format)
    assert not trap.exists()


OWN_CODE = "import os\nos.mkdir({trap!r})\nclass Own: pass\n"


def with_own_code(folder: Path, trap: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(OWN_CODE.format(trap=str(trap)))
    classes = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoTokenizer": ["own.Own", "own.Own"]}
    config = {"model_type": "own", "num_hidden_layers": 1, "hidden_size": 4, "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Own", "auto_map": classes}))
    torch.save({}, folder / "pytorch_model.bin")
    return folder


def test_code_beside_weights_is_not_run_unasked(trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = with_own_code(tmp_path / "model", trap)
    for load in (lambda: load_model(folder, kind="encoder"), lambda: load_tokenizer(folder)):
        with pytest.raises(ValueError, match="`trust_remote_code` is true: read the code, then set it"):
            load()
    assert not trap.exists()
    with pytest.raises(ValueError):
        load_tokenizer(folder, trust_remote_code=True)  # the class is none, but its module is run
    assert trap.exists()


def test_only_the_catalog_opts_in_to_code() -> None:
    defaults = SCHEMA["$defs"]["models"]["additionalProperties"]["properties"]["trust_remote_code"]
    assert defaults["default"] is False
    for kind in ("models", "datasets"):
        catalog = yaml.safe_load((PROJECT / f"config/catalog/{kind}.yaml").read_text())
        assert not [name for name, entry in catalog.items() if entry.get("trust_remote_code")]


CALLS_THAT_RUN = {
    "eval", "exec", "compile", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load", "yaml.full_load",
    "yaml.unsafe_load", "joblib.load", "dill.load", "shelve.open", "subprocess.getoutput", "pandas.read_pickle", "pd.read_pickle",
    "marshal.loads", "KeyedVectors.load", "FastText.load", "Word2Vec.load",
}  # fmt: skip


def test_no_source_runs_what_it_reads() -> None:
    """No shell, no pickle, no unsafe YAML, in the library, the scripts and the rules."""
    found = []
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name, keywords = ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}
            wrong = name in CALLS_THAT_RUN and "yaml.BaseLoader" not in map(
                ast.unparse, node.args
            )  # which makes texts alone
            wrong |= name == "torch.load" and keywords.get("weights_only") != "True"
            wrong |= keywords.get("weights_only") == "False" or keywords.get("allow_pickle", "False") != "False"
            wrong |= keywords.get("shell", "False") != "False"
            wrong |= keywords.get("trust_remote_code") == "True"
            if wrong:
                found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert not found


def test_no_rule_has_a_shell_command() -> None:
    rules = [PROJECT / "Snakefile", *(PROJECT / "rules").glob("*.smk")]
    assert rules
    for path in rules:
        lines = [line.strip() for line in path.read_text().splitlines()]
        assert not [line for line in lines if line.startswith(("shell:", "run:", "shell(", "os.system"))], path.name


@pytest.mark.parametrize(
    "text",
    [
        "title: !!python/object/apply:os.mkdir [TRAP]",
        "title: !!python/object/new:os.mkdir [TRAP]",
        "title: !!python/module:os",
    ],
)
def test_yaml_makes_no_objects(trap: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text.replace("TRAP", str(trap)))
    with pytest.raises(WorkflowError, match="not valid JSON or YAML"):
        load_configfile(file)  # what Snakemake reads a sweep's config with
    with pytest.raises(configuration.ConfigError, match="is not valid YAML"):
        configuration._read_yaml(file)  # what the catalog is read with
    assert not trap.exists()


def test_yaml_of_python_names_is_told(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("sweep: s\nmodels: {minilm: {}}\ntitle: !!python/name:os.system\n")
    (told,) = complaints_of(load_configfile(file))
    assert told.startswith("title: <built-in function system> is not allowed")


def test_yaml_that_holds_itself_is_told(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("sweep: s\nmodels: {minilm: {}}\ncatalog: &all\n  models: {a: *all}\n")
    (told,) = complaints_of(load_configfile(file))
    assert told.startswith("catalog.models.a: it contains itself or too much")


def test_yaml_that_multiplies_is_told(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    file = tmp_path / "sweep.yaml"
    file.write_text("\n".join(["sweep: s", "l0: &l0 [x]", *levels]))
    (told,) = complaints_of(load_configfile(file))
    assert "it contains itself or too much" in told


SWEEP = {"sweep": "s", "models": {"minilm": {"layers": [1]}}, "datasets": ["lee_news"], "figures": {}}
ESTIMATES = [{"estimator": "twonn", "scope": "local"}]


@pytest.mark.parametrize("name", NASTY, ids=lambda name: ascii(name[:20]))
def test_names_of_the_catalog_become_plain_path_parts(name: str) -> None:
    part = safe(name)
    assert part and "/" not in part and not part.startswith((".", "-"))
    assert not set(part) & set("{}*?$;|&<>'\"`\\ \n\t\0~") and part.isprintable()


@pytest.mark.parametrize("name", ["../x", "/x", "~", "a/b", "a\n", "{x}", "$(x)", "-x", ".x", "", "é x", "x" * 201])
def test_names_of_a_sweep_s_own_are_refused_where_they_are_no_file_names(name: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "sweep": {"sweep": name},
        "estimator_sets": {"estimator_sets": {name: ESTIMATES}},
        "estimator_sets.a[0].name": {"estimator_sets": {"a": [ESTIMATES[0] | {"name": name}]}},
        "representations": {"representations": {name: {"layers": [0], "by": "mean"}}},
        "models.minilm.metrics": {"models": {"minilm": {"metrics": {name: "a.csv"}}}},
    }
    for at, change in changes.items():
        told = complaints_of(SWEEP | change)
        assert any(line.startswith(at) for line in told), (at, told)
    assert complaints_of(SWEEP | {"figures": {name or "x": {}}})


HUB = {"hub": "a/b", "kind": "causal", "layers": 2}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"models": {"small": {}, "Small": {}}}, "catalog.models: 'small' and 'Small' differ only in upper and lower case"),
        ({"models": {"long": {}}, "catalog": {"models": {"long": HUB | {"checkpoints": {"x" * 201: 1}}}}}, "is too long for a file, 201"),
        ({"models": {"y" * 201: {}}, "catalog": {"models": {"y" * 201: HUB}}}, "is too long for a file, 201 bytes; expected at most 200"),
        ({"models": {"a": {}}, "catalog": {"models": {"a": HUB | {"checkpoints": {"A": 1, "a": 2}}}}}, "catalog.models.a.checkpoints: 'A' and 'a'"),
        ({"datasets": ["lee_news", "Lee_news"]}, "catalog.datasets: 'lee_news' and 'Lee_news' differ"),
        ({"estimator_sets": {"a": ESTIMATES, "A": [ESTIMATES[0] | {"name": "x"}]}}, "estimator_sets: 'a' and 'A' differ"),
        ({"representations": {"Layer_1": {"layers": [0], "by": "mean"}}}, "representations: 'layer_1' and 'Layer_1' differ"),
        ({"title": "a\0b"}, "title: 'a\\x00b' has the character '\\x00', which no text holds"),
        ({"title": "\ud800"}, "title: '\\ud800' has the character '\\ud800', which no text holds"),
        ({"points": {"seed": 2**63}}, "points.seed: 9223372036854775808 is out of range; whole numbers must be below 2^63"),
        ({"models": {"a": {"checkpoints": "step{0..4000000000/1}"}}}, "are more than 100,000 steps; take a larger stride"),
        ({"points": {"seed": [*range(50)], "noise": [*range(50)]}}, "points: its lists have 2,500 combinations"),
        ({"reference": "x" * 300}, "reference: 'xxx"),
        ({"models": {"minilm": {"metrics": {"f1": "~nobody_here/x.csv"}}}}, "models.minilm.metrics.f1: '~nobody_here/x.csv' cannot be read"),
        ({"models": {"minilm": {"metrics": {"f1": "x" * 300}}}}, "models.minilm.metrics.f1: "),
        ({"estimator_sets": {"a": [ESTIMATES[0] | {"discard_fraction": "x"}]}}, "estimator_sets.a[0].discard_fraction: 'x' is not allowed; expected a number"),
    ],
)  # fmt: skip
def test_what_could_not_be_stored_or_told_apart_is_refused(change: dict[str, Any], told: str) -> None:
    own = {"models": {"small": HUB, "Small": HUB, "a": HUB}, "datasets": {"Lee_news": {"loader": "hub", "hub": "a/b"}}}
    catalog = {kind: own[kind] | change.get("catalog", {}).get(kind, {}) for kind in own}
    assert any(told in line for line in complaints_of({**SWEEP, **change, "catalog": catalog})), told


def test_formulas_are_marked_in_tables_where_a_sweep_says_so(tmp_path: Path) -> None:
    def settings(config: dict[str, Any]) -> dict[str, Any]:
        return graph_of(sweep_of(SWEEP | config), tmp_path).settings("write_csv", table="local")

    assert settings({"csv": {"escape_formulas": True}}) == {"escape_formulas": True}
    assert settings({}) == settings({"csv": {"escape_formulas": False}}) == {}


def test_an_option_of_figures_may_be_null(tmp_path: Path) -> None:
    def signed(options: dict[str, Any]) -> str:
        sweep = sweep_of(SWEEP | {"figures": {"violins": options}})
        return graph_of(sweep, tmp_path).signature("draw_figure", figure="violins")

    assert signed({"models": None, "datasets": None}) == signed({})


def test_a_release_writes_nothing_but_its_table(tmp_path: Path) -> None:
    """Archives are read in memory: what their names say is no path."""
    release = tmp_path / "inner" / "release.zip"
    release.parent.mkdir()
    turn = [{"speaker": "USER", "utterance": "Hi"}]
    with zipfile.ZipFile(release, "w") as packed:
        packed.writestr("../../train/dialogues_001.json", json.dumps([{"dialogue_id": "../x", "turns": turn}]))
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc")
    before = set(tmp_path.rglob("*"))
    assert utterances(release, "sgd")["dialogue"].to_pylist() == ["../x"]
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "/etc/passwd", "jar:http://a"])
def test_a_release_comes_over_http_alone(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not start with http:// or https://"):
        fetch_release(url, tmp_path / "release.zip")
    assert not list(tmp_path.iterdir())


def test_files_of_a_hub_stay_in_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "cached"
    cached.write_bytes(b'{"weight_map": {"a": "../../outside"}}')
    names = (
        "config.json", "../outside.model", "../../tokenizer.json", "/outside.model", "a/../../vocab.txt", "..", "../own.py",
        "tokenizer.json", "model.safetensors.index.json", "../../outside",
    )  # fmt: skip
    offered = {name: HubFile(name, cached.stat().st_size, None, cached) for name in names}
    monkeypatch.setattr("idsweep.models.hub._find_on_hub", lambda *_: ("c" * 40, offered))
    before = {cached}
    commit = fetch("a/b", "main", tmp_path / "to" / "model", weights=False, code=True)
    made = {path.relative_to(tmp_path).as_posix() for path in set(tmp_path.rglob("*")) - before}
    assert commit == "c" * 40
    assert made == {"to", "to/model", "to/model/config.json", "to/model/tokenizer.json", "to/model/commit.txt"}
    with pytest.raises(ValueError, match=r"lacks \.\./\.\./outside, one of the 1 files"):
        fetch("a/b", "main", tmp_path / "to" / "whole")
    assert not (tmp_path.parent / "outside").exists()


def test_provenance_of_a_foreign_file_is_data(trap: Path, tmp_path: Path) -> None:
    table, file = pa.table({"a": [1]}), tmp_path / "foreign.parquet"
    for content in (pickle.dumps(Hostile(trap)), b'!!python/object/apply:os.mkdir ["x"]', b"__import__('os')"):
        pq.write_table(table.replace_schema_metadata({PROVENANCE_KEY: content}), file)
        with pytest.raises(ValueError):
            provenance(file)
    assert not trap.exists()


def test_a_dataset_s_own_script_is_not_run(trap: Path, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "texts.py").write_text(OWN_CODE.format(trap=str(trap)))
    with pytest.raises(ValueError):
        read_corpus({"loader": "hub", "hub": str(folder)})
    assert not trap.exists()


HOSTILE_TEXTS = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "{{ 6 * 7 }}", "`x <javascript:alert(1)>`_", ":raw:`x`",
    ".. raw:: html\n\n   <script>alert(1)</script>", ".. include:: /etc/hostname", "a_ b__ |c| [1]_ *d", "x\n\n.. image:: javascript:alert(1)",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_the_head_of_the_report_is_text(text: str) -> None:
    heading = heading_of({"title": text, "models": {text: None}, "datasets": [text]})
    page = (PROJECT / "report/workflow.rst").read_text(encoding="utf-8")
    snakemake = type("Snakemake", (), {"config": {"heading": heading}})
    rendered = Environment().from_string(page).render(snakemake=snakemake)
    made = publish_parts(rendered, writer="html", settings_overrides={"report_level": 1, "halt_level": 1})["html_body"]
    shown = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert made.count(shown) == 3, made
    assert "<script" not in made and "<a " not in made and "<img" not in made
    assert "42" not in made


def test_the_page_about_a_sweep_is_text(tmp_path: Path) -> None:
    table = pa.table({name: ["<script>alert(1)</script>"] for name in ("model", "checkpoint", "dataset")})
    file, page = tmp_path / "local.parquet", tmp_path / "about.html"
    write_table(file, table, {})
    config = {"title": HOSTILE_TEXTS[1], "catalog": {HOSTILE_TEXTS[0]: None}}
    write_about(page, config=config, versions={"<b>": "<i>"}, command="<u>", tables=[file])
    text = page.read_text(encoding="utf-8")
    assert not [tag for tag in ("<script", "<b>", "<i>", "<u>") if tag in text]


def test_a_training_does_not_go_on_from_a_hostile_state(
    trap: Path, tmp_path: Path, neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from transformers import AutoModelForCausalLM

    def examples(n: int) -> dict[str, Any]:
        return {"input_ids": torch.arange(4) + n, "labels": torch.arange(4) + n}

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    arguments = dict(
        identity="test", checkpoints=[8], steps=8, batch_size=2, gradient_accumulation=1, learning_rate=1e-3, schedule="linear",
        warmup_steps=0, weight_decay=0.0, precision="float32", gradient_clipping=1.0, seed=0, device="cpu", base_name="a/b",
        save=lambda model, folder: folder.mkdir(),
    )  # fmt: skip
    monkeypatch.setattr("idsweep.training.unfinished.SECONDS_BETWEEN_STATES", 0.0)
    stops = SimpleNamespace(left=4)

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        stops.left -= 1
        if not stops.left:
            raise KeyboardInterrupt
        return {"loss": 1.0}

    def train() -> None:
        model = AutoModelForCausalLM.from_pretrained(neox, dtype=torch.float32)
        rows = [examples(n) for n in range(8)]
        fine_tuning.fine_tune(model, None, rows, collate, evaluate, tmp_path / "run", **arguments)

    with pytest.raises(KeyboardInterrupt):
        train()
    (state,) = (tmp_path / ".run.unfinished").glob("state-*")
    for name in ("optimizer.pt", "scheduler.pt", "pytorch_model.bin"):
        kept = (state / name).read_bytes()
        torch.save({"state": Hostile(trap)}, state / name)
        with pytest.raises(ValueError, match=f"from which the training would go on, cannot be read: .*{NEVER_RUN}"):
            train()
        assert not trap.exists()
        (state / name).write_bytes(kept)
