"""How large a model is, before it is fetched or trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.models import folders, matrices
from idsweep.sweep.models import Model
from idsweep.sweep.sweep import Sweep

VOCABULARY = 50_000  # of models that are not here yet
FAMILY_WIDTH = 768  # of models to be trained whose width nobody says
STATIC_WIDTH, WORDS = 300, 10_000  # of static vectors whose file says nothing, or that are to be trained
CHARACTERS = 9  # of a value written as text
SIXTEEN_BIT, THIRTY_TWO_BIT = 2, 4
WIDER = 4  # an MLP's inner width by that of the hidden states
MANY_PARAMETERS = 10**9  # from here on `dtype: auto` is bfloat16
UNTIED = ("gpt_neox", "equation_decoder")  # families whose head is a matrix of its own
ADAPTED_MATRICES = 4  # of each block, as those of attention


class Shape(NamedTuple):
    """Sizes of one checkpoint.

    depth: blocks. width: D. inner: width inside the MLPs. vocabulary: tokens, or words of static vectors. parameters: of
    all of it. files: bytes of one checkpoint (of adapters, theirs alone). loaded: bytes of each parameter in memory.
    known: False where the catalog says no width, which is then told from the size of the files.
    """

    depth: int
    width: int
    inner: int
    vocabulary: int
    parameters: float
    files: float
    loaded: int
    known: bool

    @property
    def in_blocks(self) -> float:
        """Parameters that every token passes, but for the head."""
        return _in_blocks(self.depth, self.width, self.inner)

    @property
    def in_head(self) -> float:
        return self.vocabulary * self.width


def shape_of(sweep: Sweep, model: Model) -> Shape:
    """The shape of a model's checkpoints; of what builds on another, that one's with its own files."""
    if model.kind == "static":
        return _static(model)
    if model.start is not None:
        base = shape_of(sweep, model.start[0])
        if model.base is None:
            return base._replace(files=THIRTY_TWO_BIT * base.parameters)
        return base._replace(files=_of_adapters(model, base))
    shape = {"hub": _published, "gguf": _published, "train": _trained}.get(model.source, _local)(sweep, model)
    dtype = model.loading(sweep.config["extraction"]["dtype"])["dtype"]
    whole = dtype == "float32" or (dtype == "auto" and shape.parameters < MANY_PARAMETERS)
    return shape._replace(loaded=THIRTY_TWO_BIT if whole else SIXTEEN_BIT)


def _in_blocks(depth: int, width: int, inner: int) -> float:
    return depth * (4 * width**2 + 2 * width * inner)


def _there(model: Model, width: int, vocabulary: int, files: float, known: bool = True) -> Shape:
    """A shape whose files are there: they hold 16 or 32 bits of each parameter, whichever fits the other sizes better."""
    matrices = 2 if model.kind == "causal" else 1  # a head of its own, as most but the smallest have
    expected = _in_blocks(model.depth, width, WIDER * width) + matrices * vocabulary * width
    parameters = min(
        (files / bits for bits in (SIXTEEN_BIT, THIRTY_TWO_BIT)), key=lambda n: abs(math.log(n / expected))
    )
    return Shape(model.depth, width, WIDER * width, vocabulary, parameters, files, THIRTY_TWO_BIT, known)


def _published(sweep: Sweep, model: Model) -> Shape:
    files = 1e9 * model.size_gb
    width = model.entry.get("width") or round((files / SIXTEEN_BIT / (12 * model.depth)) ** 0.5)
    return _there(model, width, VOCABULARY, files, known="width" in model.entry and "size_gb" in model.entry)


def _local(sweep: Sweep, model: Model) -> Shape:
    folder = model.weights(model.example.path)
    files = sum(path.stat().st_size for path in folders.weight_files(folder))
    said = _first_said(folders.read_config(folder), "vocab_size", VOCABULARY)
    return _there(model, folders.read_architecture(folder).width, said, files)


def _trained(sweep: Sweep, model: Model) -> Shape:
    said = model.entry["architecture"]
    width = next((said[key] for key in folders.WIDTH_KEYS if key in said), FAMILY_WIDTH)
    inner = next((said[key] for key in ("intermediate_size", "n_inner", "ffn_dim") if key in said), WIDER * width)
    if model.tokenizer.made_by == "write_tokenizer":
        trained_on = sweep.training_corpus(model.entry)
        vocabulary = len(trained_on.generator.words(trained_on.entry))
    else:
        vocabulary = model.tokenizer.owner["tokenizer"]["vocabulary_size"]
    matrices = 1 if said.get("tie_word_embeddings", said["model_type"] not in UNTIED) else 2
    parameters = _in_blocks(model.depth, width, inner) + matrices * vocabulary * width
    return Shape(
        model.depth, width, inner, vocabulary, parameters, THIRTY_TWO_BIT * parameters, THIRTY_TWO_BIT,
        any(key in said for key in folders.WIDTH_KEYS),
    )  # fmt: skip


def _of_adapters(model: Model, base: Shape) -> float:
    """Bytes of an adapter."""
    if model.source == "hub":
        return 1e9 * model.size_gb if "size_gb" in model.entry else 0.01 * base.files
    if model.source != "train":
        folder = model.weights(model.example.path)
        return sum(path.stat().st_size for path in folders.adapter_files(folder))
    rank = model.entry["training"]["lora"]["rank"]
    return THIRTY_TWO_BIT * base.depth * ADAPTED_MATRICES * 2 * base.width * rank


def _static(model: Model) -> Shape:
    """Static vectors: of a file that says no size, as many as fit into it as text or binary, of a usual width."""
    if model.source == "train":
        width, words = model.entry["training"]["dimension"], WORDS
        return Shape(0, width, 0, words, words * width, THIRTY_TWO_BIT * words * width, THIRTY_TWO_BIT, False)
    file = Path(model.folder)
    words, width = _said_size(file, model.entry)
    if not words:
        size = THIRTY_TWO_BIT if ".bin" in file.suffixes else CHARACTERS
        width, words = STATIC_WIDTH, round(file.stat().st_size / size / STATIC_WIDTH)
    return Shape(0, width, 0, words, words * width, file.stat().st_size, THIRTY_TWO_BIT, True)


def _said_size(file: Path, entry: Mapping[str, Any]) -> tuple[int, int]:
    """Vectors and width, from the beginning of the formats that say so; zeros for others."""
    if (format := entry.get("format") or file.suffix[1:]) in matrices.FORMATS:
        return matrices.shape_of(file, format, entry.get("array")) or (0, 0)
    with file.open("rb") as opened:
        first = opened.readline(100).split()
    return (int(first[0]), int(first[1])) if len(first) == 2 and all(part.isdigit() for part in first) else (0, 0)


def _first_said(config: Mapping[str, Any], key: str, default: int) -> int:
    places = (config, *(config[name] for name in folders.NESTED_CONFIGS if isinstance(config.get(name), dict)))
    return next((place[key] for place in places if isinstance(place.get(key), int)), default)
