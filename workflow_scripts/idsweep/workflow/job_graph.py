"""The settings and the signature of every job: what shapes its numbers, and whether they are still current.

One method for each rule of that name returns what the rule's own settings are and which jobs it
reads from. Adding a parameter that shapes numbers means adding it to one of these dictionaries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.config.load import all_parameters, label
from idsweep.data.entries import corpus_files, names_count, reading
from idsweep.data.loaders import registry as loaders
from idsweep.estimators import registry as estimators
from idsweep.figures import registry as figures
from idsweep.files.representations import VOCABULARY
from idsweep.models.folders import adapter_files, model_files, tokenizer_files, tokenizer_identity
from idsweep.sweep import comparisons
from idsweep.sweep.models import Model, Tokenizer, offered_checkpoints, safe
from idsweep.sweep.outputs import MADE_BY
from idsweep.sweep.sweep import PARTS, Cloud, Dataset, Sweep
from idsweep.training import kinds
from idsweep.workflow.signature import Digests, code_of, signature

# Keys of a catalog entry that change no number: places, and what serves planning.
SHAPES_NOTHING = ("package", "path", "size_gb", "width")
# Options of figures that name models and datasets; null is all of them, as where the option is left out.
NAMING = ("datasets", "base", "models", "static")


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
        return getattr(self, f"_{_script(rule)}")(**dict(names))

    def _sign(self, rule: str, names: tuple[tuple[str, str], ...]) -> str:
        job = self._job(rule, names)
        return signature(job.settings, code_of(self._scripts / f"{_script(rule)}.py", job.modules), job.upstream)

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
            "texts": self._texts(corpus),
            "vocabulary_size": owner["tokenizer"]["vocabulary_size"],
            "mask": "masking" in owner["training"],
            **_part(owner, "train"),
        }
        return Job(settings, self._preparation(corpus), _readers(corpus))

    def _write_tokenizer(self, tokenizer: str) -> Job:
        corpus = self._sweep.training_corpus(self._sweep.tokenizers()[tokenizer].owner)
        return Job({"entry": reading(corpus.entry)}, modules=_readers(corpus))

    def _train_model(self, model: str) -> Job:
        """What all trainings have in common: their rules differ in name, their script in the module that it loads."""
        row = self._sweep.known[model]
        kind, read = row.training, self._sweep.training_corpora(row.entry)
        settings: dict[str, Any] = {
            "train": kind.name,
            "training": kind.shaping(row.entry["training"]),
            "texts": {key: self._texts(corpus, kind.reads_labels) for key, corpus in read.items()},
        }
        upstream = [signature for corpus in read.values() for signature in self._preparation(corpus)]
        if not kind.makes_vectors:
            settings["checkpoints"] = [checkpoint.step for checkpoint in offered_checkpoints(row.entry).values()]
            settings["tokenizer"], of_tokenizer = self._tokenizer(row.tokenizer)
            upstream += of_tokenizer
        if kind.from_base:
            base, checkpoint = row.start
            source, of_base = self._weights(base, checkpoint.name)
            settings["kind"] = row.kind
            settings["base"] = {"name": base.known_as(checkpoint.name), "source": source, **base.loading("float32")}
            upstream += of_base
        elif not kind.makes_vectors:
            settings["architecture"] = row.entry["architecture"]
        return Job(settings, upstream, (kind.module, *_readers(*read.values())))

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
            settings |= _part(made_with.owner, PARTS[dataset])
        return Job(settings, [*upstream, *self._preparation(corpus)], _readers(corpus))

    def _sample_vocabulary(self, tokenizer: str) -> Job:
        made_with = self._sweep.tokenizers()[tokenizer]
        settings, upstream = self._tokenizer(made_with)
        modules = self._static_modules(made_with.owner)
        chosen = dict(self._sweep.config["vocabulary"])
        if (counted_in := chosen.pop("counted_in")) is not None:
            corpus = self._sweep.corpora[safe(counted_in)]
            settings["counted_in"] = self._texts(corpus)
            upstream, modules = [*upstream, *self._preparation(corpus)], (*modules, *_readers(corpus))
        settings["vocabulary"] = chosen
        return Job(settings, upstream, modules)

    def _tokenizer(self, tokenizer: Tokenizer) -> tuple[dict[str, Any], list[str]]:
        """What of a tokenizer shapes the tokens, and the jobs that make it."""
        if tokenizer.owner["kind"] == "static":
            return self._static(tokenizer)
        trusted = tokenizer.owner["trust_remote_code"]
        options = {
            key: tokenizer.options[key] for key in ("prefix_space", "truncation_side") if key in tokenizer.options
        }
        settings: dict[str, Any] = {"options": options | {"trust_remote_code": trusted}}
        if tokenizer.folder is None:
            return settings, [self.signature(tokenizer.made_by, tokenizer=tokenizer.name)]
        settings["files"] = self._digests.of(tokenizer_files(tokenizer.folder, trusted))
        settings["identity"] = tokenizer_identity(tokenizer.folder)
        return settings, []

    def _static(self, vectors: Tokenizer) -> tuple[dict[str, Any], list[str]]:
        """What of a file of static vectors shapes its rows and words, and the jobs that make it."""
        if (file := vectors.folder) is None:
            format, made_by = "word2vec_binary", self.signature(vectors.made_by, model=vectors.name)
            return {"vectors": {"format": format}}, [made_by]
        endings = "".join(file.suffixes)
        held = {"content": self._digests.one(file), "format": vectors.owner.get("format"), "endings": endings}
        return {"vectors": held}, []

    def _static_modules(self, entry: Mapping[str, Any]) -> tuple[str, ...]:
        return ("idsweep.models.static_vectors",) if entry["kind"] == "static" else ()

    def _extract_embeddings(self, model: str, checkpoint: str, dataset: str) -> Job:
        row = self._sweep.models[model]
        settings, upstream, modules = self._loaded(row, checkpoint)
        of_pass: dict[str, Any] = {"masked": self._sweep.masks(row), "losses": self._sweep.has_losses(row)}
        if self._sweep.config["extraction"]["layers"] == "measured":
            of_pass["layers"] = sorted({*row.layers, *(i for c in row.combinations.values() for i in c.layers)})
        sampled = self.signature("sample_tokens", tokenizer=row.tokenizer.name, dataset=dataset)
        if of_pass["masked"]:
            settings["mask"] = {"trust_remote_code": row.tokenizer.owner["trust_remote_code"]}
        return Job(settings | {"pass": of_pass} | self._storage(), [sampled, *upstream], modules)

    def _extract_vocabulary(self, model: str, checkpoint: str) -> Job:
        row = self._sweep.models[model]
        sampled = self.signature("sample_vocabulary", tokenizer=row.tokenizer.name)
        if row.kind == "static":
            settings, upstream = self._static(row.tokenizer)
            settings |= {"matrices": row.matrices} | self._storage()
            return Job(settings, [sampled, *upstream], self._static_modules(row.entry))
        settings, upstream, modules = self._loaded(row, checkpoint)
        settings["model"].pop("attention", None)  # there is no forward pass
        return Job(settings | {"matrices": row.matrices} | self._storage(), [sampled, *upstream], modules)

    def _storage(self) -> dict[str, str]:
        return {"storage": self._sweep.config["extraction"]["storage"]}

    def _loaded(self, model: Model, checkpoint: str) -> tuple[dict[str, Any], list[str], tuple[str, ...]]:
        """How a checkpoint is loaded and what it is made of, the jobs that make it, and modules that are loaded by name."""
        source, upstream = self._weights(model, checkpoint)
        settings = {"model": model.loading(self._sweep.config["extraction"]["dtype"]), "source": source}
        if model.base is None:
            return settings, upstream, ()
        settings["base"], of_base = self._weights(model.base[0], model.base[1].name)
        return settings, [*upstream, *of_base], ("idsweep.models.adapters",)

    def _weights(self, model: Model, checkpoint: str) -> tuple[dict[str, Any], list[str]]:
        if model.source == "train":
            return {"trained": checkpoint}, [self.signature(model.made_by, model=model.name)]
        if model.folder is None:
            hub, revision = model.hub(checkpoint)
            fetched = self.signature("fetch_checkpoint", model=model.name, checkpoint=checkpoint)
            return {"hub": hub, "revision": revision}, [fetched]
        folder = model.weights(checkpoint)
        if model.base is not None:
            files = adapter_files(folder, whole=False)
        else:
            files = model_files(folder, trust_remote_code=model.entry["trust_remote_code"], whole=False)
        return {"files": self._digests.of(files)}, []

    def _find_neighbors(self, model: str, checkpoint: str, dataset: str, cloud: str) -> Job:
        names = {"model": model, "checkpoint": checkpoint}
        if dataset == VOCABULARY:
            made_by = self.signature("extract_vocabulary", **names)
        else:
            made_by = self.signature("extract_embeddings", dataset=dataset, **names)
        modules = ("idsweep.neighbors.hausdorff",) if self._sweep.config["clouds"][cloud]["noise"] else ()
        return Job(self._cloud(model, dataset, cloud), [made_by], modules)

    def _estimate_dimensions(self, set: str, model: str, checkpoint: str, dataset: str, cloud: str, layers: str) -> Job:
        items = self._sweep.items(set, cloud)
        settings = self._cloud(model, dataset, cloud)
        settings["representations"] = self._sweep.blocks(self._sweep.models[model], dataset)[layers]
        points = settings["points"]
        of_cloud = {key: points[key] for key in ("number", "sequences", "seed", "noise", "noise_seed", "tokens")}
        settings |= {
            "tolerance": self._sweep.config["scales"]["tolerance"],
            "estimates": [
                {
                    "name": label(item),
                    "estimator": item["estimator"],
                    "scope": item["scope"],
                    "parameters": all_parameters(item),
                }
                for item in items
            ],
            "identity": {
                "set": set,
                **self._identity(model, checkpoint, dataset),
                "cloud": cloud,
                **{f"cloud_{key}": value for key, value in of_cloud.items()},
            },
        }
        names = {"model": model, "checkpoint": checkpoint, "dataset": dataset, "cloud": cloud}
        upstream = [self.signature("find_neighbors", **names)]
        return Job(settings, upstream, tuple(sorted({estimators.module_of(item["estimator"]) for item in items})))

    def _identity(self, model: str, checkpoint: str, dataset: str) -> dict[str, Any]:
        row = self._sweep.models[model]
        return {
            "model": model,
            "group": row.group,
            "seed": row.seed,
            "checkpoint": checkpoint,
            "step": row.checkpoints[checkpoint].step,
            "dataset": dataset,
            "split": None if dataset == VOCABULARY else self._sweep.datasets[dataset].split,
        }

    def _cloud(self, model: str, dataset: str, cloud: str) -> dict[str, Any]:
        """What makes the cloud of each representation, and its neighbour graphs."""
        chosen = self._sweep.config
        scales = {key: chosen["scales"][key] for key in ("halvings", "seed")}
        combinations = {} if dataset == VOCABULARY else self._sweep.models[model].combinations
        return {
            "combinations": {name: combination._asdict() for name, combination in combinations.items()},
            "points": chosen["clouds"][cloud],
            "neighbors": {"number": self._sweep.neighbors(cloud)},
            "variants": scales | {"nulls": chosen["nulls"]},
        }

    def _describe_tokens(self, set: str, model: str, checkpoint: str, dataset: str, cloud: str) -> Job:
        names = {"model": model, "checkpoint": checkpoint, "dataset": dataset}
        row = self._sweep.models[model]
        upstream = [
            self.signature("estimate_dimensions", set=set, cloud=cloud, layers=layers, **names)
            for layers in self._sweep.blocks(row, dataset)
        ]
        return Job({"representations": row.representations(dataset)}, upstream)

    def _collect_tokens(self) -> Job:
        described = [
            self.signature("describe_tokens", set=set, **names)
            for cloud in self._sweep.clouds()
            for names in [cloud.names()]
            for set in self._sweep.config["estimator_sets"]
            if self._sweep.items(set, cloud.cloud)
        ]
        return Job({}, described)

    def _collect_losses(self) -> Job:
        made = [
            (model, checkpoint, dataset)
            for model, checkpoint, dataset in self._sweep.passes()
            if dataset != VOCABULARY and self._sweep.has_losses(model)
        ]
        rows = [self._identity(model.name, checkpoint.name, dataset) for model, checkpoint, dataset in made]
        upstream = [
            self.signature("extract_embeddings", model=model.name, checkpoint=checkpoint.name, dataset=dataset)
            for model, checkpoint, dataset in made
        ]
        return Job({"rows": rows}, upstream)

    def _collect_shifts(self) -> Job:
        pairs = comparisons.pairs(self._sweep)
        compared = [
            {"model": pair.model.name, "base": pair.base.name, "base_checkpoint": pair.checkpoint.name}
            for pair in pairs
        ]
        models = {pair.model.name for pair in pairs}
        bases = {(pair.base.name, pair.checkpoint.name) for pair in pairs}
        read = self._estimates_of(
            lambda cloud: cloud.model.name in models or (cloud.model.name, cloud.checkpoint.name) in bases
        )
        return Job({"compared": compared}, read)

    def _collect_estimates(self) -> Job:
        settings = {
            "representations": self._representations(),
            "config": self._shaping_config("title", "figures", "reference", "comparisons")
            | {"models": self._chosen_to_measure()},
            **self._missing(),
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
        given = self._sweep.config["figures"].get(figure) or {}
        options = {key: value for key, value in given.items() if value is not None or key not in NAMING}
        if "static" in figures.options(figure):
            options.setdefault(
                "static", [model.name for model in self._sweep.models.values() if model.kind == "static"]
            )
        # Tables hold the names as paths.
        if "datasets" in options:
            options["datasets"] = [safe(name) for name in options["datasets"]]
        if "base" in options:
            options["base"] = safe(options["base"])
        for key in options.keys() & {"models", "static"}:
            options[key] = [model for name in options[key] for model in self._named(safe(name))]
        upstream = [signature for table in figures.tables(figure) for signature in self._tables(table)]
        settings = {"options": options, "representations": self._representations(), **self._missing()}
        return Job(settings, upstream, (f"idsweep.figures.{figure}",))

    def _named(self, name: str) -> list[str]:
        """The models that a name in a figure's options stands for: that of an entry or a group for all its runs."""
        models = self._sweep.models.values()
        return (
            [name] if name in self._sweep.models else [m.name for m in models if name in (m.group, safe(m.catalogued))]
        )

    def _describe_sweep(self) -> Job:
        return Job({"config": self._shaping_config(), **self._missing()}, self._all_estimates())

    def _write_report(self) -> Job:
        figures = [self.signature("draw_figure", figure=figure) for figure in self._sweep.config["figures"]]
        texts = self._digests.of((self._scripts.parent / "report").glob("*.rst"))
        return Job({"title": self._sweep.config["title"], "texts": texts}, [*figures, self.signature("describe_sweep")])

    def _table(self, table: str) -> str:
        return self.signature(MADE_BY[table])

    def _tables(self, table: str) -> Iterable[str]:
        """What a figure's table is made of; some are no files, but estimates and log-probabilities as they are."""
        made_of = {"pointwise": self._all_estimates, "compared": self._all_estimates, "predictions": self._passes}
        return made_of[table]() if table in made_of else [self._table(table)]

    def _passes(self) -> list[str]:
        return [
            self.signature("extract_embeddings", model=model.name, checkpoint=checkpoint.name, dataset=dataset)
            for model, checkpoint, dataset in self._sweep.passes()
            if dataset != VOCABULARY
        ]

    @cache  # noqa: B019 - lives as long as the process
    def _all_estimates(self) -> tuple[str, ...]:
        return self._estimates_of(lambda cloud: True)

    def _estimates_of(self, wanted: Callable[[Cloud], bool]) -> tuple[str, ...]:
        return tuple(
            self.signature("estimate_dimensions", set=set, layers=layers, **cloud.names())
            for cloud in self._sweep.clouds()
            if wanted(cloud)
            for set, layers in self._sweep.estimates(cloud)
        )

    def _missing(self) -> dict[str, list[str]]:
        """What tables and figures of a part of the sweep say of the rest."""
        return {"missing": list(self._sweep.missing)} if self._sweep.missing else {}

    def _representations(self) -> dict[str, list[str]]:
        return {
            model.name: [*model.representations(""), *model.representations(VOCABULARY)]
            for model in self._sweep.models.values()
        }

    def _shaping_config(self, *without: str) -> Mapping[str, Any]:
        left_out = {"compute", "keep_embeddings", "keep_neighbors", "partial", "clouds", *without}
        config = {key: value for key, value in self._sweep.config.items() if key not in left_out}
        labelled = [model for model in self._sweep.known.values() if model.reads_labels]
        labelled = {corpus.name for model in labelled for corpus in self._sweep.training_corpora(model.entry).values()}
        used = {
            "models": {model.name: _shaping_entry(model.entry) for model in self._sweep.models.values()},
            "datasets": {
                name: reading(corpus.entry, labels=name in labelled) for name, corpus in self._sweep.corpora.items()
            },
        }
        return config | {"catalog": used}

    def _chosen_to_measure(self) -> dict[str, Any]:
        """What the sweep chooses of its models, without the metrics that it brings."""
        return {
            name: {key: value for key, value in (chosen or {}).items() if key != "metrics"} or None
            for name, chosen in self._sweep.config["models"].items()
        }

    def _preparation(self, corpus: Dataset) -> list[str]:
        return [self.signature("prepare_dataset", release=corpus.source)] if corpus.prepared else []

    def _texts(self, dataset: Dataset, labels: bool = False) -> Mapping[str, Any]:
        texts = {"dataset": dataset.name, "entry": reading(dataset.entry, labels=labels)}
        if dataset.prepared:
            return texts
        files = corpus_files(dataset.entry)
        if names_count(dataset.entry):
            texts["names"] = [str(file.relative_to(dataset.file)) for file in files]
        return texts | {"content": [self._digests.one(file) for file in files]}


def _script(rule: str) -> str:
    """The script of a rule: that of its name, but one for all trainings."""
    return "train_model" if rule in kinds.by_rule() else rule


def _readers(*corpora: Dataset) -> tuple[str, ...]:
    """The modules that read datasets, which are loaded by name."""
    return tuple(sorted({loaders.module_of(corpus.entry["loader"]) for corpus in corpora}))


def _part(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The part of its dataset that a training takes (`train`) or holds out (`validation`); nothing if it takes all."""
    training = entry["training"]
    shares = {share: training[key] for share, key in kinds.get(entry["train"]).share.items()}
    return {"part": {"name": name, "seed": training["seed"], **shares}} if shares else {}


def _run(model: Model) -> dict[str, Any]:
    varied = json.dumps(dict(model.varied), sort_keys=True)
    return {"model": model.name, "group": model.group, "seed": model.seed, "varied": varied}


def _shaping_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in entry.items() if key not in SHAPES_NOTHING}
    if tokenizer := {key: value for key, value in entry.get("tokenizer", {}).items() if key != "padding_side"}:
        return own | {"tokenizer": tokenizer}
    return {key: value for key, value in own.items() if key != "tokenizer"}
