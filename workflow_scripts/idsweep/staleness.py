"""The settings and the signature of every job: what shapes its numbers, and whether they are still current.

One method for each rule of that name returns what the rule's own settings are and which jobs it
reads from. Adding a parameter that shapes numbers means adding it to one of these dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from idsweep import config, corpora, model_files
from idsweep.estimators import registry as estimators
from idsweep.figures import registry as figures
from idsweep.models import Model, Tokenizer, offered_checkpoints, safe
from idsweep.representations import VOCABULARY
from idsweep.signature import Digests, code_of, signature
from idsweep.sweep import PARTS, Dataset, Sweep

# Keys of a catalog entry that change no number: places, and what serves planning.
SHAPES_NOTHING = ("package", "path", "size_gb", "width")
MADE_BY = {
    "local": "collect_estimates",
    "global": "collect_estimates",
    "training": "collect_training",
    "reference": "collect_reference",
    "events": "detect_events",
    "leads": "detect_events",
    "correlations": "detect_events",
}


class Job(NamedTuple):
    """What decides about one job: its settings, registry modules it loads, and the jobs it reads."""

    settings: Mapping[str, Any]
    upstream: Iterable[str] = ()
    modules: tuple[str, ...] = ()


class Staleness:
    """Settings and signatures of the jobs of one sweep; every answer is computed once."""

    def __init__(self, sweep: Sweep, scripts: Path, digests: Digests) -> None:
        self._sweep = sweep
        self._scripts = scripts
        self._digests = digests
        self._job = cache(self._describe)
        self._signature = cache(self._sign)

    def settings(self, rule: str, **names: str) -> Mapping[str, Any]:
        """What shapes the numbers of one job of `rule`, as plain JSON values."""
        return self._job(rule, tuple(sorted(names.items()))).settings

    def signature(self, rule: str, **names: str) -> str:
        """The signature of one job of `rule`."""
        return self._signature(rule, tuple(sorted(names.items())))

    def _describe(self, rule: str, names: tuple[tuple[str, str], ...]) -> Job:
        return getattr(self, f"_{rule}")(**dict(names))

    def _sign(self, rule: str, names: tuple[tuple[str, str], ...]) -> str:
        job = self._job(rule, names)
        return signature(job.settings, code_of(self._scripts / f"{rule}.py", job.modules), job.upstream)

    def _prepare_dataset(self, release: str) -> Job:
        corpus = self._sweep.releases()[release]
        settings = {"release": corpus.entry["release"], "url": corpus.entry.get("url")}
        if corpus.file is not None:
            inside = [corpus.file] if corpus.file.is_file() else filter(Path.is_file, corpus.file.rglob("*"))
            names = {path: str(path.relative_to(corpus.file)) for path in inside}  # files' names decide about splits
            settings["content"] = {name: self._digests.one(path) for path, name in names.items()}
        return Job(settings)

    def _train_tokenizer(self, tokenizer: str) -> Job:
        owner = self._sweep.tokenizers()[tokenizer].owner
        corpus = self._sweep.training_corpus(owner)
        settings = {
            "texts": self._training_texts(owner),
            "vocabulary_size": owner["tokenizer"]["vocabulary_size"],
            "mask": "masking" in owner["training"],
        }
        return Job(settings, self._preparation(corpus))

    def _write_tokenizer(self, tokenizer: str) -> Job:
        corpus = self._sweep.training_corpus(self._sweep.tokenizers()[tokenizer].owner)
        return Job({"entry": corpora.reading(corpus.entry)})

    def _train_language_model(self, model: str) -> Job:
        row = self._sweep.known[model]
        made_with, upstream = self._tokenizer(row.tokenizer)
        settings = {"tokenizer": made_with, "texts": self._training_texts(row.entry), **self._training(row)}
        return Job(settings, [*upstream, *self._preparation(self._sweep.training_corpus(row.entry))])

    def _train_grokking(self, model: str) -> Job:
        row = self._sweep.known[model]
        made_with, upstream = self._tokenizer(row.tokenizer)
        texts = self._training_texts(row.entry)
        return Job({"tokenizer": made_with, "texts": texts, **self._training(row)}, upstream)

    def _training(self, model: Model) -> dict[str, Any]:
        training = model.entry["training"]
        elsewhere = {"dataset", "validation_fraction", "fraction"}  # in the texts
        if training.get("initialization") == "transformers":
            elsewhere.add("embedding_std")
        return {
            "architecture": model.entry["architecture"],
            "training": {key: value for key, value in training.items() if key not in elsewhere},
            "checkpoints": [checkpoint.step for checkpoint in offered_checkpoints(model.entry).values()],
        }

    def _fetch_tokenizer(self, tokenizer: str) -> Job:
        owner = self._sweep.tokenizers()[tokenizer].owner
        hub, revision = owner["hub"], owner["revision"]
        if "{" in hub:  # one repository for each checkpoint: the last one's
            hub = hub.replace("{checkpoint}", list(offered_checkpoints(owner))[-1])
        return Job({"hub": hub, "revision": revision, "code": owner["trust_remote_code"]})

    def _fetch_checkpoint(self, model: str, checkpoint: str) -> Job:
        row = self._sweep.known[model]
        hub, revision = row.hub(checkpoint)
        options = {"code": row.entry["trust_remote_code"], "adapter": row.base is not None}
        return Job({"hub": hub, "revision": revision, "options": options})

    def _sample_tokens(self, tokenizer: str, dataset: str) -> Job:
        made_with = self._sweep.tokenizers()[tokenizer]
        corpus = self._sweep.corpus(dataset, made_with.owner)
        tokens = dict(self._sweep.config["tokens"])
        tokens |= {key: made_with.options[key] for key in ("max_length",) if key in made_with.options}
        if tokens["choose"] == "first":
            tokens.pop("sequence_seed")
        settings, upstream = self._tokenizer(made_with)
        settings |= {"texts": self._texts(corpus), "tokens": tokens}
        if dataset in PARTS:
            of_training = self._training_texts(made_with.owner)
            share = "trained_fraction" if made_with.owner["train"] == "grokking" else "held_out_fraction"
            settings["part"] = {"name": PARTS[dataset], "seed": of_training["seed"], share: of_training["fraction"]}
        modules = ("idsweep.equations",) if corpus.entry["loader"] == "equations" else ()
        return Job(settings, [*upstream, *self._preparation(corpus)], modules)

    def _sample_vocabulary(self, tokenizer: str) -> Job:
        made_with = self._sweep.tokenizers()[tokenizer]
        settings, upstream = self._tokenizer(made_with)
        settings["vocabulary"] = self._sweep.config["vocabulary"]
        return Job(settings, upstream, self._static_modules(made_with.owner))

    def _tokenizer(self, tokenizer: Tokenizer) -> tuple[dict[str, Any], list[str]]:
        """What of a tokenizer shapes the tokens, and the jobs that make it."""
        if tokenizer.owner["kind"] == "static":
            return {"vectors": self._static(tokenizer.owner, tokenizer.folder)}, []
        trusted = tokenizer.owner["trust_remote_code"]
        options = {
            key: tokenizer.options[key] for key in ("prefix_space", "truncation_side") if key in tokenizer.options
        }
        settings: dict[str, Any] = {"options": options | {"trust_remote_code": trusted}}
        if tokenizer.folder is None:
            return settings, [self.signature(tokenizer.made_by, tokenizer=tokenizer.name)]
        settings["files"] = self._digests.of(model_files.tokenizer_files(tokenizer.folder, trusted))
        settings["identity"] = model_files.tokenizer_identity(tokenizer.folder)
        return settings, []

    def _static(self, entry: Mapping[str, Any], file: Path) -> dict[str, Any]:
        return {"content": self._digests.one(file), "format": entry.get("format"), "endings": "".join(file.suffixes)}

    def _static_modules(self, entry: Mapping[str, Any]) -> tuple[str, ...]:
        return ("idsweep.static_vectors",) if entry["kind"] == "static" else ()

    def _extract_embeddings(self, model: str, checkpoint: str, dataset: str) -> Job:
        row = self._sweep.models[model]
        settings, upstream, modules = self._loaded(row, checkpoint)
        of_pass: dict[str, Any] = {"masked": self._sweep.masks(row), "losses": self._sweep.has_losses(row)}
        if self._sweep.config["extraction"]["layers"] == "measured":
            of_pass["layers"] = sorted({*row.layers, *(i for c in row.combinations.values() for i in c.layers)})
        sampled = self.signature("sample_tokens", tokenizer=row.tokenizer.name, dataset=dataset)
        if of_pass["masked"]:
            settings["mask"] = {"trust_remote_code": row.tokenizer.owner["trust_remote_code"]}
        return Job(settings | {"pass": of_pass}, [sampled, *upstream], modules)

    def _extract_vocabulary(self, model: str, checkpoint: str) -> Job:
        row = self._sweep.models[model]
        sampled = self.signature("sample_vocabulary", tokenizer=row.tokenizer.name)
        if row.kind == "static":
            settings = {"vectors": self._static(row.entry, row.folder), "matrices": row.matrices}
            return Job(settings, [sampled], self._static_modules(row.entry))
        settings, upstream, modules = self._loaded(row, checkpoint)
        settings["model"].pop("attention", None)  # there is no forward pass
        return Job(settings | {"matrices": row.matrices}, [sampled, *upstream], modules)

    def _loaded(self, model: Model, checkpoint: str) -> tuple[dict[str, Any], list[str], tuple[str, ...]]:
        """How a checkpoint is loaded and what it is made of, the jobs that make it, and modules that are loaded by name."""
        source, upstream = self._weights(model, checkpoint)
        settings = {"model": model.loading(self._sweep.config["extraction"]["dtype"]), "source": source}
        if model.base is None:
            return settings, upstream, ()
        settings["base"], of_base = self._weights(model.base[0], model.base[1].name)
        return settings, [*upstream, *of_base], ("idsweep.adapters",)

    def _weights(self, model: Model, checkpoint: str) -> tuple[dict[str, Any], list[str]]:
        if model.source == "train":
            return {"trained": checkpoint}, [self.signature(model.made_by, model=model.name)]
        if model.folder is None:
            hub, revision = model.hub(checkpoint)
            fetched = self.signature("fetch_checkpoint", model=model.name, checkpoint=checkpoint)
            return {"hub": hub, "revision": revision}, [fetched]
        folder = model.weights(checkpoint)
        if model.base is not None:
            files = model_files.adapter_files(folder)
        else:
            files = model_files.model_files(folder, trust_remote_code=model.entry["trust_remote_code"])
        return {"files": self._digests.of(files)}, []

    def _find_neighbors(self, model: str, checkpoint: str, dataset: str) -> Job:
        names = {"model": model, "checkpoint": checkpoint}
        if dataset == VOCABULARY:
            return Job(self._clouds(model, dataset), [self.signature("extract_vocabulary", **names)])
        return Job(self._clouds(model, dataset), [self.signature("extract_embeddings", dataset=dataset, **names)])

    def _estimate_dimensions(self, set: str, model: str, checkpoint: str, dataset: str) -> Job:
        items = self._sweep.config["estimator_sets"][set]
        row = self._sweep.models[model]
        settings = self._clouds(model, dataset) | {
            "tolerance": self._sweep.config["scales"]["tolerance"],
            "estimates": [
                {
                    "name": config.label(item),
                    "estimator": item["estimator"],
                    "scope": item["scope"],
                    "parameters": config.all_parameters(item),
                }
                for item in items
            ],
            "identity": {
                "set": set,
                "model": model,
                "group": row.group,
                "seed": row.seed,
                "checkpoint": checkpoint,
                "step": row.checkpoints[checkpoint].step,
                "dataset": dataset,
                "split": None if dataset == VOCABULARY else self._sweep.datasets[dataset].split,
            },
        }
        upstream = [self.signature("find_neighbors", model=model, checkpoint=checkpoint, dataset=dataset)]
        return Job(settings, upstream, tuple(sorted({estimators.module_of(item["estimator"]) for item in items})))

    def _clouds(self, model: str, dataset: str) -> dict[str, Any]:
        """What makes the clouds of each representation, and their neighbour graphs."""
        chosen = self._sweep.config
        scales = {key: chosen["scales"][key] for key in ("halvings", "seed")}
        combinations = {} if dataset == VOCABULARY else self._sweep.models[model].combinations
        return {
            "combinations": {name: combination._asdict() for name, combination in combinations.items()},
            "points": chosen["points"],
            "neighbors": chosen["neighbors"],
            "variants": scales | {"nulls": chosen["nulls"]},
        }

    def _collect_estimates(self) -> Job:
        settings = {
            "representations": self._representations(),
            "config": self._shaping_config("title", "figures", "reference") | {"models": self._chosen_to_measure()},
        }
        return Job(settings, self._all_estimates())

    def _collect_training(self) -> Job:
        trained = self._sweep.trained()
        settings = {
            "trained": [_run(model) for model in trained],
            "brought": [
                _run(model) | {"metric": metric, "ending": file.suffix, "content": self._digests.one(file)}
                for model, metric, file in self._sweep.brought_metrics()
            ],
        }
        return Job(settings, [self.signature(model.made_by, model=model.name) for model in trained])

    def _collect_reference(self) -> Job:
        file = self._sweep.config.get("reference")
        return Job({"content": file and self._digests.one(Path(file))})

    def _detect_events(self) -> Job:
        return Job({}, [self._table("local"), self._table("training")])

    def _write_csv(self, table: str) -> Job:
        return Job({}, [self._table(table)])

    def _draw_figure(self, figure: str) -> Job:
        options = dict(self._sweep.config["figures"].get(figure) or {})
        for key in options.keys() & {"models", "datasets"}:  # tables hold the names as paths
            options[key] = [safe(name) for name in options[key]]
        if "models" in options:
            options["models"] = [model for name in options["models"] for model in self._named(name)]
        upstream = [signature for table in figures.tables(figure) for signature in self._tables(table)]
        return Job(
            {"options": options, "representations": self._representations()}, upstream, (f"idsweep.figures.{figure}",)
        )

    def _named(self, name: str) -> list[str]:
        """The models that a name in a figure's options stands for: that of an entry or a group for all its runs."""
        models = self._sweep.models.values()
        return (
            [name] if name in self._sweep.models else [m.name for m in models if name in (m.group, safe(m.catalogued))]
        )

    def _describe_sweep(self) -> Job:
        return Job({"config": self._shaping_config()}, self._all_estimates())

    def _write_report(self) -> Job:
        figures = [self.signature("draw_figure", figure=figure) for figure in self._sweep.config["figures"]]
        texts = self._digests.of((self._scripts.parent / "report").glob("*.rst"))
        return Job({"title": self._sweep.config["title"], "texts": texts}, [*figures, self.signature("describe_sweep")])

    def _table(self, table: str) -> str:
        return self.signature(MADE_BY[table])

    def _tables(self, table: str) -> Iterable[str]:
        """What a figure's table is made of; `pointwise` is no file, but estimates as they are."""
        return self._all_estimates() if table == "pointwise" else [self._table(table)]

    @cache  # noqa: B019 - lives as long as the process
    def _all_estimates(self) -> tuple[str, ...]:
        return tuple(
            self.signature(
                "estimate_dimensions",
                set=set,
                model=model.name,
                checkpoint=checkpoint.name,
                dataset=dataset,
            )
            for set in self._sweep.config["estimator_sets"]
            for model, checkpoint, dataset in self._sweep.clouds()
        )

    def _representations(self) -> dict[str, list[str]]:
        return {
            model.name: [*model.representations(""), *model.representations(VOCABULARY)]
            for model in self._sweep.models.values()
        }

    def _shaping_config(self, *without: str) -> Mapping[str, Any]:
        left_out = {"compute", "keep_embeddings", *without}
        config = {key: value for key, value in self._sweep.config.items() if key not in left_out}
        used = {
            "models": {model.name: _shaping_entry(model.entry) for model in self._sweep.models.values()},
            "datasets": {dataset.name: corpora.reading(dataset.entry) for dataset in self._sweep.corpora.values()},
        }
        return config | {"catalog": used}

    def _chosen_to_measure(self) -> dict[str, Any]:
        """What the sweep chooses of its models, without the metrics that it brings."""
        return {
            name: {key: value for key, value in (chosen or {}).items() if key != "metrics"} or None
            for name, chosen in self._sweep.config["models"].items()
        }

    def _training_texts(self, owner: Mapping[str, Any]) -> Mapping[str, Any]:
        training = owner["training"]
        return {
            **self._texts(self._sweep.training_corpus(owner)),
            "fraction": training["fraction" if owner["train"] == "grokking" else "validation_fraction"],
            "seed": training["seed"],
        }

    def _preparation(self, corpus: Dataset) -> list[str]:
        return [self.signature("prepare_dataset", release=corpus.source)] if corpus.prepared else []

    def _texts(self, dataset: Dataset) -> Mapping[str, Any]:
        texts = {"dataset": dataset.name, "entry": corpora.reading(dataset.entry)}
        if dataset.prepared:
            return texts
        files = corpora.corpus_files(dataset.entry)
        if corpora.names_count(dataset.entry):
            texts["names"] = [str(file.relative_to(dataset.file)) for file in files]
        return texts | {"content": [self._digests.one(file) for file in files]}


def _run(model: Model) -> dict[str, Any]:
    return {"model": model.name, "group": model.group, "seed": model.seed}


def _shaping_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in entry.items() if key not in SHAPES_NOTHING}
    if tokenizer := {key: value for key, value in entry.get("tokenizer", {}).items() if key != "padding_side"}:
        return own | {"tokenizer": tokenizer}
    return {key: value for key, value in own.items() if key != "tokenizer"}
