"""What `snakemake --config` was given, as YAML means it.

Snakemake reads `tokens={number: 50}` as YAML in which every value is text. Values that stand alone (`partial=True`) it
understands itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml


def typed(config: Mapping[str, Any], arguments: Iterable[str], within: bool = False) -> dict[str, Any]:
    """A configuration in which values from the command line are numbers, truth values and lists of such, as they were written.

    arguments: what followed `--config`, each `key=value`. Only what still stands in `config` as Snakemake read it is changed.
    within: whether the configuration may be what a larger one has under one of its keys, as that of a module.
    """
    changed = dict(config)
    for argument in arguments:
        key, _, text = argument.partition("=")
        try:
            as_text, meant = yaml.load(text, yaml.BaseLoader), yaml.safe_load(text)
        except yaml.YAMLError:  # text to Snakemake as well
            continue
        if key in changed and isinstance(as_text, dict | list):
            changed[key] = _typed(changed[key], as_text, meant)
        elif within and isinstance(as_text, dict):
            changed = _typed(changed, as_text, meant)
    return changed


def _typed(value: Any, as_text: Any, meant: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(as_text, dict) and isinstance(meant, dict):
        read = {key: (as_text[key], part) for key, part in zip(as_text, meant.values(), strict=True)}
        return {key: _typed(part, *read[key]) if key in read else part for key, part in value.items()}
    return meant if value == as_text else value
