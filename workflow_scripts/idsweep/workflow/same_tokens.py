"""Results stay where the tokens that they were made of are made again, the same as they were.

Tokens are made again where their file is gone, or holds those of other settings that were taken back since. To Snakemake,
everything made of them would then be old, down from the forward passes. But the signature of a result holds that of its
tokens: where all that a job makes is there with the signature of now, it was made of the tokens that the present settings
give. That needs tokens which their signature decides: of local texts and texts made here, which count by content, with a
tokenizer that is a local one, is made here, or lies there since before the result.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from idsweep.files.parquet import is_current
from idsweep.sweep.models import MADE_FROM
from idsweep.sweep.sweep import Sweep
from idsweep.workflow.job_graph import JobGraph
from idsweep.workflow.paths import Names, Output, output_of, outputs
from idsweep.workflow.repeated import PASS, READERS, agrees

SAMPLING = ("sample_tokens", "sample_vocabulary")
DECIDED = (None, "train_tokenizer", "write_tokenizer")  # what makes a tokenizer that its signature decides


class SameTokens:
    """Tells which jobs of a sweep need not look at their tokens again."""

    def __init__(self, sweep: Sweep, graph: JobGraph) -> None:
        self._sweep = sweep
        self._graph = graph
        self._tokenizers = sweep.tokenizers()
        self._is_current = cache(self._find_current)
        self._is_done = cache(self._find_done)

    def paths(self) -> list[str]:
        """The files of all sampled tokens. Where nothing else asks for them, the run itself does."""
        sampled: dict[Output, None] = {}
        for model in self._sweep.models.values():
            tokenizer = model.tokenizer.path
            for dataset in self._sweep.datasets if model.reads_text else ():
                for name in outputs("sample_tokens"):
                    sampled[output_of("sample_tokens", name, tokenizer=tokenizer, dataset=dataset)] = None
            if model.matrices:
                sampled[output_of("sample_vocabulary", "tokens", tokenizer=tokenizer)] = None
        return [*map(self._graph.path, sampled)]

    def stay(self, records: Any, rule: str, names: Names) -> bool:
        """Whether what a job makes is there and current, and its tokens are to be made again, or were since.

        records: Snakemake's persistence, which must not say anything else.
        """
        if rule in SAMPLING:
            return False
        read = {output for output in self._graph.outputs_read(rule, names) if output.rule in SAMPLING}
        if not read or not (paths := self._made(rule, names)):
            return False
        since = min(Path(path).stat().st_mtime for path in paths)
        if not any(self._is_new(output, since) for output in read):
            return False
        return all(self._is_decided(output, since) for output in read) and self._is_done(records, rule, names)

    def _is_new(self, tokens: Output, since: float) -> bool:
        path = Path(self._graph.path(tokens))
        return not self._is_current(tokens) or path.stat().st_mtime > since

    def _is_decided(self, tokens: Output, since: float) -> bool:
        """Whether tokens that have their signature are always the same."""
        corpora = self._graph.corpora(tokens.rule, **dict(tokens.names))
        if any(corpus.remote or (corpus.prepared and not corpus.file) for corpus in corpora):
            return False
        tokenizer = self._tokenizers[dict(tokens.names)["tokenizer"]]
        if tokenizer.made_by in DECIDED:
            return True
        place = Path(self._graph.places.of_tokenizer(tokenizer))
        files = [path for path in place.rglob("*") if path.is_file()] if tokenizer.source in MADE_FROM else []
        return bool(files) and all(path.stat().st_mtime < since for path in files)

    def _find_done(self, records: Any, rule: str, names: Names) -> bool:
        signature = self._graph.signature(rule, **dict(names))
        paths = self._made(rule, names)
        if records._filter_incomplete_keys(paths):
            return False
        if not all(is_current(path, signature) and agrees(records, path, signature) for path in paths):
            return False
        lacking = [name for name in outputs(rule) if self._path(rule, name, names) not in paths]
        return all(rule == PASS and name == "embeddings" and self._has_no_reader(records, names) for name in lacking)

    def _has_no_reader(self, records: Any, names: Names) -> bool:
        """Whether the vectors of a pass, which were deleted after use, are not needed again."""
        readers = [(rule, of_job) for rule, of_job in self._graph.readers(PASS, names) if rule in READERS]
        vectors = output_of(PASS, "embeddings", **dict(names))
        return all(self._is_done(records, *job) for job in readers if vectors in self._graph.outputs_read(*job))

    def _find_current(self, output: Output) -> bool:
        return is_current(self._graph.path(output), self._graph.signature(output.rule, **dict(output.names)))

    def _made(self, rule: str, names: Names) -> list[str]:
        """The files of a job that are there."""
        return [path for name in outputs(rule) if Path(path := self._path(rule, name, names)).is_file()]

    def _path(self, rule: str, name: str, names: Names) -> str:
        return self._graph.path(output_of(rule, name, **dict(names)))
