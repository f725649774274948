"""The settings and the signature of every job: what shapes its numbers, and whether they are still current.

One method for each rule of that name returns what the rule's own settings are and which jobs it
reads from. Adding a parameter that shapes numbers means adding it to one of these dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from idsweep import checkpoints, config, corpora, tokenizers
from idsweep.estimators import registry as estimators
from idsweep.signature import Digests, code_of, signature
from idsweep.sweep import Dataset, Model, Sweep, offered_checkpoints, safe


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

    def _train_tokenizer(self, model: str) -> Job:
        model = self._sweep.models[model]
        return Job({"texts": self._training_texts(model), "tokenizer": model.entry["tokenizer"]})

    def _train_language_model(self, model: str) -> Job:
        entry = self._sweep.models[model].entry
        settings = {
            "texts": self._training_texts(self._sweep.models[model]),
            "architecture": entry["architecture"],
            "training": entry["training"],
            "checkpoints": [checkpoint.step for checkpoint in offered_checkpoints(entry).values()],
        }
        return Job(settings, [self.signature("train_tokenizer", model=model)])

    def _fetch_tokenizer(self, model: str) -> Job:
        entry = self._sweep.models[model].entry
        return Job({"hub": entry["hub"], "revision": entry["revision"]})

    def _fetch_checkpoint(self, model: str, checkpoint: str) -> Job:
        model = self._sweep.models[model]
        return Job({"hub": model.entry["hub"], "revision": model.checkpoints[checkpoint].revision})

    def _sample_tokens(self, model: str, dataset: str) -> Job:
        model = self._sweep.models[model]
        settings = {
            "texts": self._texts(self._sweep.datasets[dataset]),
            "tokens": self._sweep.config["tokens"],
        }
        if model.folder is None:
            made_by = "train_tokenizer" if model.source == "train" else "fetch_tokenizer"
            return Job(settings, [self.signature(made_by, model=model.name)])
        settings["tokenizer"] = self._digests.of(tokenizers.tokenizer_files(model.tokenizer))
        return Job(settings)

    def _extract_embeddings(self, model: str, checkpoint: str, dataset: str) -> Job:
        model = self._sweep.models[model]
        dtype = self._sweep.config["extraction"]["dtype"]
        settings = {"model": {"kind": model.entry["kind"], "layers": model.depth, "dtype": dtype}}
        upstream = [self.signature("sample_tokens", model=model.name, dataset=dataset)]
        if model.source == "train":
            settings["source"] = {"trained": checkpoint}
            upstream.append(self.signature("train_language_model", model=model.name))
        elif model.folder is None:
            settings["source"] = {"hub": model.entry["hub"], "revision": model.checkpoints[checkpoint].revision}
            upstream.append(self.signature("fetch_checkpoint", model=model.name, checkpoint=checkpoint))
        else:
            settings["source"] = self._digests.of(checkpoints.model_files(model.weights(checkpoint)))
        return Job(settings, upstream)

    def _find_neighbors(self, model: str, checkpoint: str, dataset: str) -> Job:
        return Job(
            self._clouds(),
            [self.signature("extract_embeddings", model=model, checkpoint=checkpoint, dataset=dataset)],
        )

    def _estimate_dimensions(self, set: str, model: str, checkpoint: str, dataset: str) -> Job:
        items = self._sweep.config["estimator_sets"][set]
        row = self._sweep.models[model]
        settings = self._clouds() | {
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
                "seed": row.seed,
                "checkpoint": checkpoint,
                "step": row.checkpoints[checkpoint].step,
                "dataset": dataset,
                "split": self._sweep.datasets[dataset].entry["split"],
            },
        }
        upstream = [self.signature("find_neighbors", model=model, checkpoint=checkpoint, dataset=dataset)]
        return Job(settings, upstream, tuple(sorted({estimators.module_of(item["estimator"]) for item in items})))

    def _clouds(self) -> dict[str, Any]:
        """What makes the clouds of each layer, and their neighbour graphs."""
        chosen = self._sweep.config
        scales = {key: chosen["scales"][key] for key in ("halvings", "seed")}
        return {
            "points": chosen["points"],
            "neighbors": chosen["neighbors"],
            "variants": scales | {"nulls": chosen["nulls"]},
        }

    def _collect_estimates(self, scope: str) -> Job:
        settings = {"scope": scope, "layers": self._layers(), "config": self._shaping_config("title", "figures")}
        return Job(settings, self._all_estimates())

    def _collect_training(self) -> Job:
        trained = [model.name for model in self._sweep.trained()]
        return Job({"models": trained}, [self.signature("train_language_model", model=model) for model in trained])

    def _write_csv(self, table: str) -> Job:
        return Job({}, [self._table(table)])

    def _draw_figure(self, figure: str) -> Job:
        options = dict(self._sweep.config["figures"].get(figure) or {})
        for key in options.keys() & {"models", "datasets"}:  # tables hold the names as paths
            options[key] = [safe(name) for name in options[key]]
        upstream = [self._table("training"), *self._all_estimates()]
        return Job({"options": options, "layers": self._layers()}, upstream, (f"idsweep.figures.{figure}",))

    def _describe_sweep(self) -> Job:
        return Job({"config": self._shaping_config()}, self._all_estimates())

    def _write_report(self) -> Job:
        figures = [self.signature("draw_figure", figure=figure) for figure in self._sweep.config["figures"]]
        texts = self._digests.of((self._scripts.parent / "report").glob("*.rst"))
        return Job({"title": self._sweep.config["title"], "texts": texts}, [*figures, self.signature("describe_sweep")])

    def _table(self, table: str) -> str:
        if table == "training":
            return self.signature("collect_training")
        return self.signature("collect_estimates", scope=table)

    @cache  # noqa: B019 - lives as long as the process
    def _all_estimates(self) -> tuple[str, ...]:
        return tuple(
            self.signature(
                "estimate_dimensions",
                set=set,
                model=model.name,
                checkpoint=checkpoint.name,
                dataset=dataset.name,
            )
            for set in self._sweep.config["estimator_sets"]
            for model, checkpoint, dataset in self._sweep.clouds()
        )

    def _layers(self) -> dict[str, list[int]]:
        return {model.name: list(model.layers) for model in self._sweep.models.values()}

    def _shaping_config(self, *without: str) -> Mapping[str, Any]:
        left_out = {"compute", "keep_embeddings", *without}
        config = {key: value for key, value in self._sweep.config.items() if key not in left_out}
        used = {
            "models": {
                model.name: {key: value for key, value in model.entry.items() if key not in ("package", "path")}
                for model in self._sweep.models.values()
            },
            "datasets": {dataset.name: corpora.reading(dataset.entry) for dataset in self._sweep.corpora.values()},
        }
        return config | {"catalog": used}

    def _training_texts(self, model: Model) -> Mapping[str, Any]:
        training = model.entry["training"]
        return {
            **self._texts(self._sweep.training_corpus(model)),
            "validation_fraction": training["validation_fraction"],
            "seed": training["seed"],
        }

    def _texts(self, dataset: Dataset) -> Mapping[str, Any]:
        content = self._digests.one(dataset.file) if dataset.file is not None else None
        return {"dataset": dataset.name, "entry": corpora.reading(dataset.entry), "content": content}
