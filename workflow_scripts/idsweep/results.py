"""The results of a sweep, from Python: its tables, single values and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idsweep.figures import registry
from idsweep.files.parquet import provenance, read_table
from idsweep.files.representations import VOCABULARY, of_layer
from idsweep.files.vectors import read_estimates, read_identities
from idsweep.tables.collect import local_values, read_frame
from idsweep.tables.export import find_results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PLACE = ("model", "checkpoint", "dataset")
TOKEN = ("point", "sequence", "position", "token")


def load(sweep: str | Path) -> Results:
    """The results of a sweep that was run.

    Parameters
    ----------
    sweep : path
        The folder of a sweep's results, or its name below `results/`.

    Returns
    -------
    Results
        Reads a file when it is needed, and writes none.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it has no tables.

    Examples
    --------
    >>> import idsweep
    >>> results = idsweep.load("results/demo")  # doctest: +SKIP
    >>> results.table("local").query("variant == 'data'").groupby("layer")["mean"].max()  # doctest: +SKIP
    >>> results.local(model="tiny_neox", checkpoint="step512", dataset="lee_news", layer=2)  # doctest: +SKIP
    >>> results.figure("dynamics", scale="log").savefig("dynamics.pdf")  # doctest: +SKIP
    """
    return Results(find_results(sweep))


class Results:
    """What lies in the folder of a sweep's results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r}), tables: {', '.join(self.tables)}"

    @property
    def tables(self) -> list[str]:
        """Names of the tables."""
        return sorted(file.stem for file in (self.folder / "tables").glob("*.parquet"))

    def table(self, name: str) -> pd.DataFrame:
        """A table for pandas; `polars.read_parquet(results.folder / "tables/local.parquet")` reads it for polars.

        Raises FileNotFoundError, with the tables that there are, if it is not one of them.
        """
        return read_frame(name, str(self._table(name)))

    def local(
        self,
        *,
        model: str,
        dataset: str,
        layer: int | str,
        checkpoint: str | None = None,
        estimator: str | None = None,
        cloud: str | None = None,
        set: str | None = None,
    ) -> pd.DataFrame:
        """The local estimates of single tokens, of the data.

        layer: a number or the name of a representation. checkpoint, estimator, cloud, set: needed where there are several.

        Returns a row for each point: `point`, `sequence`, `position`, `token`, and `value`, NaN where it is undefined.

        Raises ValueError, with what there is, if nothing or more than one is meant.
        """
        given = {"model": model, "dataset": dataset, "checkpoint": checkpoint, "cloud": cloud, "set": set}
        representation = of_layer(layer) if isinstance(layer, int) else layer
        found = []
        for file, identity in self._estimates:
            if identity["representation"] != representation:
                continue
            if all(value is None or identity[key] == value for key, value in given.items()):
                values = local_values(read_estimates(file, representation))
                found += [
                    (file, identity | {"estimator": one}, of_one)
                    for one, of_one in values.items()
                    if estimator in (None, one)
                ]
        if len(found) != 1:
            choices = given | {"representation": representation, "estimator": estimator}
            raise ValueError(self._meant(choices, [identity for _, identity, _ in found]))
        ((file, _, (points, values)),) = found
        tokens = read_table(self._tokens_of(file)).select(TOKEN).to_pandas()
        return tokens.set_index("point").loc[points].assign(value=values).reset_index()

    def figure(self, name: str, **options: Any) -> Figure:
        """Draw one of the figures, `dynamics`, `heatmap` …, with its options (config/README.md), of everything that was measured.

        Raises ValueError if there is no such figure, and FileNotFoundError if the sweep lacks a table that it needs.
        """
        frames = [self._frame(table) for table in registry.tables(name)]
        return registry.get(name)(*frames, **options)

    def _table(self, name: str) -> Path:
        file = self.folder / "tables" / f"{name}.parquet"
        if not file.is_file():
            raise FileNotFoundError(
                f"{self.folder} has no table {name}; it has {', '.join(self.tables)}. Figures of a sweep's configuration "
                "say which tables it makes."
            )
        return file

    def _frame(self, table: str) -> pd.DataFrame:
        """One of the tables that figures read; some are made of values as they are, of each model's last checkpoint."""
        if table == "predictions":
            return read_frame(table, list(self._predictions()), self._names)
        if table in ("pointwise", "compared"):
            last = self._last_checkpoints()
            files = [
                str(file)
                for file, identity in self._estimates
                if table == "compared" or identity["checkpoint"] == last[identity["model"]]
            ]
            return read_frame(table, list(dict.fromkeys(files)))
        return self.table(table)

    @cached_property
    def _estimates(self) -> list[tuple[Path, Mapping[str, Any]]]:
        """Each file of estimates with each representation in it."""
        files = sorted((self.folder / "estimates").rglob("*.parquet"))
        return [(file, identity) for file in files for identity in read_identities(file).values()]

    def _last_checkpoints(self) -> dict[str, str]:
        """Model -> its checkpoint of the highest step; of those without steps, the last by name."""
        found: dict[str, tuple[float, str]] = {}
        for _, identity in self._estimates:
            step = -1.0 if identity["step"] is None else identity["step"]
            found[identity["model"]] = max(found.get(identity["model"], (-2.0, "")), (step, identity["checkpoint"]))
        return {model: checkpoint for model, (_, checkpoint) in found.items()}

    def _predictions(self) -> Iterator[str]:
        last, names = self._last_checkpoints(), self._names
        for file in sorted((self.folder / "predictions").rglob("*.parquet")):
            at = provenance(file)["wildcards"]
            model, checkpoint = (names[key].get(at[key], at[key]) for key in ("model", "checkpoint"))
            if last.get(model) == checkpoint:
                yield str(file)

    @cached_property
    def _names(self) -> dict[str, dict[str, str]]:
        """Of models, checkpoints and datasets: what stands in paths -> the name."""
        names: dict[str, dict[str, str]] = {key: {} for key in PLACE}
        for file, identity in dict(self._estimates).items():
            at = provenance(file)["wildcards"]
            for key in PLACE:
                names[key][at[key]] = identity[key]
        return names

    def _tokens_of(self, estimates: Path) -> Path:
        """The sampled tokens that a file of estimates goes back to."""
        made_from = [provenance(estimates)]
        while made_from:
            one = made_from.pop()
            if one["rule"].startswith("sample_"):
                at = one["wildcards"]
                return self.folder / "tokens" / at["tokenizer"] / f"{at.get('dataset', VOCABULARY)}.parquet"
            made_from += one["from"]
        raise ValueError(f"{estimates} does not say which tokens it was made of.")

    def _meant(self, given: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str:
        """What to say where a choice is of nothing, or of several."""
        said = ", ".join(f"{key}={value!r}" for key, value in given.items() if value is not None)
        if found:
            several = {
                key: values
                for key in given
                if len(values := list(dict.fromkeys(identity[key] for identity in found))) > 1
            }
            choices = "; ".join(f"{key}: {', '.join(map(str, values))}" for key, values in several.items())
            return f"{said} means several estimates; choose one of {choices}."
        for key in ("model", "dataset", "checkpoint", "representation", "cloud", "set"):
            known = list(dict.fromkeys(identity[key] for _, identity in self._estimates))
            if given.get(key) is not None and given[key] not in known:
                return f"{self.folder} has no {key} {given[key]!r}; it has {', '.join(map(str, known))}."
        return f"{self.folder} has no local estimates of {said}."
