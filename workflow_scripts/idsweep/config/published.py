"""What an experiment sets beside what was published, setting by setting.

`config/experiments/published/NAME.yaml` holds the published side: `source`, and `settings`, a list of

    setting:    what it is, in words
    published:  its published value
    key:        where it stands in the experiment, such as catalog.models.*.training.steps. * is every model or item that has
                the rest; a dot within a name is written /
    equals:     the value of that key that says the same (default: `published`); a list of the names, if it holds several by name
    ours, in:   instead of `key`, where no key says it: what idsweep does, and the module that does it
    why:        the reason of a difference, needed where there is one and refused where there is none
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from idsweep.config.load import load
from idsweep.config.yaml_file import read_yaml

FIELDS = {"setting", "published", "key", "equals", "ours", "in", "why"}
HEAD = "| setting | published | here | same? |\n|---|---|---|---|\n"


class Row(NamedTuple):
    """One setting, as texts. differs: why it does, or None if it is the same."""

    setting: str
    published: str
    here: str
    differs: str | None


def names(folder: Path) -> list[str]:
    """The experiments that have a published side. folder: the project's `config/`."""
    return sorted(path.stem for path in (folder / "experiments/published").glob("*.yaml"))


def table(name: str, folder: Path) -> str:
    """The comparison as Markdown. Raises ValueError as `compare` does."""
    source, rows = compare(name, folder)
    lines = [
        f"| {row.setting} | {row.published} | {row.here} | {'yes' if row.differs is None else f'**no**: {row.differs}'} |"
        for row in rows
    ]
    return f"Source: {source}\n\n{HEAD}" + "\n".join(lines) + "\n"


def compare(name: str, folder: Path) -> tuple[str, list[Row]]:
    """The source, and a row for each published setting of the experiment `name`. folder: the project's `config/`.

    Raises ValueError if there is no such file, if a key is not in the configuration, or if a difference has no reason, or a
    reason no difference; the message names the file and the setting.

    Example: `compare("grokking", Path("config"))[1][0].setting`
    """
    file = folder / "experiments/published" / f"{name}.yaml"
    if not file.is_file():
        raise ValueError(f"{name!r}: nothing published is written down for it; choose from {', '.join(names(folder))}.")
    page = read_yaml(file)
    config = load(read_yaml(folder / "experiments" / f"{name}.yaml"), folder)
    rows = []
    for said in page["settings"]:
        at = f"{file}: setting {said.get('setting')!r}"
        if unknown := said.keys() - FIELDS:
            raise ValueError(f"{at}: unknown field {min(unknown)}; the fields are {', '.join(sorted(FIELDS))}.")
        if ("key" in said) == ("ours" in said):
            raise ValueError(f"{at}: it needs either a key or ours.")
        if "key" in said:
            values = list(_at(config, config, _keys(said["key"])))
            if not values:
                raise ValueError(f"{at}: the configuration has no {said['key']}.")
            if isinstance(said.get("equals"), list):
                values = [list(value) if isinstance(value, Mapping) else value for value in values]
            shared = values[0] if all(value == values[0] for value in values) else values
            here = f"`{_name(said['key'])}: {_written(shared)}`"
            same = shared == said.get("equals", said["published"])
        else:
            here = str(said["ours"])
            if "in" in said:
                if importlib.util.find_spec(said["in"]) is None:
                    raise ValueError(f"{at}: there is no module {said['in']}.")
                here += f" (`{said['in']}`)"
            same = "why" not in said
        if same == ("why" in said):
            what = "it is the same, so no reason is needed" if same else f"it differs ({here}); say why"
            raise ValueError(f"{at}: {what}.")
        rows.append(Row(said["setting"], _written(said["published"]), here, said.get("why")))
    return page["source"], rows


def _keys(path: str) -> list[str]:
    return [key.replace("/", ".") for key in path.split(".")]


def _name(path: str) -> str:
    """The last key of a path that is neither * nor a place in a list."""
    return next(key for key in reversed(_keys(path)) if key != "*" and not key.isdigit())


def _at(value: Any, config: Mapping[str, Any], keys: list[str]) -> Iterator[Any]:
    """The values at a path of keys. `*` below the catalog means the entries that the sweep uses."""
    if not keys:
        yield value
        return
    key, rest = keys[0], keys[1:]
    if isinstance(value, list):
        inside = list(enumerate(value))
    elif isinstance(value, Mapping):
        inside = list(value.items())
    else:
        return
    if key != "*":
        inside = [(name, item) for name, item in inside if str(name) == key]
    elif value is config["catalog"]["models"]:
        inside = [(name, item) for name, item in inside if name in config["models"]]
    for _, item in inside:
        yield from _at(item, config, rest)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False).replace('"', "")
