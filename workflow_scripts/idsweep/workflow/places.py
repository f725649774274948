"""Where the things lie that scripts read: what rules make of them, or the user's own files and folders.

What they hold is in the signatures, by content; where they lie is not. So places reach scripts as resources.
"""

from __future__ import annotations

import json

from idsweep.sweep.models import Model, Tokenizer
from idsweep.sweep.sweep import Dataset, Sweep
from idsweep.workflow.job_graph import JobGraph, output_of


class Places:
    """The places of one sweep's things. Each method takes the wildcards of a job and is named as its resource."""

    def __init__(self, sweep: Sweep, graph: JobGraph) -> None:
        self._sweep = sweep
        self._graph = graph
        self._tokenizers = sweep.tokenizers()

    def release(self, release: str) -> str:
        """The local release of a dialogue dataset; empty for one that is fetched."""
        return str(self._sweep.releases()[release].file or "")

    def corpus(self, tokenizer: str, dataset: str | None = None) -> str:
        """The file or folder with the texts of a job; empty for texts from the hub.

        The texts of the dataset that is measured, or those that a tokenizer is trained on.
        """
        owner = self._tokenizers[tokenizer].owner
        return self._texts(
            self._sweep.training_corpus(owner) if dataset is None else self._sweep.corpus(dataset, owner)
        )

    def counted(self, tokenizer: str) -> str:
        """The texts in which the entries of a vocabulary are counted; empty where they are not, or come from the hub."""
        read = self._graph.corpora("sample_vocabulary", tokenizer=tokenizer)
        return self._texts(read[0]) if read else ""

    def corpora(self, model: str) -> str:
        """Key -> texts that a training reads, as JSON, since resources hold no mappings."""
        read = self._sweep.training_corpora(self._sweep.known[model].entry)
        return json.dumps({key: self._texts(corpus) for key, corpus in read.items()})

    def tokenizer(self, tokenizer: str | None = None, model: str | None = None, **_: str) -> str:
        """The folder with a tokenizer, or the file of static vectors that stands for one."""
        named = self._tokenizers[tokenizer] if model is None else self._sweep.known[model].tokenizer
        return self._tokenizer(named)

    def training_tokenizer(self, model: str) -> str:
        """The folder with the tokenizer of a training; empty for static vectors, which are their own."""
        catalog_model = self._sweep.known[model]
        return "" if catalog_model.training.makes_vectors else self._tokenizer(catalog_model.tokenizer)

    def start(self, model: str) -> str:
        """The folder with the weights that a training starts from; empty for one from scratch."""
        start = self._sweep.known[model].start
        return self._weights(start[0], start[1].name) if start else ""

    def weights(self, model: str, checkpoint: str, **_: str) -> str:
        """The folder (file, of static vectors) with the weights that are loaded: a checkpoint's own, or those that its adapters build on."""
        base = self._sweep.known[model].base
        return self._weights(base[0], base[1].name) if base else self._weights(self._sweep.known[model], checkpoint)

    def adapter(self, model: str, checkpoint: str, **_: str) -> str:
        """The folder with a checkpoint's adapters; empty for whole checkpoints."""
        return self._weights(self._sweep.known[model], checkpoint) if self._sweep.known[model].base else ""

    def padding_side(self, model: str, **_: str) -> str:
        """The side on which sequences of a batch are made as long as the longest; no place, but no number hangs on it."""
        return self._sweep.models[model].tokenizer.options.get("padding_side", "right")

    def passes(self, model: str, checkpoint: str, **_: str) -> str:
        """The folder in which passes of a checkpoint wait for their jobs, where another one has made them."""
        return f"results/{self._sweep.name}/passes/{model}/{checkpoint}"

    def _texts(self, corpus: Dataset) -> str:
        if corpus.prepared:
            return self._graph.path(output_of("prepare_dataset", "corpus", release=corpus.source))
        return str(corpus.file or "")

    def _tokenizer(self, tokenizer: Tokenizer) -> str:
        if tokenizer.made_by is None:
            return str(tokenizer.folder)
        if tokenizer.owner["kind"] == "static":
            return self._graph.path(output_of(tokenizer.made_by, "checkpoints", model=tokenizer.name)) + "/final.bin"
        return self._graph.path(output_of(tokenizer.made_by, "tokenizer", tokenizer=tokenizer.name))

    def _weights(self, model: Model, checkpoint: str) -> str:
        if model.source == "train":
            folder = self._graph.path(output_of(model.made_by, "checkpoints", model=model.name))
            return f"{folder}/{checkpoint}" + (".bin" if model.kind == "static" else "")
        if model.source == "hub":
            return self._graph.path(output_of("fetch_checkpoint", "weights", model=model.name, checkpoint=checkpoint))
        return str(model.weights(checkpoint))
