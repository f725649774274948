"""What a plan counts: sizes of models and texts, costs, bounds, and what a page says of them."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import sweeps
from builders.project import PROJECT
from builders.real_models import skip_without_smollm2
from builders.sweeps import NEWS
from idsweep.cli import main
from idsweep.files.benchmarks import usage
from idsweep.planning import measured, profiles
from idsweep.planning.command import open_sweep
from idsweep.planning.jobs import Sizes
from idsweep.planning.models import shape_of
from idsweep.planning.page import page
from idsweep.planning.plan import DELETED, Plan, corrected, plan
from idsweep.sweep.sweep import Sweep

PUBLISHED = {
    "pythia-70m": 70e6,
    "pythia-410m": 405e6,
    "pythia-12b": 11.8e9,
    "bert-base-uncased": 110e6,
    "olmo-1b-hf": 1.18e9,
}


def sweep_of(models: dict[str, Any], datasets: list[str] = ["lee_news"], **given: Any) -> Sweep:  # noqa: B006
    return sweeps.sweep_of(NEWS | {"models": models, "datasets": datasets} | given)


def demo(**changes: Any) -> Sweep:
    given = yaml.safe_load((PROJECT / "config/config.yaml").read_text())
    return sweeps.sweep_of(given | changes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_told_from_the_catalog(name: str) -> None:
    sweep = sweep_of({name: {"layers": [-1]}})
    shape = shape_of(sweep, sweep.models[name])
    assert shape.parameters == pytest.approx(PUBLISHED[name], rel=0.2)
    assert shape.known


def test_models_of_every_source_have_a_shape() -> None:
    text = (PROJECT / "config/experiments/token_embeddings_small.yaml").read_text()
    sweep = sweeps.sweep_of(yaml.safe_load(text))
    shapes = {name: shape_of(sweep, model) for name, model in sweep.models.items()}
    # MiniLM holds 30,522 × 384 token embeddings, 512 × 384 positions and six blocks.
    assert shapes["minilm"].vocabulary == 30_522 and shapes["minilm"].parameters == pytest.approx(22.7e6, rel=0.01)
    assert (shapes["fasttext_gensim"].vocabulary, shapes["fasttext_gensim"].width) == (1762, 10)
    widths = {name: shape.width for name, shape in shapes.items() if name.startswith("small_neox")}
    assert sorted(widths.values()) == [32, 64, 128]


def test_adapters_take_the_disk_of_adapters_alone() -> None:
    shapes = []
    for experiment, name in (("fine_tuning_small", "neox_reviews"), ("fine_tuning_lora_small", "neox_reviews_lora")):
        sweep = sweeps.sweep_of(yaml.safe_load((PROJECT / f"config/experiments/{experiment}.yaml").read_text()))
        shapes.append(shape_of(sweep, sweep.models[name]))
    whole, lora = shapes
    assert lora.files < 0.2 * whole.files and lora.parameters == whole.parameters


def test_adapters_need_memory_for_the_moments_of_adapters_alone() -> None:
    """The plan's largest job is the same training once: without gradients and two moments of all that is frozen."""
    given = yaml.safe_load((PROJECT / "config/experiments/fine_tuning_lora_small.yaml").read_text())
    adapter = sweeps.sweep_of(given)
    del given["catalog"]["models"]["neox_reviews_lora"]["training"]["lora"]
    whole = sweeps.sweep_of(given)
    frozen = (shape := shape_of(adapter, adapter.models["neox_reviews_lora"])).parameters - shape.files / 4
    of_adapter, of_whole = (plan(sweep).memory()["fine_tune_language_model"] for sweep in (adapter, whole))
    assert of_whole - of_adapter == pytest.approx(12 * frozen, rel=0.01)


def test_trainings_cost_by_their_batches_and_by_what_is_evaluated() -> None:
    def seconds(**changes: int) -> float:
        given = yaml.safe_load((PROJECT / "config/experiments/fine_tuning_lora_small.yaml").read_text())
        training = given["catalog"]["models"]["neox_reviews_lora"]["training"]
        training |= {"steps": 4000, "sequences": 40} | changes
        return plan(sweeps.sweep_of(given)).core_seconds()["fine_tune_language_model"]

    assert seconds(gradient_accumulation=4) == pytest.approx(2 * seconds(gradient_accumulation=2), rel=0.1)
    assert seconds(evaluated=1) < seconds(evaluated=40)


def test_texts_are_counted_and_cut() -> None:
    """The demo's news: 300 stories, of which 37,722 tokens are left at 128 each; film reviews: 200 lines, 5,544 tokens."""
    sizes = Sizes(demo())
    minilm = sizes.sweep.models["minilm"]
    for dataset, number, tokens in (("lee_news", 300, 37_722), ("film_reviews", 200, 5_544)):
        assert sizes.texts(minilm, dataset).number == number
        assert 0.7 < sizes.run(minilm, dataset) / tokens < 1.4
        assert sizes.sampled(minilm, dataset) == 4000


