"""Configurations by the hundred for tests: valid by the schema, plausible sweeps of the catalog, and broken ones."""

from __future__ import annotations

import copy
import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from hypothesis import strategies as st
from idsweep.config import steps
from idsweep.config.load import Validator
from idsweep.config.schema import with_registries
from idsweep.estimators import registry as estimators
from idsweep.figures import registry as figures
from idsweep.training import kinds

from builders.project import CONFIG

SCHEMA = with_registries(yaml.safe_load((CONFIG / "schema.yaml").read_text(encoding="utf-8")))
CATALOG = {
    kind: yaml.safe_load((CONFIG / f"catalog/{kind}.yaml").read_text(encoding="utf-8"))
    for kind in ("models", "datasets")
}
VECTORS = "test/test_data/high_precision.kv.bin"  # static vectors that come with gensim

# Names and texts that make trouble where they become paths, patterns, commands or pages.
NASTY = (
    "", " ", ".", "..", "../outside", "../../outside", "/outside", "~", "~/outside", "~nobody/x", "a/b", "a//b", "-x", "--config", ".x",
    "a\0b", "a\nb", "a\tb", "$(touch outside)", "`touch outside`", "; touch outside", "a & b", "a|b", "'", '"', "\\", "a b", "%s",
    "{", "}", "{}", "{x}", "{{x}}", "{seed}", "{checkpoint}", "{run}", "{split}", "{model}", "{wildcards.x}", "*", "**", "a*b*c", "[a", "(?P<",
    ":", "a:b", "a:", ":a", "é", "е", "İ", "\u202e", "\ufeff", "𝕏", "\ud800", "x" * 300, "x" * 5000, "None", "true", "1", "1e3", "NaN",
    "<script>alert(1)</script>", "step{1..4000000000/1}", "step{0..9}", "step{}", "step{00}", "checkpoint-*", "all", "vocabulary",
    "trained_on", "held_out", "layer_0", "con", "a" + "\u0301", "١",
)  # fmt: skip
KNOWN = (
    "minilm", "tiny_neox", "pythia-70m", "gpt2", "bert-base-uncased", "lee_news", "film_reviews", "addition_mod_197", "multiwoz",
    "lee_news:test", "wikitext-103:validation", "step0", "step4", "final", "train", "text", "twonn", "mle", "input_embeddings",
    "train_loss", "gensim", "model", "test/test_data/lee_background.cor", "gpt_neox", "utf-8", "latin-1", "*.json",
)  # fmt: skip
ODD_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.0, 5e-324, 1e308, float("nan"), float("inf"), -float("inf"),
    [], {}, [[]], [None], {"": None}, {"a": {"b": None}}, [{}], {1: 2}, {None: 1}, {True: False}, {1.5: []}, b"bytes", {"a"}, (1, 2),
    datetime.date(2001, 2, 3), datetime.datetime(2001, 2, 3, 4, 5), {datetime.date(2001, 2, 3): 1}, 1j, ["a", "a"], [[["a"]]],
)  # fmt: skip

texts = st.one_of(st.sampled_from(KNOWN), st.sampled_from(NASTY), st.text(max_size=6))
odd_values = st.one_of(st.sampled_from(ODD_VALUES).map(copy.deepcopy), texts, st.integers(), st.floats())


