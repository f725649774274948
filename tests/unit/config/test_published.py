"""Tables of docs/experiments.md that hold published settings against ours say what the configuration says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import yaml
from builders.project import PROJECT
from idsweep.config.load import load

HEADER = re.compile(r"\| `(?P<experiment>\w+)\.yaml` \| published \| here \| same\? \|")


class Row(NamedTuple):
    """A row: the key of an experiment, and what the table says of it."""

    experiment: str
    key: str
    published: str
    here: str
    same: str


def rows() -> Iterator[Row]:
    """All rows of all such tables."""
    experiment = None
    for line in (PROJECT / "docs/experiments.md").read_text(encoding="utf-8").splitlines():
        if header := HEADER.fullmatch(line):
            experiment = header["experiment"]
        elif not line.startswith("|"):
            experiment = None
        elif experiment and not line.startswith("|---"):
            key, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            yield Row(experiment, key.strip("`"), *cells)


ROWS = list(rows())


def written(value: Any) -> str:
    """A value as a table has it."""
    if isinstance(value, list):
        return ", ".join(map(written, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def at(value: Any, key: str) -> Any:
    """What stands at a dotted key; names may hold dots."""
    if not key:
        return value
    if isinstance(value, list):
        first, _, rest = key.partition(".")
        return at(value[int(first)], rest)
    for name in value:
        if key == name or key.startswith(f"{name}."):
            return at(value[name], key.removeprefix(name).removeprefix("."))
    raise KeyError(key)


def settings(experiment: str) -> list[Mapping[str, Any]]:
    """The sweep with all defaults, once for each of its models that start from a base, whose keys stand beside the sweep's."""
    file = PROJECT / f"config/experiments/{experiment}.yaml"
    given = yaml.safe_load(file.read_text(encoding="utf-8"))
    config = load(given, PROJECT / "config", [file])
    entries = [config["catalog"]["models"][name] for name in given["catalog"]["models"]]
    return [config | entry for entry in entries if "base" in entry]


@pytest.mark.parametrize("experiment", sorted({row.experiment for row in ROWS}))
def test_tables_of_published_settings_follow_the_configuration(experiment: str) -> None:
    of_experiment = [row for row in ROWS if row.experiment == experiment]
    assert len(of_experiment) > 5
    every = settings(experiment)
    for row in of_experiment:
        values = {written(at(one, row.key)) for one in every}
        assert values == {row.here}, f"{experiment}, {row.key}: the table must say {' / '.join(values)}"
        assert (row.same == "yes") == (row.published == row.here), f"{experiment}, {row.key}: 'same?' is wrong"
