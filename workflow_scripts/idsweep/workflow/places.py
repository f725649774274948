"""Where the things lie that scripts read: what rules make of them, or the user's own files and folders.

Places reach scripts as resources, which Snakemake does not compare: a thing that lies elsewhere is still the same. What
lies at these very places is in the settings, by content (`Shaping`), and what rules make is in the signature by its name
(`made`). So a script cannot be given another thing without its job being stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from idsweep.files.project import in_project
from idsweep.sweep.models import MADE_FROM, Model, Tokenizer, gguf_of
from idsweep.sweep.sweep import Dataset, Sweep
from idsweep.workflow.paths import RESULTS, Output, folder_of_sweep, output_of, path_of

Place = str | list[str] | dict[str, str]


class Places:
    """The places of one sweep's things."""

    def __init__(self, sweep: Sweep, root: str = RESULTS) -> None:
        self._sweep = sweep
        self._root = root
        self._results = f"{folder_of_sweep(sweep.name, root)}/"
        self._tokenizers = sweep.tokenizers()

    def read(self, script: str, **names: str) -> dict[str, Place]:
        """Name -> place (or places) of what a script reads beside its inputs; names: the wildcards of its job."""
        return {name: find(self, **names) for name, find in READ.get(script, {}).items()}

    def made(self, place: Place) -> Place:
        """The part of a place that names what a rule makes, from the folder of the sweep's results; empty for other places."""
        if isinstance(place, str):
            return place.removeprefix(self._results) if place.startswith(self._results) else ""
        if isinstance(place, list):
            return [*map(self.made, place)]
        return {key: self.made(one) for key, one in place.items()}

    # ---- of the jobs of rules, by their wildcards

    def release(self, release: str) -> str:
        """The local release of a dialogue dataset; empty for one that is fetched."""
        return str(self._sweep.releases()[release].file or "")

    def corpus(self, tokenizer: str, dataset: str | None = None) -> str:
        """The file or folder with the texts of a job; empty for texts from the hub.

        The texts of the dataset that is measured, or those that a tokenizer is trained on.
        """
        owner = self._tokenizers[tokenizer].owner
        return self.of_texts(
            self._sweep.training_corpus(owner) if dataset is None else self._sweep.corpus(dataset, owner)
        )

    def counted(self, tokenizer: str) -> str:
        """The texts in which the entries of a vocabulary are counted; empty where they are not, or come from the hub."""
        corpus = self._sweep.counted_corpus
        return self.of_texts(corpus) if corpus else ""

    def corpora(self, model: str) -> dict[str, str]:
        """Key -> texts that a training reads."""
        read = self._sweep.training_corpora(self._sweep.known[model].entry)
        return {key: self.of_texts(corpus) for key, corpus in read.items()}

    def tokenizer(self, tokenizer: str | None = None, model: str | None = None, **_: str) -> str:
        """The folder with a tokenizer, or the file of static vectors that stands for one."""
        return self.of_tokenizer(self._tokenizers[tokenizer] if model is None else self._sweep.known[model].tokenizer)

    def training_tokenizer(self, model: str) -> str:
        """The folder with the tokenizer of a training; empty for static vectors, which are their own."""
        catalog_model = self._sweep.known[model]
        return "" if catalog_model.training.makes_vectors else self.of_tokenizer(catalog_model.tokenizer)

    def start(self, model: str) -> str:
        """The folder with the weights that a training starts from; empty for one from scratch."""
        start = self._sweep.known[model].start
        return self.of_weights(start[0], start[1].path) if start else ""

    def weights(self, model: str, checkpoint: str, **_: str) -> str:
        """The folder (file, of static vectors) with the weights that are loaded: a checkpoint's own, or those that its adapters build on."""
        base = self._sweep.known[model].base
        return self.of_weights(base[0], base[1].path) if base else self.of_weights(self._sweep.known[model], checkpoint)

    def adapter(self, model: str, checkpoint: str, **_: str) -> str:
        """The folder with a checkpoint's adapters; empty for whole checkpoints."""
        return self.of_weights(self._sweep.known[model], checkpoint) if self._sweep.known[model].base else ""

    def gguf(self, tokenizer: str | None = None, model: str | None = None, **_: str) -> str:
        """The GGUF file of a model; empty where it is on the hub."""
        entry = self._tokenizers[tokenizer].owner if model is None else self._sweep.known[model].entry
        return str(gguf_of(entry) or "")

    def brought(self) -> list[str]:
        """The files of metrics from elsewhere."""
        return [str(file) for *_, file in self._sweep.brought_metrics()]

    def reference(self) -> str:
        """The file of published values; empty if the sweep names none."""
        given = self._sweep.config.get("reference")
        return str(in_project(Path(given))) if given else ""

    def padding_side(self, model: str, **_: str) -> str:
        """The side on which sequences of a batch are made as long as the longest; no place, but no number hangs on it."""
        return self._sweep.models[model].tokenizer.options.get("padding_side", "right")

    def passes(self, model: str, checkpoint: str, **_: str) -> str:
        """The folder in which passes of a checkpoint wait for their jobs, where another one has made them."""
        return f"{self._results}passes/{model}/{checkpoint}"

    # ---- of the parts of a sweep

    def of_texts(self, corpus: Dataset) -> str:
        if corpus.prepared:
            return self._path(output_of("prepare_dataset", "corpus", release=corpus.source_path))
        return str(corpus.file or "")

    def of_tokenizer(self, tokenizer: Tokenizer) -> str:
        if tokenizer.made_by is None:
            return str(tokenizer.folder)
        if tokenizer.owner["kind"] == "static":
            return self._path(output_of(tokenizer.made_by, "checkpoints", model=tokenizer.path)) + "/final.bin"
        return self._path(output_of(tokenizer.made_by, "tokenizer", tokenizer=tokenizer.path))

    def of_weights(self, model: Model, checkpoint: str) -> str:
        model, checkpoint = model.holder(checkpoint)
        if model.source == "train":
            folder = self._path(output_of(model.made_by, "checkpoints", model=model.path))
            return f"{folder}/{checkpoint}" + (".bin" if model.kind == "static" else "")
        if model.source in MADE_FROM:
            rule = MADE_FROM[model.source].weights
            return self._path(output_of(rule, "weights", model=model.path, checkpoint=checkpoint))
        return str(model.weights(checkpoint))

    def _path(self, output: Output) -> str:
        return path_of(self._sweep.name, output, self._root)


# Script -> name -> place of what it reads.
READ: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "prepare_dataset": {"release": Places.release},
    "convert_weights": {"gguf": Places.gguf},
    "convert_tokenizer": {"gguf": Places.gguf},
    "train_tokenizer": {"corpus": Places.corpus},
    "train_model": {"corpora": Places.corpora, "weights": Places.start, "tokenizer": Places.training_tokenizer},
    "sample_tokens": {"corpus": Places.corpus, "tokenizer": Places.tokenizer},
    "sample_vocabulary": {"corpus": Places.counted, "tokenizer": Places.tokenizer},
    "extract_embeddings": {"weights": Places.weights, "adapter": Places.adapter, "tokenizer": Places.tokenizer},
    "extract_vocabulary": {"weights": Places.weights, "adapter": Places.adapter},
    "collect_training": {"brought": Places.brought},
    "collect_reference": {"reference": Places.reference},
}
