"""Text from elsewhere does nothing to a terminal; names that were meant are found."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders.sweeps import complaints_of
from idsweep.config.load import ConfigError
from idsweep.machine.names import nearest_name
from idsweep.machine.printable import printable
from idsweep.workflow import library_warnings, preflight, run
from idsweep.workflow.script import job

CODES = "\x1b[31m\x1b]0;title\x07\x9b2J\r\x08\u202e"
OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202e]")
SWEEP = {"sweep": "s", "models": {"minilm": {"layers": [1]}}, "datasets": ["lee_news"], "figures": {}}


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printable(f"a{CODES}\ud800") == r"a\x1b[31m\x1b]0;title\x07\x9b2J\r\x08\u202e\ud800"
    assert printable("naïve — 模型 می\u200cشود\t|\n🙂") == "naïve — 模型 می\u200cشود\t|\n🙂"


@pytest.mark.parametrize(
    "change",
    [
        {f"key{CODES}": 1},
        {"title": f"x{CODES}"},
        {"models": {f"m{CODES}": {}}},
        {"datasets": [f"d{CODES}"]},
        {"catalog": {"models": {"x": {f"key{CODES}": 1}}}},
        {"reference": f"{CODES}.csv"},
    ],
)
def test_complaints_about_a_configuration_hold_no_codes(change: dict) -> None:
    told = complaints_of(SWEEP | change)
    assert told
    assert not OBEYED.search(str(ConfigError(told)))


def test_messages_before_and_after_a_run_hold_no_codes(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        preflight.refuse([f"the file {CODES} is damaged"])
    log = tmp_path / "job.log"
    log.write_text(f"error: {CODES}\n")
    (tmp_path / "snakemake.log").write_text(f"Error in rule a\n    jobid: 1\n    log: {log} (check log file)\n")
    (tmp_path / f"{CODES[:5]}.csv").touch()
    (tmp_path / "b.warnings").write_text(
        '{"run": "r", "subject": "\\u001b[31m", "library": "peft", "message": "\\u001b[2J", "log": "b.log"}\n'
    )
    for said in (
        str(ended.value.code),
        run.describe_failures([str(tmp_path / "snakemake.log")]),
        run.describe_results([str(tmp_path / f"{CODES[:5]}.csv")]),
        library_warnings.describe_warnings(tmp_path, "r"),
    ):
        assert r"\x1b" in said
        assert not OBEYED.search(said)


def test_neither_the_log_of_a_job_nor_the_screen_gets_codes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    log = tmp_path / "a.log"
    given = SimpleNamespace(
        log=[str(log)],
        resources={},
        wildcards={},
        rule="a",
        threads=1,
        params=SimpleNamespace(settings="{}", signature=""),
    )
    with pytest.raises(SystemExit), job(given):
        logging.getLogger("idsweep.x").warning("weights %s", CODES)
        print(f"said {CODES}")
        raise ValueError(f"the tensor {CODES} is absent")
    screen = capsys.readouterr().err
    for said in (screen, log.read_text(encoding="utf-8")):
        assert r"\x1b[31m" in said
        assert not OBEYED.search(said)


@pytest.mark.parametrize(
    ("given", "meant"),
    [("TwoNN", "twonn"), ("two-nn", "twonn"), ("MLE", "mle"), ("lPCA", "lpca"), (["twonn"], "twonn"), ("x", None), (None, None), ("", None)],
)  # fmt: skip
def test_a_name_is_found_whatever_its_case(given: object, meant: str | None) -> None:
    assert nearest_name(given, ["corrint", "lpca", "mle", "twonn"]) == meant


def test_an_estimator_in_capitals_is_found_in_a_configuration() -> None:
    sets = {"a": [{"estimator": "TwoNN", "scope": "local"}]}
    assert any("did you mean 'twonn'?" in told for told in complaints_of(SWEEP | {"estimator_sets": sets}))
