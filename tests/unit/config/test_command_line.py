"""Values after `--config` are what YAML means by them, also within braces and brackets."""

from __future__ import annotations

import pytest
from idsweep.config.command_line import typed
from snakemake.cli import parse_config
from snakemake.utils import update_config

FILE = {"tokens": {"number": 300, "max_length": 32, "select": "text"}, "layers": "all", "sweep": "s"}


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("tokens={number: 50}", {"tokens": FILE["tokens"] | {"number": 50}}),
        ('tokens={"number": 50}', {"tokens": FILE["tokens"] | {"number": 50}}),
        ("tokens={select: last, number: 1e3}", {"tokens": FILE["tokens"] | {"select": "last", "number": "1e3"}}),
        ("tokens={select: '50'}", {"tokens": FILE["tokens"] | {"select": "50"}}),
        ("tokens={number: }", {"tokens": FILE["tokens"] | {"number": None}}),
        ("layers=[0, -1]", {"layers": [0, -1]}),
        ("points=[{number: 10}, {number: 20}]", {"points": [{"number": 10}, {"number": 20}]}),
        (
            "extraction={losses: false, masked: {deep: [1.5, yes]}}",
            {"extraction": {"losses": False, "masked": {"deep": [1.5, True]}}},
        ),
        ("where={1: 2}", {"where": {"1": 2}}),
        ("partial=True", {"partial": True}),
        ("sweep=[half", {"sweep": "[half"}),
        ("sweep=2024", {"sweep": 2024}),
        ("sweep=", {"sweep": None}),
    ],
)
def test_values_are_as_written(argument, expected):
    config = {**FILE, "tokens": dict(FILE["tokens"])}
    update_config(config, parse_config([argument]))
    assert typed(config, [argument]) == FILE | expected


def test_what_is_said_last_counts():
    arguments = ["tokens={number: 50}", "tokens={number: 60, seed: 3}"]
    config = {"tokens": {"number": 300}}
    update_config(config, parse_config(arguments))
    assert typed(config, arguments) == {"tokens": {"number": 60, "seed": 3}}


def test_what_does_not_come_from_there_stays():
    config = {"tokens": {"number": "50"}, "other": {"a": "1"}}
    assert typed(config, ["other={a: 2}", "nowhere={b: 3}"]) == config


def test_a_configuration_may_be_what_a_larger_one_has_under_a_key():
    arguments = ["my_module={tokens: {number: 50}}"]
    whole = {"my_module": {"tokens": {"number": 300, "max_length": 32}}}
    update_config(whole, parse_config(arguments))
    assert typed(whole["my_module"], arguments, within=True) == {"tokens": {"number": 50, "max_length": 32}}
    assert typed(whole["my_module"], arguments) == {"tokens": {"number": "50", "max_length": 32}}
