"""Read and check a sweep's configuration before anything runs.

Every complaint names the key's path, what was given and what is allowed; all of them are reported
at once in one `ConfigError`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite, prod
from pathlib import Path
from typing import Any

import jsonschema

from idsweep.config import lists as expansion
from idsweep.config.runs import runs, wrong_seeds
from idsweep.config.schema import with_registries
from idsweep.config.yaml_file import read_yaml, repeated_keys
from idsweep.estimators import registry as estimators
from idsweep.estimators.ranges import Range
from idsweep.figures import registry as figures
from idsweep.machine.names import nearest_name
from idsweep.machine.printable import printable

MOST_SHOWN = 10
MOST_COMBINATIONS = 1000  # of lists of values
DEEPEST, MOST_ITEMS = 50, 1_000_000  # of what a config file holds, whose aliases may stand for ever more
LARGEST = 2**63  # whole numbers that tables can hold are below
LONGEST_NAME = 200  # bytes of a name that becomes part of a path; file systems take 255, endings included
SHARE = "neighbor_share"  # in place of n_neighbors
KINDS = {
    "object": "a mapping (as `name:` below it)",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false (with --config, True or False)",
    "null": "nothing",
}
# Stricter than JSON Schema, for which 200.0 is a whole number and infinity a number.
TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda _, value: isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value),
    }
)
Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=TYPES)


class ConfigError(ValueError):
    """A configuration that cannot be run; the message says where, what was given and what is allowed."""

    def __init__(self, complaints: list[str]) -> None:
        self.complaints = complaints = list(dict.fromkeys(complaints))
        more = len(complaints) - MOST_SHOWN
        shown = complaints[:MOST_SHOWN] + ([f"… and {more} more"] if more > 0 else [])
        super().__init__("The configuration cannot be run:\n" + "\n".join(f"  - {printable(line)}" for line in shown))


def load(given: Mapping[str, Any], folder: Path, files: Iterable[Path] = ()) -> dict[str, Any]:
    """The sweep's configuration with all defaults, and the catalog in `catalog`.

    given: what Snakemake read from the config files. folder: the project's `config/`. files: those config files, which are
    looked through for keys that stand twice.
    Raises ConfigError.
    """
    try:
        twice = [complaint for file in dict.fromkeys(files) for complaint in repeated_keys(Path(file))]
    except ValueError as error:
        twice = [str(error)]
    if twice:
        raise ConfigError(twice)
    schema = with_registries(_read_yaml(folder / "schema.yaml"))
    _check_size(given)
    config = _plain(given)
    _check_plain(config)
    _check_options(config.get("figures"))
    own = config.get("catalog", {}).get("models") if isinstance(config.get("catalog"), Mapping) else None
    _complete_varied(own, schema, prefix="catalog.models.")
    points, complaints = _take_lists(config, schema)
    _check(config, schema, beside=complaints)
    _fill_defaults(config, schema, schema)
    config["nulls"] = sorted(config["nulls"])
    for key in ("classes", "without"):
        if key in config["tokens"]:
            config["tokens"][key] = sorted(set(config["tokens"][key]))
    _leave_unused(config, schema)
    of_points = schema["properties"]["points"]["properties"]
    points = [{key: _typed(value, of_points[key]) for key, value in settings.items()} for settings in points]
    filled = [config["points"] | settings for settings in points]
    config["points"] = filled if len(filled) > 1 else filled[0]
    config["clouds"] = expansion.clouds(filled)
    config["catalog"] = {
        kind: _catalog(folder / "catalog" / f"{kind}.yaml", kind, schema) | config["catalog"][kind]
        for kind in ("models", "datasets")
    }
    _check_estimators(config)
    return config


def _leave_unused(config: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Set what has no effect to its default, so that a change of it makes nothing stale: seeds with which nothing is drawn."""
    tokens, scales = config["tokens"], config["scales"]
    unused = {
        ("tokens", "sequence_seed"): tokens["sequences"] is None or tokens["choose"] == "first",
        ("vocabulary", "seed"): config["vocabulary"]["number"] is None,
        ("scales", "seed"): not scales["halvings"] and not config["nulls"],
    }
    for (section, key), is_unused in unused.items():
        if is_unused and not isinstance(config[section][key], list):
            config[section][key] = schema["properties"][section]["properties"][key]["default"]


