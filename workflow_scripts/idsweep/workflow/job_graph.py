"""The graph of jobs: what each job reads and what shapes its numbers. Everything else follows from it.

One method for each rule of that name returns a `Job`: its own settings, and the outputs of other jobs that it reads. From
that alone follow Snakemake's inputs (`JobGraph.inputs`), the signature that tells whether a result is current
(`JobGraph.signature`), and what a sweep will run (`JobGraph.jobs`). A parameter that shapes numbers is added to the
settings of its rule's method, a file that a job reads to its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any, NamedTuple

from idsweep.config.load import needs_vectors
from idsweep.data.entries import reading
from idsweep.data.loaders import registry as loaders
from idsweep.estimators import registry as estimators
from idsweep.figures import registry as figures
from idsweep.files.columns import CLOUD
from idsweep.files.project import LIBRARY
from idsweep.files.representations import VOCABULARY
from idsweep.sweep import comparisons, figure_checks
from idsweep.sweep.labels import labels
from idsweep.sweep.models import MADE_FROM, Checkpoint, Model, Tokenizer, offered_checkpoints
from idsweep.sweep.outputs import table_names
from idsweep.sweep.sweep import PARTS, Cloud, Dataset, Sweep
from idsweep.tables.captions import CAPTIONS
from idsweep.training import kinds
from idsweep.workflow.paths import (
    MADE_BY,
    OF_TOKENS,
    OUTPUTS,
    RESULTS,
    Names,
    Output,
    folder_of_sweep,
    output_of,
    outputs,
    path_of,
)
from idsweep.workflow.places import Place, Places
from idsweep.workflow.shaping import Shaping, estimate
from idsweep.workflow.signature import SCRIPTS, Digests, code_of, signature

# Options of figures that name models and datasets; null is all of them, as where the option is left out.
NAMING = ("datasets", "base", "models", "static")

# Tables that the explorer shows, where the sweep has them.
EXPLORED = ("local", "global", "training", "losses", "events", "reference")

COMPOSER = "idsweep.tracking.measured"  # of datasets with `compose`
MAKER = "idsweep.data.generated_dialogues"  # of the release made_up


class Job(NamedTuple):
    """What decides about one job.

    settings: what shapes its numbers, as plain JSON values; made when it is asked for, since it may take reading files.
    inputs: the outputs that it reads, by the name under which its script finds them. modules: those of the library that the script loads by
    name. corpora: the datasets whose texts it reads itself; their loaders count as code.
    """

    settings: Callable[[], Mapping[str, Any]]
    inputs: Mapping[str, Output | Sequence[Output]] = {}
    modules: tuple[str, ...] = ()
    corpora: tuple[Dataset, ...] = ()

    def loaded(self) -> tuple[str, ...]:
        """Every module that the script loads by name."""
        readers = (loaders.module_of(corpus.entry["loader"]) for corpus in self.corpora)
        composers = (COMPOSER for corpus in self.corpora if "compose" in corpus.entry)
        return tuple(sorted({*self.modules, *readers, *composers}))

    def read(self) -> Iterator[Output]:
        """Every output that the job reads."""
        for given in self.inputs.values():
            if isinstance(given, Output):
                yield given
            else:
                yield from given


class JobGraph:
    """All jobs of one sweep; every answer is computed once. root: where the results of all sweeps lie."""

    def __init__(self, sweep: Sweep, digests: Digests | None = None, root: str = RESULTS) -> None:
        digests = digests or Digests()
        self._sweep = sweep
        self._root = root
        self._digests = digests
        self.places = Places(sweep, root)
        self._shaping = Shaping(sweep, digests, self.places)
        self._tokenizers = sweep.tokenizers()
        self._job = cache(self._describe)
        self._settings = cache(lambda rule, names: self._job(rule, names).settings())
        self._signature = cache(self._sign)

    def settings(self, rule: str, **names: str) -> Mapping[str, Any]:
        """What shapes the numbers of one job of `rule`, as plain JSON values."""
        return self._settings(rule, _sorted(names))

    def signature(self, rule: str, **names: str) -> str:
        """The signature of one job of `rule`."""
        return self._signature(rule, _sorted(names))

    def inputs(self, rule: str, **names: str) -> dict[str, str | list[str]]:
        """Name of an input -> path or paths that one job of `rule` reads."""
        return {
            name: self.path(given) if isinstance(given, Output) else [self.path(one) for one in given]
            for name, given in self._job(rule, _sorted(names)).inputs.items()
        }

    def read(self, rule: str, **names: str) -> dict[str, Place]:
        """Name -> place of what one job of `rule` reads beside its inputs."""
        return self.places.read(script_of(rule), **names)

    def output(self, rule: str, name: str, **names: str) -> Output:
        """The output that one job of `rule` reads under a name."""
        return self._job(rule, _sorted(names)).inputs[name]

    def read_by(self, output: Output) -> Mapping[str, Output | Sequence[Output]]:
        """The outputs that the job of an output reads, by name."""
        return self._job(output.rule, output.names).inputs

    def corpora(self, rule: str, **names: str) -> tuple[Dataset, ...]:
        """The datasets whose texts one job of `rule` reads itself; none for rules that a user's workflow adds."""
        ours = rule in OUTPUTS or rule in kinds.by_rule()
        return self._job(rule, _sorted(names)).corpora if ours else ()

    @property
    def folder(self) -> str:
        """Where all results lie, from the folder in which the workflow runs."""
        return folder_of_sweep(self._sweep.name, self._root)

    def weights(self, model: Model, checkpoint: str) -> Mapping[str, Any]:
        """Where the weights of a checkpoint come from, or what its local files hold."""
        return self._shaping.weights(model, checkpoint)

    def path(self, output: Output) -> str:
        """Where an output lies, from the folder in which the workflow runs."""
        return path_of(self._sweep.name, output, self._root)

    def jobs(self) -> list[tuple[str, Names]]:
        """Rule and names of every job that the report and the explorer need, themselves included; each once, what is read before what reads it."""
        found: dict[tuple[str, Names], None] = {}
        ends = ["write_report", *(["write_explorer"] if self._sweep.config["explorer"] else [])]
        waiting: list[tuple[tuple[str, Names], bool]] = [((rule, ()), False) for rule in reversed(ends)]
        while waiting:
            job, seen = waiting.pop()
            if seen:
                found[job] = None
            elif job not in found:
                waiting.append((job, True))
                waiting += [((output.rule, output.names), False) for output in self._job(*job).read()]
        return list(found)

    def outputs_read(self, rule: str, names: Names) -> list[Output]:
        """Every output that one job reads."""
        return list(self._job(rule, names).read())

    def readers(self, rule: str, names: Names) -> list[tuple[str, Names]]:
        """The jobs, as `jobs` tells them, that read what one job makes."""
        return self._readers.get((rule, names), [])

    @cached_property
    def _readers(self) -> dict[tuple[str, Names], list[tuple[str, Names]]]:
        found: dict[tuple[str, Names], list[tuple[str, Names]]] = {}
        for job in self.jobs():
            for maker in {(output.rule, output.names) for output in self.outputs_read(*job)}:
                found.setdefault(maker, []).append(job)
        return found

    def _describe(self, rule: str, names: Names) -> Job:
        return getattr(self, f"_{script_of(rule)}")(**dict(names))

    def _sign(self, rule: str, names: Names) -> str:
        job = self._job(rule, names)
        upstream = {self._signature(read.rule, read.names) for read in job.read()}
        code = code_of(SCRIPTS / f"{script_of(rule)}.py", job.loaded())
        places = {name: self.places.made(place) for name, place in self.read(rule, **dict(names)).items()}
        return signature({"settings": self._settings(rule, names), "places": places}, code, upstream)

    # ---- datasets, tokenizers, weights

    def _prepare_dataset(self, release: str) -> Job:
        corpus = self._sweep.releases()[release]
        modules = (MAKER,) if corpus.entry["release"] == "made_up" else ()
        return Job(partial(self._shaping.release, corpus), modules=modules)

    def _fetch_tokenizer(self, tokenizer: str) -> Job:
        owner = self._tokenizers[tokenizer].owner
        hub, revision = owner["hub"], owner["revision"]
        if "{" in hub:  # one repository for each checkpoint: the last one's
            hub = hub.replace("{checkpoint}", list(offered_checkpoints(owner))[-1])
        return Job(lambda: {"hub": hub, "revision": revision, "code": owner["trust_remote_code"]})

    def _train_tokenizer(self, tokenizer: str) -> Job:
        owner = self._tokenizers[tokenizer].owner
        corpus = self._sweep.training_corpus(owner)
        special_tokens = owner["tokenizer"].get("special_tokens", "end")

        def settings() -> dict[str, Any]:
            return {
                "texts": self._shaping.texts(corpus),
                "vocabulary_size": owner["tokenizer"]["vocabulary_size"],
                "mask": "masking" in owner["training"],
                # Left out where it is the default, so that no finished tokenizer is stale for it.
                **({"special_tokens": special_tokens} if special_tokens != "end" else {}),
                **self._shaping.part(owner, "train"),
            }

        return Job(settings, self._prepared(corpus), corpora=(corpus,))

    def _write_tokenizer(self, tokenizer: str) -> Job:
        corpus = self._sweep.training_corpus(self._tokenizers[tokenizer].owner)
        return Job(lambda: {"entry": reading(corpus.entry)}, corpora=(corpus,))

    def _fetch_checkpoint(self, model: str, checkpoint: str) -> Job:
        catalog_model = self._sweep.known[model]
        hub, revision = catalog_model.hub(checkpoint)
        options = {"code": catalog_model.entry["trust_remote_code"], "adapter": catalog_model.base is not None}
        return Job(lambda: {"hub": hub, "revision": revision, "options": options})

    def _convert_tokenizer(self, tokenizer: str) -> Job:
        return Job(lambda: self._shaping.gguf(self._tokenizers[tokenizer].owner))

    def _convert_weights(self, model: str, checkpoint: str) -> Job:
        return Job(lambda: self._shaping.gguf(self._sweep.known[model].entry))

    # ---- trainings

    def _train_model(self, model: str) -> Job:
        """What all trainings have in common: their rules differ in name, their script in the module that it loads."""
        catalog_model = self._sweep.known[model]
        kind, start = catalog_model.training, catalog_model.start
        corpora = tuple(self._sweep.training_corpora(catalog_model.entry).values())
        inputs = self._prepared(*corpora)
        if not kind.makes_vectors:
            inputs |= self._tokenizer(catalog_model.tokenizer)
        if kind.from_base:
            inputs |= self._weights((start[0], start[1].path))
        return Job(partial(self._shaping.training, catalog_model), inputs, (kind.module,), corpora)

    # ---- tokens and their vectors

    def _sample_tokens(self, tokenizer: str, dataset: str) -> Job:
        made_with = self._tokenizers[tokenizer]
        corpus = self._sweep.corpus(dataset, made_with.owner)
        measured = self._sweep.datasets.get(dataset)
        tokens = self._sweep.config["tokens"] | dict(measured.seeds if measured else {})
        tokens |= {key: made_with.options[key] for key in ("max_length",) if key in made_with.options}
        if tokens["choose"] == "first":
            tokens.pop("sequence_seed")

        def settings() -> dict[str, Any]:
            texts = {"texts": self._shaping.texts(corpus), "tokens": tokens}
            part = self._shaping.part(made_with.owner, PARTS[dataset]) if dataset in PARTS else {}
            return self._shaping.tokenizer(made_with) | texts | part

        return Job(settings, self._tokenizer(made_with) | self._prepared(corpus), corpora=(corpus,))

    def _sample_vocabulary(self, tokenizer: str) -> Job:
        made_with = self._tokenizers[tokenizer]
        chosen = dict(self._sweep.config["vocabulary"])
        del chosen["counted_in"]
        corpus = self._sweep.counted_corpus

        def settings() -> dict[str, Any]:
            counted = {} if corpus is None else {"counted_in": self._shaping.texts(corpus)}
            return self._shaping.tokenizer(made_with) | counted | {"vocabulary": chosen}

        read = () if corpus is None else (corpus,)
        inputs = self._tokenizer(made_with) | self._prepared(*read)
        return Job(settings, inputs, self._static_modules(made_with.owner), read)

    def _extract_embeddings(self, model: str, checkpoint: str, dataset: str) -> Job:
        catalog_model = self._sweep.models[model]
        of_pass: dict[str, Any] = {
            "masked": self._sweep.masks(catalog_model),
            "losses": self._sweep.has_losses(catalog_model),
        }
        if self._sweep.config["extraction"]["layers"] == "measured":
            of_pass["layers"] = catalog_model.layers_run
        if catalog_model.before_final_norm:
            of_pass["before_final_norm"] = True
        masked = of_pass["masked"]
        mask = {"mask": {"trust_remote_code": catalog_model.tokenizer.owner["trust_remote_code"]}} if masked else {}
        inputs = {
            "tokens": self._tokens(catalog_model, dataset),
            "sequences": output_of(
                "sample_tokens", "sequences", tokenizer=catalog_model.tokenizer.path, dataset=dataset
            ),
            **(self._tokenizer(catalog_model.tokenizer) if masked else {}),
            **self._loaded(catalog_model, checkpoint),
        }
        return Job(
            lambda: self._shaping.loaded(catalog_model, checkpoint) | mask | {"pass": of_pass} | self._storage,
            inputs,
            self._adapter_modules(catalog_model),
        )

    def _extract_vocabulary(self, model: str, checkpoint: str) -> Job:
        catalog_model = self._sweep.models[model]
        inputs = {"tokens": self._tokens(catalog_model, VOCABULARY), **self._loaded(catalog_model, checkpoint)}
        stored = {"matrices": catalog_model.matrices} | self._storage
        if catalog_model.kind == "static":
            return Job(
                lambda: self._shaping.static_vectors(catalog_model.tokenizer) | stored,
                inputs,
                self._static_modules(catalog_model.entry),
            )

        def settings() -> dict[str, Any]:
            loaded = self._shaping.loaded(catalog_model, checkpoint)
            loaded["model"].pop("attention", None)  # there is no forward pass
            return loaded | stored

        return Job(settings, inputs, self._adapter_modules(catalog_model))

    # ---- clouds and their dimensions

    def _find_neighbors(self, model: str, checkpoint: str, dataset: str, cloud: str) -> Job:
        catalog_model = self._sweep.models[model]
        inputs = {
            "embeddings": self._embeddings(model, checkpoint, dataset),
            "tokens": self._tokens(catalog_model, dataset),
        }
        modules = ("idsweep.neighbors.hausdorff",) if self._sweep.config["clouds"][cloud]["noise"] else ()
        return Job(partial(self._shaping.cloud, catalog_model, dataset, cloud), inputs, modules)

    def _project_points(self, model: str, checkpoint: str, dataset: str) -> Job:
        catalog_model = self._sweep.models[model]

        def settings() -> dict[str, Any]:
            return {
                "combinations": self._shaping.combinations(catalog_model, dataset),
                "representations": catalog_model.representations(dataset),
            }

        return Job(settings, {"embeddings": self._embeddings(model, checkpoint, dataset)})

    def _estimate_dimensions(
        self, part: str, model: str, checkpoint: str, dataset: str, cloud: str, layers: str
    ) -> Job:
        catalog_model = self._sweep.models[model]
        items = self._sweep.items(part, cloud)

        def settings() -> dict[str, Any]:
            points = self._sweep.config["clouds"][cloud]
            return {
                **self._shaping.cloud(catalog_model, dataset, cloud),
                "representations": self._sweep.blocks(catalog_model, dataset)[layers],
                "tolerance": self._sweep.config["scales"]["tolerance"],
                "estimates": [*map(estimate, items)],
                "identity": {
                    "set": self._sweep.parts[part].set,
                    **self._shaping.identity(catalog_model, checkpoint, dataset),
                    "cloud": cloud,
                    **{field.name: points[field.name.removeprefix("cloud_")] for field in CLOUD},
                    **self._draw_of(dataset),
                },
            }

        names = {"model": model, "checkpoint": checkpoint, "dataset": dataset, "cloud": cloud}
        inputs = {
            "neighbors": output_of("find_neighbors", "neighbors", **names),
            "tokens": self._tokens(catalog_model, dataset),
        }
        if any(map(needs_vectors, items)):
            inputs["embeddings"] = self._embeddings(model, checkpoint, dataset)
        return Job(settings, inputs, tuple(sorted({estimators.module_of(item["estimator"]) for item in items})))

    def _draw_of(self, dataset: str) -> dict[str, Any]:
        """What tells draws of a dataset apart, where there are several."""
        draw = self._sweep.datasets.get(dataset)
        if draw is None or draw.drawn_from is None:
            return {}
        return {"drawn_from": draw.drawn_from, **{f"draw_{key}": seed for key, seed in draw.seeds.items()}}

    def _describe_tokens(self, set: str, model: str, checkpoint: str, dataset: str, cloud: str) -> Job:
        catalog_model = self._sweep.models[model]
        names = {"model": model, "checkpoint": checkpoint, "dataset": dataset}
        inputs: dict[str, Output | list[Output]] = {
            "estimates": [
                output_of("estimate_dimensions", "estimates", part=part, cloud=cloud, layers=layers, **names)
                for part in self._sweep.parts_of(cloud, set)
                for layers in self._sweep.blocks(catalog_model, dataset)
            ],
            "tokens": self._tokens(catalog_model, dataset),
        }
        if dataset != VOCABULARY:
            sampled = output_of("sample_tokens", "sequences", tokenizer=catalog_model.tokenizer.path, dataset=dataset)
            inputs |= {"sequences": sampled, "predictions": output_of("extract_embeddings", "predictions", **names)}
        return Job(lambda: {"representations": catalog_model.representations(dataset)}, inputs)

    # ---- tables

    def _collect_estimates(self) -> Job:
        def settings() -> dict[str, Any]:
            return {
                "representations": self._shaping.representations(),
                "config": self._shaping.measured(),
                **self._shaping.missing(),
            }

        return Job(settings, {"estimates": self.estimates(self._clouds)})

    def _collect_training(self) -> Job:
        trained = self._sweep.trained()

        def settings() -> dict[str, Any]:
            return {"trained": [*map(self._shaping.run, trained)], "brought": self._shaping.brought_metrics()}

        return Job(settings, {"metrics": [output_of(model.made_by, "metrics", model=model.path) for model in trained]})

    def _collect_reference(self) -> Job:
        return Job(self._shaping.reference)

    def _collect_losses(self) -> Job:
        rows = [
            self._shaping.identity(model, checkpoint.path, dataset) for model, checkpoint, dataset in self._with_losses
        ]
        inputs = {
            "predictions": [self._predictions(*one) for one in self._with_losses],
            "tokens": [self._tokens(model, dataset) for model, _, dataset in self._with_losses],
        }
        return Job(lambda: {"rows": rows}, inputs)

    def _collect_shifts(self) -> Job:
        pairs = comparisons.pairs(self._sweep)
        compared = [
            {"model": pair.model.name, "base": pair.base.name, "base_checkpoint": pair.checkpoint.name}
            for pair in pairs
        ]
        clouds = self._compared(lambda model: model.checkpoints.values())
        tokens = [self._tokens(cloud.model, cloud.dataset) for cloud in clouds for _ in self._sweep.estimates(cloud)]
        return Job(lambda: {"compared": compared}, {"estimates": self.estimates(clouds), "tokens": tokens})

    def _collect_contrasts(self) -> Job:
        """Reads what each checkpoint is compared with first: see `contrasts.collect_contrasts`."""
        several = [model for model in self._sweep.models.values() if len(model.checkpoints) > 1]
        ends = {
            model.name: [next(iter(model.checkpoints.values())).name, model.last_checkpoint.name] for model in several
        }
        checkpoints: dict[tuple[str, str, str], list[Cloud]] = {}
        for cloud in self._clouds:
            checkpoints.setdefault((cloud.model.path, cloud.dataset, cloud.cloud), []).append(cloud)
        clouds = [cloud for of_series in checkpoints.values() for cloud in (of_series[-1], *of_series[:-1])]
        files = [(cloud, file) for cloud in clouds for file in self.estimates([cloud], scope="local")]
        inputs = {
            "estimates": [file for _, file in files],
            "tokens": [self._tokens(cloud.model, cloud.dataset) for cloud, _ in files],
        }
        return Job(lambda: {"ends": ends}, inputs)

    def _collect_tokens(self) -> Job:
        described = [
            {"set": set, **cloud.names()}
            for cloud in self._clouds
            for set in self._sweep.config["estimator_sets"]
            if self._sweep.parts_of(cloud.cloud, set)
        ]
        return Job(
            dict, {table: [output_of("describe_tokens", table, **names) for names in described] for table in OF_TOKENS}
        )

    def _detect_events(self) -> Job:
        return Job(dict, {"local": self._table("local"), "training": self._table("training")})

    def _write_csv(self, table: str) -> Job:
        options = self._sweep.config["csv"]  # counts once it says something
        return Job(lambda: {key: value for key, value in options.items() if value}, {"table": self._table(table)})

    # ---- figures and the report

    def _draw_figure(self, figure: str) -> Job:
        def settings() -> dict[str, Any]:
            options = {"options": self._figure_options(figure)}
            named = self._shaping.names() if "predictions" in figures.tables(figure) else {}
            measured = {"representations": self._shaping.representations()}
            return options | named | self._labels() | measured | self._shaping.missing()

        inputs = {table: self._drawn(figure, table) for table in figures.tables(figure)}
        return Job(settings, inputs, (f"idsweep.figures.{figures.kind(figure)}",))

    def _drawn(self, figure: str, table: str) -> Output | list[Output]:
        """What a figure reads as one of its tables; some are estimates and log-probabilities as they are."""
        if table == "pointwise":
            return self.estimates([c for c in self._clouds if c.checkpoint == c.model.last_checkpoint])
        if table == "compared":
            drawn = partial(figure_checks.checkpoints_drawn, self._sweep, figure)
            return self.estimates(self._compared(drawn))
        if table == "predictions":
            return [self._predictions(*one) for one in self._with_losses if one[1] == one[0].last_checkpoint]
        return self._table(table)

    def _figure_options(self, figure: str) -> dict[str, Any]:
        given = self._sweep.config["figures"].get(figure) or {}
        defaults = figures.options(figure)
        options = {key: value for key, value in given.items() if value is not None or key not in NAMING}
        options = {key: value for key, value in options.items() if value != defaults[key]}
        if "static" in figures.options(figure):
            options.setdefault(
                "static", [model.name for model in self._sweep.models.values() if model.kind == "static"]
            )
        if "datasets" in options:
            options["datasets"] = [draw for name in options["datasets"] for draw in self._sweep.draws_of(name)]
        if "base" in options:
            options["base"] = next(
                filter(None, (model.called(options["base"]) for model in self._sweep.models.values()))
            )
        if isinstance(options.get("checkpoints"), list):
            names = {c.path: c.name for model in self._sweep.models.values() for c in model.checkpoints.values()}
            options["checkpoints"] = [names.get(choice, choice) for choice in options["checkpoints"]]
        for key in options.keys() & {"models", "static"}:
            options[key] = [model.name for name in options[key] for model in self._sweep.called(name)]
        return options

    def _describe_sweep(self) -> Job:
        tables = {"tables": [self._table("local"), self._table("global")]}
        return Job(lambda: {"config": self._shaping.config(), **self._shaping.missing()}, tables)

    def _write_report(self) -> Job:
        tables = table_names(self._sweep)

        def settings() -> dict[str, Any]:
            return {
                "title": self._sweep.config["title"],
                "page": self._page("report"),
                "explorer": self._sweep.config["explorer"],
                "captions": {
                    "figures": {name: figures.description(name) for name in self._sweep.config["figures"]},
                    "tables": {name: CAPTIONS[name] for name in tables},
                },
                **self._labels(),
            }

        inputs = {
            "figures": [
                output_of("draw_figure", ending, figure=figure)
                for figure in self._sweep.config["figures"]
                for ending in outputs("draw_figure")
            ],
            "tables": [
                one for table in tables for one in (self._table(table), output_of("write_csv", "csv", table=table))
            ],
            "about": output_of("describe_sweep", "about"),
        }
        return Job(settings, inputs)

    def _write_explorer(self) -> Job:
        passes: dict[Output, dict[tuple[str, str], None]] = {}  # model and path of the dataset, each once
        for model, _, dataset in self._sweep.passes():
            passes.setdefault(self._tokens(model, dataset), {})[model.name, dataset] = None
        tables = [name for name in table_names(self._sweep) if name in EXPLORED]

        def of_dataset(path: str) -> str:
            return path if path == VOCABULARY else self._sweep.datasets[path].name

        def settings() -> dict[str, Any]:
            return {
                "title": self._sweep.config["title"],
                "page": self._page("explorer"),
                "tables": tables,
                "passes": [
                    {"models": [model for model, _ in of_pass], "dataset": of_dataset(next(iter(of_pass))[1])}
                    for of_pass in passes.values()
                ],
                "predictions": [
                    {"model": model.name, "checkpoint": checkpoint.name, "dataset": of_dataset(dataset)}
                    for model, checkpoint, dataset in self._with_losses
                ],
                "maps": [
                    {"model": model.name, "checkpoint": checkpoint.name, "dataset": of_dataset(dataset)}
                    for model, checkpoint, dataset in self._mapped
                ],
                **self._labels(),
            }

        texts = [tokens for tokens, of_pass in passes.items() if next(iter(of_pass))[1] != VOCABULARY]
        inputs = {
            "tables": [self._table(name) for name in tables],
            "estimates": self.estimates(self._clouds, scope="local"),
            "tokens": list(passes),
            "sequences": [tokens._replace(name="sequences") for tokens in texts],
            "predictions": [self._predictions(*one) for one in self._with_losses],
            "maps": self.maps(),
        }
        return Job(settings, inputs)

    # ---- what several rules read

    def _page(self, package: str) -> Any:
        """Digests of what a page is made of beside Python's modules: its own files, and those that pages share."""
        folders = (LIBRARY / name / "web" for name in ("pages", package))
        return self._digests.of(sorted(file for folder in folders for file in folder.rglob("*.*")))

    def _labels(self) -> dict[str, Any]:
        """What pictures call models and datasets, where the catalog says so."""
        return {"labels": shown} if (shown := labels(self._sweep)) else {}

    def estimates(self, clouds: Iterable[Cloud], scope: str | None = None) -> list[Output]:
        """Every file of estimates of some clouds; of one scope, those that hold an estimate of it."""
        return [
            output_of("estimate_dimensions", "estimates", part=part, layers=layers, **names)
            for cloud in clouds
            for names in [cloud.names()]
            for part, layers in self._sweep.estimates(cloud)
            if scope is None or any(item["scope"] == scope for item in self._sweep.items(part, cloud.cloud))
        ]

    def maps(self) -> list[Output]:
        """Every file of projected points; none unless the explorer shows a map."""
        return [
            output_of("project_points", "map", model=model.path, checkpoint=checkpoint.path, dataset=dataset)
            for model, checkpoint, dataset in self._mapped
        ]

    def _prepared(self, *corpora: Dataset) -> dict[str, list[Output]]:
        """The utterances that a rule makes of releases; nothing for other datasets."""
        releases = sorted({corpus.source_path for corpus in corpora if corpus.prepared})
        return {"prepared": [output_of("prepare_dataset", "corpus", release=release) for release in releases]}

    def _tokenizer(self, tokenizer: Tokenizer) -> dict[str, Output]:
        """The tokenizer, or the static vectors that stand for one, where a rule makes it; nothing for one that is simply there."""
        if tokenizer.made_by is None:
            return {}
        if tokenizer.owner["kind"] == "static":
            return {"tokenizer": output_of(tokenizer.made_by, "checkpoints", model=tokenizer.path)}
        return {"tokenizer": output_of(tokenizer.made_by, "tokenizer", tokenizer=tokenizer.path)}

    def _weights(self, *checkpoints: tuple[Model, str]) -> dict[str, list[Output]]:
        """What rules make of weights; nothing for weights that are simply there."""
        found = []
        for model, checkpoint in (model.holder(checkpoint) for model, checkpoint in checkpoints):
            if model.source == "train":
                found.append(output_of(model.made_by, "checkpoints", model=model.path))
            elif model.source in MADE_FROM:
                rule = MADE_FROM[model.source].weights
                found.append(output_of(rule, "weights", model=model.path, checkpoint=checkpoint))
        return {"weights": found}

    def _loaded(self, model: Model, checkpoint: str) -> dict[str, Output | list[Output]]:
        """A checkpoint's weights, those that its adapters build on, and the training curve beside trained ones for its provenance."""
        base = [(model.base[0], model.base[1].path)] if model.base else []
        training = [output_of(model.made_by, "metrics", model=model.path)] if model.source == "train" else []
        return self._weights((model, checkpoint), *base) | {"training": training}

    def _tokens(self, model: Model, dataset: str) -> Output:
        """The sampled tokens of a model on a dataset: one file for all models that share a tokenizer."""
        if dataset == VOCABULARY:
            return output_of("sample_vocabulary", "tokens", tokenizer=model.tokenizer.path)
        return output_of("sample_tokens", "tokens", tokenizer=model.tokenizer.path, dataset=dataset)

    def _embeddings(self, model: str, checkpoint: str, dataset: str) -> Output:
        if dataset == VOCABULARY:
            return output_of("extract_vocabulary", "embeddings", model=model, checkpoint=checkpoint)
        return output_of("extract_embeddings", "embeddings", model=model, checkpoint=checkpoint, dataset=dataset)

    def _predictions(self, model: Model, checkpoint: Checkpoint, dataset: str) -> Output:
        names = {"model": model.path, "checkpoint": checkpoint.path, "dataset": dataset}
        return output_of("extract_embeddings", "predictions", **names)

    def _table(self, table: str) -> Output:
        return output_of(MADE_BY[table], table)

    def _compared(self, checkpoints: Callable[[Model], Iterable[Checkpoint]]) -> list[Cloud]:
        """The clouds of models that are compared, at some of their checkpoints, and those of their bases."""
        pairs = comparisons.pairs(self._sweep)
        checkpoints_by_model = {(pair.base.name, pair.checkpoint.name) for pair in pairs}
        checkpoints_by_model |= {
            (pair.model.name, checkpoint.name) for pair in pairs for checkpoint in checkpoints(pair.model)
        }
        return [
            c
            for c in self._clouds
            if (c.model.name, c.checkpoint.name) in checkpoints_by_model and c.dataset != VOCABULARY
        ]

    @cached_property
    def _clouds(self) -> list[Cloud]:
        return list(self._sweep.clouds())

    @cached_property
    def _with_losses(self) -> list[tuple[Model, Checkpoint, str]]:
        return [one for one in self._sweep.passes() if one[2] != VOCABULARY and self._sweep.has_losses(one[0])]

    @cached_property
    def _mapped(self) -> list[tuple[Model, Checkpoint, str]]:
        chosen = self._sweep.config
        return list(self._sweep.passes()) if chosen["explorer"] and chosen["explorer_map"] else []

    @property
    def _storage(self) -> dict[str, str]:
        return {"storage": self._sweep.config["extraction"]["storage"]}

    def _static_modules(self, entry: Mapping[str, Any]) -> tuple[str, ...]:
        return ("idsweep.models.static_vectors",) if entry["kind"] == "static" else ()

    def _adapter_modules(self, model: Model) -> tuple[str, ...]:
        return ("idsweep.models.adapters",) if model.base is not None else ()


def script_of(rule: str) -> str:
    """The script of a rule: that of its name, but one for all trainings."""
    return "train_model" if rule in kinds.by_rule() else rule


def _sorted(names: Mapping[str, str]) -> Names:
    return tuple(sorted(names.items()))