def test_masking_runs_a_sequence_for_each_token() -> None:
    models = {"bert-base-uncased": {"layers": [-1]}}
    plain, masked = (Sizes(sweep_of(models, extraction={"masked": on})) for on in (False, True))
    bert = plain.sweep.models["bert-base-uncased"]
    assert masked.run(bert, "lee_news") == pytest.approx(10_000 * plain.length(bert, "lee_news"))
    assert plain.run(bert, "lee_news") == pytest.approx(300 * plain.length(bert, "lee_news"))


def test_float16_halves_hidden_states_and_nothing_else() -> None:
    whole, half = (plan(demo(extraction={"storage": name})).written() for name in ("float32", "float16"))
    assert half.pop("embeddings") == pytest.approx(whole.pop("embeddings") / 2, rel=0.02)
    assert half == whole


def test_layers_that_are_not_stored_cost_nothing() -> None:
    chosen = {"minilm": {"layers": [-1]}}
    every, last = (plan(sweep_of(chosen, extraction={"layers": layers})) for layers in ("all", "measured"))
    for folder in ("embeddings", "neighbors"):
        assert every.written()[folder] == pytest.approx(7 * last.written()[folder], rel=0.01)
    assert every.written()["estimates"] == last.written()["estimates"]


def test_neighbours_grow_with_the_square_of_points() -> None:
    few, many = (
        plan(
            sweep_of({"pythia-70m": None}, ["wikitext-103"], tokens={"number": n, "sequences": n}, points={"number": n})
        )
        for n in (20_000, 40_000)
    )
    grown = many.core_seconds()["find_neighbors"] / few.core_seconds()["find_neighbors"]
    assert 3 < grown < 4


@pytest.mark.slow
def test_the_disk_is_bounded_by_cores_and_by_checkpoint_disk() -> None:
    pythia = open_sweep("pythia")
    one, four = (plan(pythia, cores=cores, checkpoint_disk_gb=100) for cores in (1, 4))
    # The largest file of hidden states: 37 layers of 20,000 vectors of 5,120 float32. As many again may wait for their jobs.
    largest = 2 * 37 * 20_000 * (5120 * 4 + 4)
    assert one.at_once("embeddings") == pytest.approx(largest, rel=1e-3)
    assert four.at_once("embeddings") == pytest.approx(4 * largest, rel=1e-3)
    assert one.checkpoints_at_once() == 100e9
    assert plan(pythia, checkpoint_disk_gb=10).checkpoints_at_once() == pytest.approx(23.8e9)  # one comes alone
    assert plan(pythia).checkpoints_at_once() == pytest.approx(one.download, rel=1e-3)


def test_the_peak_counts_what_is_kept_in_all_and_what_is_deleted_at_one_time() -> None:
    made = plan(open_sweep("pythia"), cores=2, checkpoint_disk_gb=100)
    whole = made.written()
    rest = sum(whole.values()) - whole["embeddings"] - whole["neighbors"] - whole["checkpoints"] + 100e9
    vectors, graphs = made.at_once("embeddings"), made.at_once("neighbors")
    assert made.peak(()) == pytest.approx(rest + vectors + graphs)
    assert made.peak(["neighbors"]) == pytest.approx(rest + vectors + whole["neighbors"])
    assert made.peak(["embeddings", "neighbors"]) == pytest.approx(rest + whole["embeddings"] + whole["neighbors"])
    assert made.peak() == made.peak(["neighbors"])  # as configured
    both = plan(demo(keep_embeddings=False, keep_neighbors=False))
    assert both.peak() == both.peak(()) < both.peak(["neighbors"]) < plan(demo()).peak()


def test_downloads_are_the_catalogs_sizes() -> None:
    sizes = (0.166, 0.375, 0.911, 2.09, 2.93, 5.68, 13.8, 23.8)
    assert plan(open_sweep("pythia")).download == pytest.approx(154 * sum(sizes) * 1e9, rel=1e-3)
    assert plan(demo()).download == 0


def test_a_large_sweep_is_planned_in_seconds() -> None:
    began = time.process_time()
    made = plan(open_sweep("pythia"))
    assert time.process_time() - began < 5
    assert made.number > 10_000