def _read_yaml(path: Path) -> Any:
    try:
        return read_yaml(path)
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _catalog(path: Path, kind: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    entries = _read_yaml(path) or {}
    _check_plain(entries, prefix=f"{path.name}: ")
    part = {"$defs": schema["$defs"], **schema["$defs"][kind]}
    if kind == "models":
        _complete_varied(entries, schema, prefix=f"{path.name}: ")
    _check(entries, part, prefix=f"{path.name}: ")
    _fill_defaults(entries, part, schema)
    return entries


def _check_options(given: Any) -> None:
    """Raise ConfigError for figures that there are not, and for options that a figure has not."""
    complaints = []
    for figure, options in given.items() if isinstance(given, dict) else ():
        kind = figures.kind(str(figure))
        if kind not in figures.names():
            complaints.append(
                f"{key_path(['figures', figure])}: {kind!r} is not the name of a figure; {choose(kind, figures.names())}"
            )
        elif isinstance(options, dict):
            allowed = sorted(figures.options(figure))
            complaints += [
                f"{key_path(['figures', figure, key])}: unknown option of the figure {figure}; {choose(key, allowed)}"
                for key in sorted(options.keys() - allowed)
            ]
    if complaints:
        raise ConfigError(complaints)


def _take_lists(config: dict[str, Any], schema: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Put each estimate of a list of values in place of the list, and take `points:`, a list of settings, out of `config`.

    Returns these settings and what is wrong about them. Raises ConfigError for wrong lists of estimates.
    """
    complaints: list[str] = []
    sets = config.get("estimator_sets")
    for name, items in sets.items() if isinstance(sets, dict) else ():
        if isinstance(items, list) and all(isinstance(item, dict) and "estimator" in item for item in items):
            lists = [
                (i, key, value)
                for i, item in enumerate(items)
                for key, value in item.items()
                if isinstance(value, list)
            ]
            for i, key, values in lists:
                complaints += _wrong_list(values, key_path(["estimator_sets", name, i, key]))
            for i, item in enumerate(items):
                complaints += _too_many(item, key_path(["estimator_sets", name, i]))
            if lists and not complaints:
                sets[name] = expansion.estimates(items, label="estimator")
    if complaints:
        raise ConfigError(complaints)
    given = config.pop("points", {})
    several = isinstance(given, list)
    if several:
        complaints += _wrong_list(given, "points")
    for i, settings in enumerate(given if several else [given]):
        complaints += _wrong_points(settings, schema["properties"]["points"], f"points[{i}]" if several else "points")
    return (given if several else [given]), complaints


def _wrong_points(settings: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    """Complaints about the settings of clouds; each value of a list is checked as if it stood there alone."""
    lists = (
        {key: values for key, values in settings.items() if isinstance(values, list)}
        if isinstance(settings, dict)
        else {}
    )
    for key, values in lists.items():
        yield from _wrong_list(values, f"{at}.{key}")
        for i, value in enumerate(values):
            for error in Validator(schema).iter_errors({key: value}):
                yield from (line.replace(f"{at}.{key}", f"{at}.{key}[{i}]", 1) for line in _complaints(error, at))
    yield from _too_many(lists, at)
    alone = {key: value for key, value in settings.items() if key not in lists} if lists else settings
    for error in Validator(schema).iter_errors(alone):
        yield from _complaints(error, at)


def _too_many(settings: Mapping[str, Any], at: str) -> Iterator[str]:
    """Complaints about lists of values whose combinations nobody can want."""
    number = prod(len(values) for values in settings.values() if isinstance(values, list))
    if number > MOST_COMBINATIONS:
        yield f"{at}: its lists have {number:,} combinations of values; expected at most {MOST_COMBINATIONS:,}"


def _wrong_list(values: list[Any], at: str) -> Iterator[str]:
    if not values:
        yield f"{at}: the list is empty; name at least one value"
    elif any(value in values[:i] for i, value in enumerate(values)):
        yield f"{at}: {values} names a value twice"


def _complete_varied(entries: Any, schema: Mapping[str, Any], prefix: str) -> None:
    """Give each entry that varies keys their first values, so that it is an entry like others.

    Raises ConfigError with what is wrong about `vary` and `seeds`, each varied value checked as if it stood in the entry.
    """
    part = {"$defs": schema["$defs"], **schema["$defs"]["models"]["additionalProperties"]}
    complaints: list[str] = []
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        if not isinstance(entry, dict):
            continue
        at = f"{prefix}{name}"
        complaints += [at + line for line in wrong_seeds(entry)]
        vary = entry.get("vary")
        if wrong := list(Validator(schema["$defs"]["vary"]).iter_errors(vary)) if "vary" in entry else []:
            complaints += [line for error in wrong for line in _complaints(error, f"{at}.vary")]
        elif too_many := [*_too_many(vary or {}, f"{at}.vary")]:
            complaints += too_many
        elif "vary" in entry and all(isinstance(entry.get(key.split(".")[0], {}), dict) for key in vary):
            varied_runs = runs(name, {key: value for key, value in entry.items() if key != "seeds"})
            for run in varied_runs:
                for error in Validator(part).iter_errors(run.entry):
                    complaints += [
                        line for line in _complaints(error, f"{at}.vary") if _about(line, f"{at}.vary", vary)
                    ]
            entries[name] = entry | varied_runs[0].entry
    if complaints:
        raise ConfigError(complaints)


def _about(complaint: str, at: str, keys: Iterable[str]) -> bool:
    return any(re.match(re.escape(f"{at}.{key}") + r"[:.\[]", complaint) for key in keys)


def _check_size(given: Any) -> None:
    """Raise ConfigError for what aliases of YAML make endless, or far larger than its file."""
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), given)]
    seen = 0
    while waiting:
        at, value = waiting.pop()
        seen += 1
        if len(at) > DEEPEST or seen > MOST_ITEMS:
            raise ConfigError(
                [
                    f"{key_path(at[:3])}: it contains itself or too much, by aliases (&name, *name); write out what is meant"
                ]
            )
        waiting += [((*at, key), item) for key, item in _inside(value)]


def _inside(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _plain(value: Any) -> Any:
    """Deep copy into plain dicts and lists (Snakemake hands over an OrderedDict)."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return copy.copy(value)


def _check_plain(value: Any, prefix: str = "") -> None:
    """Raise ConfigError for keys that are no text and values that JSON has not (dates, NaN), which YAML makes unasked, and for
    text and numbers that files cannot hold."""
    if complaints := [prefix + complaint for complaint in _not_plain(value, [])]:
        raise ConfigError(complaints)


def _not_plain(value: Any, at: list[Any]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{key_path(at)}: the key {key!r} is not text; put it in quotes"
            elif wrong := _no_character(key):
                yield f"{key_path(at)}: the key {_short(key)} has the character {wrong!r}, which no text holds; remove it"
            yield from _not_plain(item, [*at, key])
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _not_plain(item, [*at, i])
    elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not isfinite(value)):
        yield f"{key_path(at)}: {_short(value)} is not allowed; expected a number or text (put it in quotes if it is text)"
    elif isinstance(value, str) and (wrong := _no_character(value)):
        yield f"{key_path(at)}: {_short(value)} has the character {wrong!r}, which no text holds; remove it (in a regular expression, write its code, as \\x1b)"
    elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
        yield f"{key_path(at)}: {_short(value)} is out of range; whole numbers must be below 2^63"


def _no_character(text: str) -> str | None:
    """The first character that is in no text: a control character, as ESC, which terminals obey, or half of a pair of UTF-16."""
    found = re.search("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", text)
    return found and found[0]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _fill_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]] | schema
    if not isinstance(value, dict):
        return
    for key, part in schema.get("properties", {}).items():
        if "default" in part:
            value.setdefault(key, copy.deepcopy(part["default"]))
        if key in value:
            value[key] = _typed(value[key], part)
            _fill_defaults(value[key], part, root)
    for part in schema.get("allOf", ()):
        if Validator(part["if"]).is_valid(value):
            _fill_defaults(value, part["then"], root)
    rest = schema.get("additionalProperties")
    if isinstance(rest, Mapping):
        for key in value.keys() - schema.get("properties", {}).keys():
            value[key] = _typed(value[key], rest)
            _fill_defaults(value[key], rest, root)


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """A value, or the values of a list, as floats where the schema says number: 0 and 0.0 are one setting."""
    if isinstance(value, list):
        return [_typed(one, schema.get("items", schema)) for one in value]
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_whole and schema.get("type") == "number" else value


