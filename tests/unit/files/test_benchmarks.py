"""What Snakemake wrote down of jobs, by rule."""

from __future__ import annotations

import shutil
from pathlib import Path

from idsweep.files.benchmarks import usage


def test_what_jobs_took_is_summed_by_rule(tmp_path: Path) -> None:
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, row in {
        "find/a/x": "2.5\t0:00:02\t100\t-\t-\t-\t-\t-\t-\t4.0",
        "find/a/y": "1.5\t0:00:01\t300\t-\t-\t-\t-\t-\t-\t1.0",
        "report": "0.1\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA",
    }.items():
        file = tmp_path / f"benchmarks/{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{head}{row}\n")
    (tmp_path / "benchmarks/broken.tsv").write_bytes(b"\xff\xfe")
    (tmp_path / "benchmarks/empty.tsv").write_text(head)
    assert usage(tmp_path) == {"find": (2, 4.0, 5.0, 300 * 2**20), "report": (1, 0.1, 0.0, 0.0)}
    shutil.rmtree(tmp_path)
    assert usage(tmp_path) == {}