@pytest.mark.parametrize("file", sorted((PROJECT / "config/experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_experiment_has_a_plan(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_smollm2(file.read_text())
    monkeypatch.chdir(PROJECT)
    made = plan(open_sweep(file.stem), cores=2, checkpoint_disk_gb=100)
    assert made.jobs["write_report"] == 1
    assert all(work.cost.cpu > 0 and work.cost.memory > 0 for work in made.work)
    assert made.peak(()) <= made.peak(DELETED)
    assert made.name in page(made)


def test_a_page_tells_what_is_assumed() -> None:
    said = page(plan(open_sweep("pythia"), checkpoint_disk_gb=100))
    assert said.startswith("pythia: ") and " jobs\n" in said
    assert "Texts of wikitext-103, bookcorpus: 128 tokens each" in said
    assert "GPU hours are assumed, not measured: 30 % of an A100" in said
    assert "checkpoint_disk_gb=100" in said
    on_cpu = page(plan(demo(compute={"device": "cpu"})))
    assert "GPU" not in on_cpu and "Texts of" not in on_cpu


def used(folder: Path, **rows: str) -> Path:
    for name, row in rows.items():
        file = folder / "benchmarks/find_neighbors" / f"{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\tmax_rss\tmean_load\tcpu_time\n{row}\n")
    return folder


def test_what_jobs_took_is_read_from_benchmarks(tmp_path: Path) -> None:
    """Snakemake looks at a job of 20 s last after 15 s, at one of 100 s after 75 s, and never at the shortest."""
    rows = {
        "short": "4.0\t100\t50\t2.0",
        "long": "20.0\t300\t50\t9.0",
        "longer": "100.0\t200\t50\t75.0",
        "none": "0.1\tNA\tNA\tNA",
    }
    found = usage(used(tmp_path, **rows))
    assert found == {"find_neighbors": (4, pytest.approx(124.1), pytest.approx(2 + 12 + 100), 300 * 2**20)}
    assert usage(tmp_path / "nothing") == {}


def test_a_plan_is_corrected_by_what_was_measured(tmp_path: Path) -> None:
    made = plan(demo())
    each = made.core_seconds()["find_neighbors"] / made.jobs["find_neighbors"]
    found = usage(used(tmp_path, one=f"14.0\t100\t50\t{3 * each}"))
    after = corrected(made, measured.factors(made, found))
    assert after.core_seconds()["find_neighbors"] == pytest.approx(3 * made.core_seconds()["find_neighbors"])
    assert after.core_seconds()["extract_embeddings"] == made.core_seconds()["extract_embeddings"]


@pytest.mark.parametrize(
    ("text", "cores", "disk"),
    [
        ("cores: 3\nresources: [checkpoint_disk_gb=100, downloads=2]", 3, 100),
        ("cores: 3\nresources: {checkpoint_disk_gb: 5}", 3, 5),
        ("cores: 3\nresources: checkpoint_disk_gb=7 downloads=1", 3, 7),
        ("executor: slurm\njobs: 40\ncores: 2", 40, None),
    ],
)
def test_bounds_come_from_the_profile(tmp_path: Path, text: str, cores: int, disk: float | None) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert profiles.bounds(tmp_path) == (cores, disk)


def test_all_cores_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2})
    assert profiles.bounds(PROJECT / "profiles/local") == (3, 100)


def test_the_command_prints_a_plan(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = str(PROJECT / "profiles/local")
    monkeypatch.chdir(tmp_path)
    assert main(["plan", str(PROJECT / "config/config.yaml"), "--profile", local, "--cores", "3"]) == 0
    assert "hours on 3 cores" in capsys.readouterr().out
    used(tmp_path / "results/demo", one="14.0\t100\t50\t9.0")
    assert main(["plan", "grokking_laptop", "--profile", local, "--measured", str(PROJECT / "config/config.yaml")]) == 0
    corrected_page = capsys.readouterr().out
    assert main(["plan", "grokking_laptop", "--profile", local]) == 0
    assert capsys.readouterr().out != corrected_page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grokking_latop"], "no experiment of that name; the experiments are .*grokking_laptop"),
        (["demo.yaml"], "models.no_such: 'no_such' is not in the catalog"),
        (["list.yaml"], "list.yaml holds no mapping"),
        (["broken.yaml"], "broken.yaml is not valid YAML"),
        (["pythia", "--measured", "grokking_laptop"], "was not run here: results/grokking_laptop holds no benchmarks"),
        (["pythia", "--profile", "nowhere"], "nowhere is not a profile"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.yaml").write_text("sweep: x\nmodels: {no_such: }\ndatasets: [lee_news]\n")
    (tmp_path / "list.yaml").write_text("[1]\n")
    (tmp_path / "broken.yaml").write_text("a: [")
    profile = [] if "--profile" in arguments else ["--profile", str(PROJECT / "profiles/local")]
    assert main(["plan", *arguments, *profile]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_a_new_stage_shows_in_every_sum() -> None:
    made = plan(demo(), cores=2)
    assert isinstance(made, Plan)
    assert made.number == sum(made.jobs.values())
    assert set(made.core_seconds()) == set(made.memory()) == set(made.jobs)
    assert sum(made.written().values()) >= made.peak(DELETED)


def test_a_map_of_the_explorer_takes_one_job_for_each_pass() -> None:
    without, mapped = plan(demo()), plan(demo(explorer_map=True))
    sweep = demo()
    passes = len(list(sweep.passes()))
    assert "project_points" not in without.jobs and mapped.jobs["project_points"] == passes > 1
    assert mapped.jobs == without.jobs | {"project_points": passes}
    assert "project_points" not in plan(demo(explorer=False, explorer_map=True)).jobs
