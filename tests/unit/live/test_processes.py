"""A training in two processes: all measure or none does, one writes, and the values are those of one process."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
import warm
from builders.live_trainings import decoder, texts, tokenizer
from builders.project import PROJECT
from idsweep.files.parquet import read_table
from idsweep.live import LiveDimension

TRAINING = """
import json, sys
from pathlib import Path
import torch
import warm
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from builders.live_trainings import decoder, rows, texts, tokenizer
from idsweep.live import LiveDimension

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
model = DistributedDataParallel(decoder())
# Only rank 0 decides: the budget of the other alone would allow all.
budget = 1e-6 if rank == 0 else None
first = LiveDimension(model, tokenizer(), texts(), layers=[-1], n_neighbors=16, points=300, max_length=32, folder=folder / "live")
short = LiveDimension(model, tokenizer(), texts(), layers=[-1], n_neighbors=16, points=300, max_length=32, budget=budget)
optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
ids = torch.tensor([row["input_ids"] for row in rows()])[rank::2]
found = []
for step in range(3):
    found.append([first.measure(step), short.measure(step)])
    torch.manual_seed(step)
    model(ids[:4], labels=ids[:4]).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
torch.save(model.module.state_dict(), folder / f"weights{rank}.pt")
(folder / f"found{rank}.json").write_text(json.dumps(found))
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_measure_the_same(tmp_path: Path) -> None:
    path = f"import sys; sys.path[:0] = {[str(PROJECT / 'tests'), str(PROJECT / 'workflow_scripts')]}\n"
    command = [warm.python(), "-c", path + TRAINING]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [one.wait(timeout=180) for one in running] == [0, 0]
    found = [json.loads((tmp_path / f"found{rank}.json").read_text()) for rank in range(2)]
    values = [[step[0]["layer_02/mean"] for step in of_rank] for of_rank in found]
    assert values[0] == values[1] and len({*values[0]}) == 3
    assert [[bool(step[1]) for step in of_rank] for of_rank in found] == [[True, False, False]] * 2
    assert read_table(tmp_path / "live/local_dimension.parquet")["value"].to_pylist() == values[0]

    model = decoder()
    alone = LiveDimension(model, tokenizer(), texts(), layers=[-1], n_neighbors=16, points=300, max_length=32)
    assert alone.measure(0)["layer_02/mean"] == values[0][0]
    weights = [torch.load(tmp_path / f"weights{rank}.pt", weights_only=True) for rank in range(2)]
    assert all(map(torch.equal, weights[0].values(), weights[1].values()))
