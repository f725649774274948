"""What each rule writes and where: patterns of paths below the folder of a sweep's results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from idsweep.files.representations import VOCABULARY

RESULTS = "results"
TOKENIZER = {"tokenizer": "tokenizers/{tokenizer}"}
TRAINED = {"checkpoints": "training/{model}/checkpoints", "metrics": "training/{model}/metrics.parquet"}
OF_TOKENS = ("token_groups", "token_extremes", "loss_correlations")


def _tables(*names: str) -> dict[str, str]:
    return {name: f"tables/{name}.parquet" for name in names}


# Rule -> output -> pattern. Trainings are alike: see `outputs`.
OUTPUTS: Mapping[str, Mapping[str, str]] = {
    "prepare_dataset": {"corpus": "corpora/{release}.parquet"},
    "fetch_tokenizer": TOKENIZER,
    "convert_tokenizer": TOKENIZER,
    "train_tokenizer": TOKENIZER,
    "write_tokenizer": TOKENIZER,
    "fetch_checkpoint": {"weights": "checkpoints/{model}/{checkpoint}"},
    "convert_weights": {"weights": "checkpoints/{model}/{checkpoint}"},
    "sample_tokens": {
        "tokens": "tokens/{tokenizer}/{dataset}.parquet",
        "sequences": "sequences/{tokenizer}/{dataset}.parquet",
    },
    "sample_vocabulary": {"tokens": f"tokens/{{tokenizer}}/{VOCABULARY}.parquet"},
    "extract_embeddings": {
        "embeddings": "embeddings/{model}/{checkpoint}/{dataset}.parquet",
        "predictions": "predictions/{model}/{checkpoint}/{dataset}.parquet",
        "losses": "losses/{model}/{checkpoint}/{dataset}.parquet",
    },
    "extract_vocabulary": {"embeddings": f"embeddings/{{model}}/{{checkpoint}}/{VOCABULARY}.parquet"},
    "find_neighbors": {"neighbors": "neighbors/{model}/{checkpoint}/{dataset}/{cloud}.parquet"},
    "project_points": {"map": "maps/{model}/{checkpoint}/{dataset}.parquet"},
    "estimate_dimensions": {
        "estimates": "estimates/{part}/{model}/{checkpoint}/{dataset}/{cloud}/{layers}.parquet",
    },
    "describe_tokens": {
        name: f"token_tables/{{set}}/{{model}}/{{checkpoint}}/{{dataset}}/{{cloud}}/{name}.parquet"
        for name in OF_TOKENS
    },
    "collect_estimates": _tables("local", "global"),
    "collect_training": _tables("training"),
    "collect_reference": _tables("reference"),
    "collect_losses": _tables("losses"),
    "collect_shifts": _tables("shifts"),
    "collect_contrasts": _tables("contrasts"),
    "collect_tokens": _tables(*OF_TOKENS),
    "detect_events": _tables("events", "leads", "run_leads", "correlations"),
    "write_csv": {"csv": "tables/{table}.csv"},
    "draw_figure": {ending: f"figures/{{figure}}.{ending}" for ending in ("pdf", "png", "svg")},
    "describe_sweep": {"about": "about.html"},
    "write_report": {"report": "report.html"},
    "write_explorer": {"explorer": "explorer.html"},
}
MADE_BY = {
    name: rule
    for rule, written in OUTPUTS.items()
    for name, pattern in written.items()
    if pattern == f"tables/{name}.parquet"
}


Names = tuple[tuple[str, str], ...]  # wildcards and their values, sorted by wildcard


class Output(NamedTuple):
    """One output of a job: the rule, the values of its wildcards, and the name of the output."""

    rule: str
    names: Names
    name: str


def output_of(rule: str, output: str, **names: str) -> Output:
    """The output `output` of the job of `rule` whose wildcards have the values `names`."""
    return Output(rule, tuple(sorted(names.items())), output)


def folder_of_sweep(sweep: str, root: str = RESULTS) -> str:
    """Where the results of a sweep lie, from the folder in which the workflow runs; root: where those of all sweeps do."""
    return f"{root}/{sweep}"


def path_of(sweep: str, output: Output, root: str = RESULTS) -> str:
    """Where an output lies, from the folder in which the workflow runs; root: where the results of all sweeps lie."""
    return f"{folder_of_sweep(sweep, root)}/{outputs(output.rule)[output.name].format_map(dict(output.names))}"


def outputs(rule: str) -> Mapping[str, str]:
    """Output -> pattern of what a rule writes; of every training, checkpoints and metrics."""
    return OUTPUTS.get(rule, TRAINED)