def _check(value: Any, schema: Mapping[str, Any], prefix: str = "", beside: Iterable[str] = ()) -> None:
    """Raise ConfigError with all that is wrong, and what was found beside it."""
    errors = sorted(Validator(schema).iter_errors(value), key=lambda e: list(map(str, e.path)))
    if complaints := [*beside, *(prefix + line for error in errors for line in _complaints(error))]:
        raise ConfigError(complaints)


def _complaints(error: jsonschema.ValidationError, at: str = "") -> Iterator[str]:
    """What is wrong, by the keys' paths; at: the path of what was checked."""

    def below(*keys: str) -> str:
        return key_path([*([at] if at else []), *error.absolute_path, *keys])

    path = below()
    given = _short(error.instance)
    match error.validator:
        case "additionalProperties":
            allowed = sorted(error.schema.get("properties", {}))
            for key in sorted(map(str, error.instance.keys() - set(allowed))):
                yield f"{below(key)}: unknown key; {choose(key, allowed)}"
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            keys = error.schema.get("properties", {})
            yield from (
                f"{below(key)}: this key is required"
                + (f" ({keys[key]['description']})" if "description" in keys.get(key, {}) else "")
                for key in missing
            )
        case "enum":
            yield f"{path}: {given} is not known; {choose(error.instance, error.validator_value)}"
        case "type":
            types = error.validator_value
            types = [types] if isinstance(types, str) else types
            yield f"{path}: {given} is of the wrong type; expected {' or '.join(KINDS[kind] for kind in types)}"
        case "oneOf":
            yield f"{path}: {given} is not allowed; expected {error.schema['description']}"
        case "maxLength":
            yield f"{path}: {given} is too long; expected at most {error.validator_value} characters"
        case "pattern":
            yield f"{path}: {given} is not allowed; it must match {error.validator_value}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            sign = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
            yield f"{path}: {given} is out of range; it must be {sign[error.validator]} {error.validator_value}"
        case "minItems" | "minProperties" if not error.instance:
            yield f"{path}: {given} is empty; name at least one"
        case "minItems" | "maxItems":
            bound = {"minItems": "least", "maxItems": "most"}[error.validator]
            yield f"{path}: {given} has {len(error.instance)} items; expected at {bound} {error.validator_value}"
        case "uniqueItems":
            yield f"{path}: {given} names something twice"
        case _:
            yield f"{path}: {error.message}"