def by_schema(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a part of the schema allows."""
    if "$ref" in schema:
        return by_schema(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    if "oneOf" in schema:
        return st.one_of(*map(by_schema, schema["oneOf"]))
    kinds = schema.get("type", "string" if "pattern" in schema else "object")
    if isinstance(kinds, list):
        return st.one_of(*(by_schema({**schema, "type": kind}) for kind in kinds))
    return TYPES[kinds](schema)


def _numbers(schema: Mapping[str, Any], whole: bool) -> st.SearchStrategy[Any]:
    least, most = (
        schema.get("minimum", schema.get("exclusiveMinimum")),
        schema.get("maximum", schema.get("exclusiveMaximum")),
    )
    if whole:
        usual = st.integers(-3 if least is None else least, min((least or 0) + 300, most or 300))
        return st.one_of(usual, usual, usual, st.integers(least, most), st.just(2**63 if most is None else most))
    bounds = {"exclude_min": "exclusiveMinimum" in schema, "exclude_max": "exclusiveMaximum" in schema}
    bounds = {key: held for key, held in bounds.items() if held}
    return st.floats(least, most, allow_nan=False, allow_infinity=False, **bounds)


def _strings(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        searched = st.one_of(texts, st.sampled_from(("step{0,1..4}", "step{4}", "checkpoint-*")))
        made = st.from_regex(re.compile(schema["pattern"], re.ASCII))
        return st.one_of(searched.filter(re.compile(schema["pattern"]).search), made)
    return texts.filter(lambda text: len(text) >= schema.get("minLength", 0))


def _arrays(schema: Mapping[str, Any]) -> st.SearchStrategy[list[Any]]:
    least = schema.get("minItems", 0)
    sizes = {"min_size": least, "max_size": schema.get("maxItems", least + 2)}
    unique = {"unique_by": repr} if schema.get("uniqueItems") else {}
    return st.lists(by_schema(schema.get("items", {"type": "string"})), **sizes, **unique)


@st.composite
def _objects(draw: st.DrawFn, schema: Mapping[str, Any]) -> dict[str, Any]:
    parts = schema.get("properties", {})
    needed = [key for key in parts if key in schema.get("required", ())]
    optional = [key for key in parts if key not in needed]
    chosen = draw(st.lists(st.sampled_from(optional), max_size=4, unique=True)) if optional else []
    made = {key: draw(by_schema(parts[key])) for key in [*needed, *chosen]}
    if isinstance(rest := schema.get("additionalProperties"), Mapping):
        names = by_schema({"type": "string", **schema.get("propertyNames", {})})
        least = schema.get("minProperties", 0)
        made |= draw(st.dictionaries(names, by_schema(rest), min_size=least, max_size=least + 1))
    for part in schema.get("allOf", ()):
        if Validator(part["if"]).is_valid(made):
            made |= {key: draw(by_schema(then)) for key, then in part["then"]["properties"].items()}
    return made


TYPES = {
    "object": _objects,
    "array": _arrays,
    "string": _strings,
    "integer": lambda schema: _numbers(schema, whole=True),
    "number": lambda schema: _numbers(schema, whole=False),
    "boolean": lambda schema: st.booleans(),
    "null": lambda schema: st.none(),
}  # fmt: skip


@st.composite
def _chosen_of(draw: st.DrawFn, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a sweep may choose of a catalog entry: few checkpoints, so that plans stay small."""
    chosen: dict[str, Any] = {}
    named = entry.get("checkpoints")
    if isinstance(named, str) and "*" not in named:
        named = steps.expand(named)
    if named:
        chosen["checkpoints"] = draw(st.lists(st.sampled_from(sorted(named)), min_size=1, max_size=3, unique=True))
    if "seeds" in entry:
        chosen["seeds"] = draw(st.lists(st.sampled_from(entry["seeds"]), min_size=1, max_size=2, unique=True))
    if entry.get("kind") != "static" and draw(st.booleans()):
        layers = st.sampled_from((0, 1, 2, -1, -2, "input_embeddings", "output_embeddings"))
        chosen["layers"] = draw(st.lists(layers, min_size=1, max_size=3, unique=True))
    return chosen or draw(st.sampled_from(({}, None)))


def _pattern(draw: st.DrawFn, unit: str, last: int) -> str:
    return draw(st.sampled_from((f"{unit}{{{last}}}", f"{unit}{{0,{last}}}", f"{unit}{{0,1,{last}}}")))


@st.composite
def _own_models(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Entries of each kind that a sweep brings itself, by name."""
    last = draw(st.integers(2, 9))
    text = draw(st.sampled_from(("lee_news", "film_reviews", "multiwoz", "bbc_news")))
    architecture = {
        "model_type": "gpt_neox", "hidden_size": 16, "num_hidden_layers": draw(st.integers(1, 3)), "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": draw(st.sampled_from((64, 128, 512))),
    }  # fmt: skip
    tuned = {"dataset": text, "validation": "film_reviews", "max_length": 32}
    of_steps = tuned | {"steps": last}
    made: dict[str, dict[str, Any]] = {
        "small": {
            "train": "language_model", "kind": "causal", "architecture": architecture, "tokenizer": {"vocabulary_size": 300},
            "training": {"dataset": text, "steps": last, "sequence_length": 32}, "checkpoints": _pattern(draw, "step", last),
        },
        "masked_small": {
            "train": "language_model", "kind": "masked", "architecture": architecture | {"model_type": "bert"},
            "tokenizer": {"vocabulary_size": 300}, "checkpoints": _pattern(draw, "step", last),
            "training": {"dataset": text, "steps": last, "masking": 0.15, "sequence_length": 32},
        },
        "grokked": {
            "train": "grokking", "kind": "encoder", "checkpoints": _pattern(draw, "step", last),
            "architecture": architecture | {"model_type": "equation_decoder", "dropout": draw(st.sampled_from((0, 0.1)))},
            "training": {"dataset": draw(st.sampled_from(("addition_mod_197", "permutations_of_5"))), "fraction": 0.3, "steps": last},
            "vary": {"training.fraction": [0.25, 0.5], "training.weight_decay": [0.0, 1.0]}, "seeds": [1, 2],
        },
        "words": {
            "train": "word_vectors", "kind": "static",
            "training": {"dataset": text, "algorithm": draw(st.sampled_from(("word2vec", "fasttext"))), "dimension": 8},
        },
        "tuned": {
            "train": "fine_tuned_language_model", "base": "small", "kind": "causal", "training": of_steps,
            "base_checkpoint": f"step{last}", "checkpoints": _pattern(draw, "step", last),
        },
        "classifier": {
            "train": "fine_tuned_classifier", "base": draw(st.sampled_from(("minilm", "bert-base-uncased"))), "kind": "encoder",
            "training": {"dataset": "labelled", "validation": "labelled", "max_length": 32, "epochs": last},
            "checkpoints": _pattern(draw, "epoch", last),
        },
        "embedding": {
            "train": "lora_embedding", "base": "gpt2", "kind": "causal", "training": of_steps | {"rank": 2},
            "vary": {"training.rank": [1, 2]}, "checkpoints": _pattern(draw, "step", last),
        },
        "with_lora": {
            "train": "fine_tuned_language_model", "base": "gpt2", "kind": "causal",
            "training": of_steps | {"lora": {"rank": 2}}, "checkpoints": _pattern(draw, "step", last),
        },
        "fetched": {
            "hub": "someone/model{seed}", "kind": draw(st.sampled_from(("causal", "encoder", "masked"))), "layers": 3,
            "seeds": [0, 7], "size_gb": draw(st.floats(0.01, 50)), "checkpoints": {"first": 1, "main": None, "a/b": 3},
        },
        "adapted": {"hub": "someone/adapter", "kind": "causal", "base": "gpt2"},
        "vectors": {"package": "gensim", "folder": VECTORS, "kind": "static", "format": "word2vec_binary"},
    }  # fmt: skip
    return made


OWN_DATASETS: dict[str, dict[str, Any]] = {
    "labelled": {"loader": "hub", "hub": "SetFit/bbc-news", "label_column": "label"},
    "parts": {
        "loader": "text", "package": "gensim", "file": "test/test_data/lee_background.cor", "encoding": "latin-1",
        "own_splits": {"train": 0.8, "test": 0.2},
    },
    "small_equations": {"loader": "equations", "task": "addition", "modulus": 7},
}  # fmt: skip
MEASURABLE = {
    name: entry for name, entry in CATALOG["models"].items() if entry.get("layers", 0) <= 24 and "{" not in entry.get("hub", "")
}  # fmt: skip


@st.composite
def _estimate(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(("twonn", "mle", "lpca", *estimators.names())))
    scope = draw(st.sampled_from(estimators.get(name).scopes))
    item: dict[str, Any] = {"estimator": name, "scope": scope}
    allowed = estimators.get(name).parameters(scope)
    for key in draw(st.lists(st.sampled_from(sorted(allowed)), max_size=1)) if allowed else ():
        numbers = st.integers(2, 12) if isinstance(allowed[key], int) else st.floats(0.01, 0.5)
        usual = st.just(allowed[key]) if isinstance(allowed[key], bool | str | None) else numbers
        value = draw(st.one_of(usual, usual, usual, odd_values))
        item[key] = draw(st.sampled_from((value, [value])))
    return item


@st.composite
def _figure_options(draw: st.DrawFn, figure: str, names: Mapping[str, list[str]]) -> dict[str, Any]:
    allowed = figures.options(figure)
    parts = SCHEMA["$defs"]["figure"]["properties"]
    made = {}
    for key in draw(st.lists(st.sampled_from(sorted(allowed)), max_size=1)) if allowed else ():
        known = names.get(key)
        one = st.sampled_from(known).map(lambda name: [name]) if known else by_schema(parts[key])
        made[key] = draw(st.one_of(one, by_schema(parts[key])))
    return made


@st.composite
def plausible(draw: st.DrawFn) -> dict[str, Any]:
    """A sweep as a user may write it, over models and datasets of the catalog and its own; most can be run."""
    own = draw(_own_models())
    pool = {**MEASURABLE, **own}
    usual = st.sampled_from(("minilm", "tiny_neox", *own))
    names = draw(
        st.lists(st.one_of(usual, usual, st.sampled_from(sorted(MEASURABLE))), min_size=1, max_size=2, unique=True)
    )
    config: dict[str, Any] = {
        "sweep": draw(by_schema(SCHEMA["$defs"]["name"])),
        "models": {name: draw(_chosen_of(pool[name])) for name in names},
        "datasets": draw(
            st.lists(
                st.sampled_from(("lee_news", "film_reviews", "lee_news", "parts:test", "wikitext-103:test", "multiwoz", "bbc_news")),
                min_size=1, max_size=2, unique=True,
            )
        ),
        "tokens": {"max_length": draw(st.sampled_from((16, 32, 64))), "sequences": draw(st.sampled_from((20, 500, None)))},
        "catalog": {"models": {}, "datasets": copy.deepcopy(OWN_DATASETS)},
    }  # fmt: skip
    if all(own.get(name, {}).get("kind") == "static" for name in names):
        config["datasets"] = []
    if "grokked" in names:
        config["datasets"] = [own["grokked"]["training"]["dataset"]]
        config["models"] = {"grokked": config["models"]["grokked"]}
    config["catalog"]["models"] = {name: entry for name, entry in own.items() if draw(st.booleans()) or name in names}
    config["catalog"]["models"].setdefault("small", own["small"])
    config["points"] = draw(
        st.one_of(
            st.just({"number": 300}),
            st.fixed_dictionaries({"number": st.sampled_from((200, [200, 400]))}, optional={
                "noise": st.sampled_from((0, 0.5, [0, 0.5])), "tokens": st.sampled_from(("all", "text", ["all", "word_start"])),
                "seed": st.sampled_from((1, [1, 2])), "center": st.booleans(), "sequences": st.sampled_from((None, 5, [5, 9])),
            }),
        )
    )  # fmt: skip
    config["neighbors"] = {"number": draw(st.sampled_from((64, 128)))}
    if draw(st.booleans()):
        sets = st.lists(_estimate(), min_size=1, max_size=3)
        config["estimator_sets"] = {name: draw(sets) for name in draw(st.sampled_from((["a"], ["a", "b"])))}
    else:
        config["estimator_sets"] = {
            "standard": [{"estimator": "twonn", "scope": scope, "n_neighbors": 16} for scope in ("local",)]
            + [{"estimator": "twonn", "scope": "global"}]
        }
    options = {"models": names, "datasets": config["datasets"], "static": names, "estimators": ["twonn"]}
    usual_figures = ("violins", "heatmap", "dynamics", "profiles", "sensitivity", "agreement", "tokens")
    drawn = draw(st.lists(st.sampled_from((*usual_figures, *figures.names())), max_size=2, unique=True))
    config["figures"] = {figure: draw(_figure_options(figure, options)) for figure in drawn}
    for key in draw(st.lists(st.sampled_from(("title", "nulls", "scales", "compute", "keep_embeddings", "vocabulary", "extraction", "layers",
                                              "representations", "comparisons")), max_size=2, unique=True)):  # fmt: skip
        config[key] = draw(by_schema(SCHEMA["properties"][key]))
    return config


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a configuration."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*at, key)
        yield from _places(item, (*at, key))


@st.composite
def _somewhere(draw: st.DrawFn, config: Mapping[str, Any]) -> tuple[Any, ...]:
    """The path of something: each section as often as the others, however much it holds."""
    section = draw(st.sampled_from(list(config)))
    return (section, *draw(st.sampled_from([(), *_places(config[section])])))


def _schema_of(config: Mapping[str, Any], place: tuple[Any, ...]) -> Mapping[str, Any]:
    """The part of the schema that a place in a configuration belongs to."""
    schema: Mapping[str, Any] = SCHEMA
    value: Any = config
    for key in place:
        value = value[key]
        if isinstance(key, int):
            schema = schema.get("items", {})
        elif "train" in schema.get("properties", {}) and key in (own := _own_schemas(_parent(config, place))):
            schema = own[key]
        else:
            schema = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _own_schemas(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the training of a model's entry may have in its block; nothing for models that are not trained."""
    return kinds.get(entry["train"]).schemas() if "train" in entry else {}


def _parent(config: Mapping[str, Any], place: tuple[Any, ...]) -> Mapping[str, Any]:
    """The model's entry that a place belongs to."""
    return config["catalog"]["models"][place[2]]


@st.composite
def altered(draw: st.DrawFn) -> dict[str, Any]:
    """A plausible configuration in which parts are of other values that the schema allows there, or are there besides."""
    config = draw(plausible())
    for _ in range(draw(st.integers(1, 3))):
        place = draw(_somewhere(config))
        value: Any = config
        for key in place:
            value = value[key]
        schema = _schema_of(config, place)
        keys = sorted(schema.get("properties", {}))
        if isinstance(value, dict) and keys:
            key = draw(st.sampled_from(keys))
            part = schema["properties"][key]
            if "train" in value:
                part = kinds.get(value["train"]).schemas().get(key, part)
            value[key] = draw(by_schema(part))
        else:
            *parents, key = place
            value = config
            for parent in parents:
                value = value[parent]
            value[key] = draw(by_schema(schema))
    return config


def valid_by_schema() -> st.SearchStrategy[dict[str, Any]]:
    """Configurations of which every key is of the right type and in its bounds, whatever they mean."""
    return st.one_of(altered(), altered(), altered(), by_schema(SCHEMA))


@st.composite
def broken(draw: st.DrawFn) -> dict[str, Any]:
    """A plausible configuration in which one to three things are not what they should be."""
    config = draw(plausible())
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        if not config:
            break
        *parents, key = draw(_somewhere(config))
        place: Any = config
        for parent in parents:
            place = place[parent]
        match draw(st.sampled_from(("replace", "replace", "replace", "delete", "rename", "add", "wrap", "clear"))):
            case "delete":
                del place[key]
            case "rename" if isinstance(place, dict):
                place[draw(st.one_of(texts, st.sampled_from((1, None, True, 2.5))))] = place.pop(key)
            case "add" if isinstance(place, dict):
                place[draw(texts)] = draw(odd_values)
            case "wrap":
                place[key] = [place[key]]
            case "clear":
                place[key] = type(place[key])()
            case _:
                if key in place if isinstance(place, dict) else True:
                    place[key] = draw(odd_values)
    return config
