"""The tables about single tokens of one set of estimates and one cloud, at all its representations."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from idsweep.files.parquet import read_table
from idsweep.files.vectors import each_representation
from idsweep.machine.progress import Progress
from idsweep.tables.collect import identified
from idsweep.tables.token_tables import loss_correlations, token_extremes, token_groups


def describe_tokens(
    estimates: Sequence[str], tokens: str, sequences: str | None, predictions: str | None
) -> dict[str, pa.Table]:
    """Tables token_groups, token_extremes and loss_correlations, with the columns that identify each row.

    All are Parquet files: estimates of all representations, the sampled tokens and, of texts, their sequences and what the
    model makes of the tokens.
    """
    sampled = read_table(tokens)
    texts = None if sequences is None else read_table(sequences)
    measures = None if predictions is None else read_table(predictions)
    parts: dict[str, list] = {"token_groups": [], "token_extremes": [], "loss_correlations": []}
    progress = Progress("describing tokens", len(estimates), "files of estimates")
    for done, file in enumerate(estimates, start=1):
        for identity, table in each_representation(file):
            parts["token_groups"].append((identity, token_groups(table, sampled)))
            parts["token_extremes"].append((identity, token_extremes(table, sampled, texts, measures)))
            parts["loss_correlations"].append((identity, loss_correlations(table, sampled, measures)))
        progress.report(done)
    return {name: identified(tables) for name, tables in parts.items()}