def key_path(parts: Any) -> str:
    """`points.number` for a key in the configuration, `(top level)` for the whole."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "(top level)"


def choose(given: Any, allowed: Any) -> str:
    """`did you mean 'x'? Allowed: …` for a wrong name."""
    allowed = [str(name).lower() if isinstance(name, bool) else str(name) for name in allowed]
    near = nearest_name(given, allowed)
    hint = f"did you mean {near!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed) or '(nothing)'}"


def label(item: Mapping[str, Any]) -> str:
    """The name of one estimate in tables and figures."""
    return item.get("name", item["estimator"])


def needs_vectors(item: Mapping[str, Any]) -> bool:
    """Whether one estimate needs the vectors themselves, not only the neighbour graph."""
    return item["scope"] in estimators.get(item["estimator"]).vectors


def memory_beyond(item: Mapping[str, Any], number: int, dimension: int) -> float:
    """Bytes that one estimate takes beside a cloud of `number` points and its graph."""
    return estimators.get(item["estimator"]).memory(number, dimension) if item["scope"] == "global" else 0.0


def parameters(item: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters given to one estimate: what is neither its estimator, its scope nor its name."""
    return {key: value for key, value in item.items() if key not in ("estimator", "scope", "name")}


def at_size(item: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """One estimate of a cloud of `number` points: with its number of neighbours, where it says a share."""
    if SHARE not in item:
        return item
    others = {key: value for key, value in item.items() if key != SHARE}
    return others | {"n_neighbors": max(2, round(item[SHARE] * number))}


def neighbors_needed(item: Mapping[str, Any]) -> int:
    """The neighbours that one estimate looks at."""
    return estimators.get(item["estimator"]).neighbors_needed(all_parameters(item))


def all_parameters(item: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of one estimate, those left out or without effect at their defaults."""
    estimator, given = estimators.get(item["estimator"]), parameters(item)
    defaults = estimator.parameters(item["scope"])
    floats = {key for key, default in defaults.items() if isinstance(default, float)}
    used = defaults | {
        key: float(value) if key in floats and value is not None else value for key, value in given.items()
    }
    return used | {key: defaults[key] for key, (other, value) in estimator.only_with.items() if used[other] != value}


def _wrong_shares(
    item: Mapping[str, Any], config: Mapping[str, Any], allowed: Mapping[str, Any], at: list[Any]
) -> Iterator[str]:
    where = key_path([*at, SHARE])
    if "n_neighbors" in item:
        yield f"{where}: n_neighbors stands beside it; give one of both"
    elif "n_neighbors" not in allowed:
        yield f"{where}: {item['estimator']} ({item['scope']}) has no n_neighbors; remove this key"
    for name, cloud in config["clouds"].items():
        k = at_size(item, cloud["number"])["n_neighbors"]
        if k > config["neighbors"]["number"]:
            yield (
                f"{where}: {item[SHARE]:g} of {cloud['number']} points (cloud {name}) are {k} neighbours, but neighbors.number stores "
                f"{config['neighbors']['number']}; lower the share or points.number, or raise neighbors.number"
            )


def _items(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for items in config["estimator_sets"].values() for item in items]


def _wrong_values(
    given: Mapping[str, Any], defaults: Mapping[str, Any], ranges: Mapping[str, Range], at: list[Any]
) -> Iterator[str]:
    """Complaints about parameters outside their ranges, or without one of another kind than their defaults; a default of
    None says nothing."""
    for key in sorted(given.keys() & defaults.keys()):
        expected = _kind(defaults[key])
        if key in ranges:
            if not ranges[key].holds(given[key]):
                yield f"{key_path([*at, key])}: {_short(given[key])} is not allowed; expected {ranges[key]}"
        elif expected is not None and _kind(given[key]) != expected:
            yield f"{key_path([*at, key])}: {_short(given[key])} is of the wrong type; expected {KINDS[expected]}"


def _kind(value: Any) -> str | None:
    kinds = {"boolean": bool, "number": int | float, "string": str}
    return next((name for name, kind in kinds.items() if isinstance(value, kind)), None)


def _check_estimators(config: Mapping[str, Any]) -> None:
    complaints = []
    k = config["neighbors"]["number"]
    points = max(settings["number"] for settings in config["clouds"].values())
    for limit, n in (("points", points), ("tokens", config["tokens"]["number"])):
        if k >= n:
            complaints.append(
                f"neighbors.number: {k} neighbours cannot be found among {limit}.number = {n} {limit}; "
                f"expected at most {n - 1}"
            )
    seen = set()
    for name, items in config["estimator_sets"].items():
        for i, item in enumerate(items):
            at = ["estimator_sets", name, i]
            estimator = estimators.get(item["estimator"])
            if item["scope"] not in estimator.scopes:
                complaints.append(
                    f"{key_path([*at, 'scope'])}: {item['estimator']} offers no {item['scope']} estimate; "
                    f"{choose(item['scope'], estimator.scopes)}"
                )
                continue
            allowed = estimator.parameters(item["scope"])
            if SHARE in item:
                if shares := [*_wrong_shares(item, config, allowed, at)]:
                    complaints += shares
                    continue
                item = at_size({"name": label(item), **item}, points)
            unknown = sorted(parameters(item).keys() - allowed.keys())
            for key in unknown:
                complaints.append(
                    f"{key_path([*at, key])}: unknown parameter of {item['estimator']} ({item['scope']}); "
                    f"{choose(key, sorted(allowed))}"
                )
            wrong = [*_wrong_values(parameters(item), allowed, estimator.ranges, at)]
            used = allowed | parameters(item)
            if not unknown and not wrong and estimator.check is not None:
                try:
                    estimator.check(used)
                except (ValueError, TypeError) as error:
                    wrong = [f"{key_path(at)}: {error}"]
            if wrong:
                complaints += wrong
                continue
            if (needed := estimator.neighbors_needed(used)) > k:
                where = [*at, "n_neighbors"] if "n_neighbors" in used else at
                complaints.append(
                    f"{key_path(where)}: {needed} neighbours are needed, but neighbors.number "
                    f"stores {k}; lower it or raise neighbors.number"
                )
            if (label(item), item["scope"]) in seen:
                complaints.append(
                    f"{key_path(at)}: a second {item['scope']} estimate named {label(item)!r}; "
                    "give it a `name` of its own"
                )
            seen.add((label(item), item["scope"]))
    if complaints:
        raise ConfigError(complaints)
