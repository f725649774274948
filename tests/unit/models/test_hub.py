"""Model folders are fetched from a hub: what is needed and no more, whole or not at all, and every failure is told.

The hub is a server on this machine, the client the real `huggingface_hub` in a process of its own, since it reads its
environment when it is imported.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm
from builders.hub_server import SIGNATURE, HubServer, names_of, serving
from idsweep.models.checkpoints import load_model
from idsweep.models.folders import commit_of, tokenizer_files, weight_files

# Fetches as a job does: everything is logged, an error is logged with its traceback and told.
FETCH = """
import json, logging, resource, signal, sys, traceback
logging.basicConfig(level="DEBUG", stream=sys.stderr)
from idsweep.models import hub
fetches, keywords, waits, largest = json.loads(sys.argv[1])
hub.WAITS = waits
if largest:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
for arguments in fetches:
    try:
        print(hub.fetch(*arguments, **keywords))
    except ValueError as error:
        traceback.print_exc()
        print(error)
"""
pytestmark = pytest.mark.slow

WAITS = (0.01, 0.01, 0.01)
WEIGHTS = bytes(range(256)) * 1000
TOKEN = "hf_secretOfTheUser"


@pytest.fixture
def model(tmp_path) -> Path:
    """A model folder of arbitrary bytes, with the variants and leftovers that repositories have."""
    contents = {
        "config.json": b'{"model_type": "gpt_neox"}',
        "generation_config.json": b"{}",
        "tokenizer.json": b"{}",
        "unusual.model": b"sentencepiece",
        "source.spm": b"sentencepiece",
        "own.tiktoken": b"bytes",
        "modeling_own.py": b"print()",
        "README.md": b"words",
        "model.safetensors": WEIGHTS,
        "model.fp16.safetensors": b"half",
        "consolidated.safetensors": b"other names",
        "pytorch_model.bin": b"pickled",
        "optimizer.bin": b"",
        "flax_model.msgpack": b"flax",
        "original/model.safetensors": b"original",
        "original/tokenizer.model": b"original",
        "original/own.py": b"original",
        "onnx/model.onnx": b"onnx",
    }
    return written(tmp_path / "model", contents)


@pytest.fixture
def hub(model) -> Iterator[HubServer]:
    with serving(("tiny/neox", "step5", model)) as hub:
        yield hub


def written(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def environment_of(hub: HubServer | str, tmp_path: Path, **more: str) -> dict[str, str]:
    endpoint = hub if isinstance(hub, str) else hub.url
    home = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DOWNLOAD_TIMEOUT": "20"}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path), **warm.environment(), **home, **more}


def command(
    *fetches: tuple[str, str, Path], waits=WAITS, largest: int = 0, python: str | None = None, **keywords
) -> list[str]:
    """A process that fetches (hub_id, revision, folder) one after another."""
    arguments = json.dumps([[[*map(str, each)] for each in fetches], keywords, waits, largest])
    return [python or warm.python(), "-c", FETCH, arguments]


def run_fetch(
    hub: HubServer | str, tmp_path: Path, *, hub_id="tiny/neox", revision="step5", environment=None, **keywords
) -> subprocess.CompletedProcess:
    return subprocess.run(
        command((hub_id, revision, tmp_path / "fetched"), **keywords),
        env=environment_of(hub, tmp_path, **(environment or {})),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def fetch_from(hub: HubServer | str, tmp_path: Path, **how) -> str:
    """What `fetch` returns, or how it fails."""
    return run_fetch(hub, tmp_path, **how).stdout.strip()


def fetch_each(hub: HubServer, tmp_path: Path, **keywords) -> dict[str, str]:
    """Revision -> what `fetch` returns, or how it fails, for all of tiny/neox; into folders fetched_REVISION."""
    revisions = list(hub.repositories["tiny/neox"].branches)
    fetches = [("tiny/neox", revision, tmp_path / f"fetched_{revision}") for revision in revisions]
    done = subprocess.run(
        command(*fetches, **keywords),
        env=environment_of(hub, tmp_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(zip(revisions, done.stdout.splitlines(), strict=True))


def fill_cache(hub: HubServer, tmp_path: Path, revision: str = "step5") -> None:
    """What `hf download` does."""
    code = f"from huggingface_hub import snapshot_download; snapshot_download('tiny/neox', revision={revision!r})"
    environment = environment_of(hub, tmp_path) | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    subprocess.run([warm.python(), "-c", code], env=environment, check=True, timeout=60)


def commit(hub: HubServer, revision: str = "step5") -> str:
    return hub.repositories["tiny/neox"].branches[revision]


def fetched_is_whole(hub: HubServer, model: Path, tmp_path: Path) -> bool:
    folder = tmp_path / "fetched"
    same = all(
        (folder / name).read_bytes() == (model / name).read_bytes() for name in names_of(folder) if name != "commit.txt"
    )
    return same and "model.safetensors" in names_of(folder) and not (tmp_path / "fetched.partial").exists()


def test_a_model_is_fetched_and_loaded(tmp_path):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 40,
    }
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt_neox", **sizes))
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "split", max_shard_size="10KB")
    assert len(weight_files(tmp_path / "split")) > 1
    with serving(("tiny/neox", "whole", tmp_path / "whole"), ("tiny/neox", "split", tmp_path / "split")) as hub:
        for revision, told in fetch_each(hub, tmp_path).items():
            folder = tmp_path / f"fetched_{revision}"
            assert told == commit(hub, revision) == commit_of(folder)
            loaded = load_model(folder, kind="causal").state_dict()
            assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


def test_what_a_model_needs_is_fetched_and_no_more(hub, model, tmp_path):
    assert fetch_from(hub, tmp_path) == commit(hub)
    of_tokenizer = {"tokenizer.json", "unusual.model", "source.spm", "own.tiktoken"}
    needed = {"config.json", "model.safetensors", *of_tokenizer}
    assert set(names_of(tmp_path / "fetched")) == needed | {"commit.txt"}
    assert {path.name for path in tokenizer_files(tmp_path / "fetched")} == of_tokenizer
    assert commit_of(tmp_path / "fetched") == commit(hub)
    assert commit_of(model) is None
    assert fetched_is_whole(hub, model, tmp_path)
    resolved = [asked.path for asked in hub.requests if "/resolve/" in asked.path]
    assert sorted(resolved) == sorted(f"/tiny/neox/resolve/{commit(hub)}/{name}" for name in needed)


def test_large_files_tell_how_far_they_are(hub, model, tmp_path):
    (model / "model.safetensors").write_bytes(bytes(12_000_000))
    logged = run_fetch(hub, tmp_path).stderr
    assert "fetching tiny/neox/model.safetensors: 100 % (12 of 12 MB)" in logged
    assert "fetching tiny/neox/config.json" not in logged


def test_code_is_fetched_where_it_is_asked_for_and_weights_can_be_left_out(hub, tmp_path):
    assert fetch_from(hub, tmp_path, weights=False, code=True) == commit(hub)
    assert names_of(tmp_path / "fetched") == sorted(
        [
            "commit.txt",
            "config.json",
            "modeling_own.py",
            "own.tiktoken",
            "source.spm",
            "tokenizer.json",
            "unusual.model",
        ]
    )


INDEX = b'{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
SHARDS = {"model-00001-of-00002.safetensors": b"one", "model-00002-of-00002.safetensors": b"two"}


CONFIG = {"config.json": b"{}"}
WHOLE = {"model.safetensors": b"w"}
SPLIT = {"model.safetensors.index.json": INDEX, **SHARDS}
ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"w"}
OF_MODEL = {  # kind -> what a repository has, what is fetched of it
    "split": (CONFIG | SPLIT | {"model-00001-of-00003.safetensors": b"w"}, {*CONFIG, *SPLIT}),
    "whole_and_split": (CONFIG | WHOLE | SPLIT, {*CONFIG, *WHOLE}),
    "pickle": (
        CONFIG | {"pytorch_model.bin": b"w", "original/model.safetensors": b"w"},
        {*CONFIG, "pytorch_model.bin"},
    ),
    "model_and_adapter": (CONFIG | WHOLE | ADAPTER, {*CONFIG, *WHOLE}),
    "model_and_adapter_of_other_forms": (
        CONFIG | ADAPTER | {"pytorch_model.bin": b"w"},
        {*CONFIG, "pytorch_model.bin"},
    ),
    "empty_file": (CONFIG | WHOLE | {"merges.txt": b""}, {*CONFIG, *WHOLE, "merges.txt"}),
}
OF_ADAPTER = {
    "adapter": (ADAPTER | {"adapter_model.bin": b"w"}, set(ADAPTER)),
    "pickled_adapter": (
        {"adapter_config.json": b"{}", "adapter_model.bin": b"w", "training_args.bin": b"w"},
        {"adapter_config.json", "adapter_model.bin"},
    ),
    "adapter_beside_a_model": (
        CONFIG | WHOLE | ADAPTER | {"vocab.txt": b"v", "own.py": b"print()"},
        {*ADAPTER, "vocab.txt"},
    ),
}


@pytest.mark.parametrize(("adapter", "taken"), [(False, OF_MODEL), (True, OF_ADAPTER)], ids=["model", "adapter"])
def test_which_weights_are_taken(tmp_path, adapter, taken):
    with serving(*served(tmp_path, {kind: contents for kind, (contents, _) in taken.items()})) as hub:
        told = fetch_each(hub, tmp_path, adapter=adapter)
    assert told == hub.repositories["tiny/neox"].branches
    for kind, (contents, expected) in taken.items():
        folder = tmp_path / f"fetched_{kind}"
        assert set(names_of(folder)) == expected | {"commit.txt"}, kind
        assert all((folder / name).read_bytes() == contents[name] for name in expected)


LACKING_A_MODEL = {  # kind -> what a repository has, what is said of it
    "elsewhere": (
        CONFIG | {"original/model.safetensors": b"w"},
        "offers no weights: none of model.safetensors, pytorch_model.bin, whole or with an index. "
        "It has original/model.safetensors, which is not where",
    ),
    "no_config": (WHOLE, "has model.safetensors but no config.json"),
    "adapter": (
        ADAPTER,
        "holds an adapter (adapter_model.safetensors) and no model: its entry in the catalog needs `base: NAME`",
    ),
    "no_shard": (
        CONFIG | {"model.safetensors.index.json": INDEX, "model-00001-of-00002.safetensors": b"one"},
        "lacks model-00002-of-00002.safetensors, one of the 2 files that its model.safetensors.index.json names",
    ),
    "no_index": (
        CONFIG | {"model.safetensors.index.json": b"[]"},
        "that is not an index of weights: it holds no mapping.",
    ),
    "deep_index": (CONFIG | {"model.safetensors.index.json": b"[" * 10**6}, "weights: it is nested too deeply."),
    "damaged_index": (CONFIG | {"model.safetensors.index.json": INDEX[:-9]}, "that is not an index of weights: "),
    "index_of_bytes": (CONFIG | {"model.safetensors.index.json": b"\xff\xfe{"}, "that is not an index of weights: "),
    "index_of_nothing": (
        CONFIG | {"model.safetensors.index.json": b'{"weight_map": {}}'},
        "its weight_map names no files",
    ),
    "index_of_numbers": (
        CONFIG | {"model.safetensors.index.json": b'{"weight_map": {"a": [1]}}'},
        "its weight_map names no files",
    ),
    "shard_outside": (
        CONFIG | {"model.safetensors.index.json": b'{"weight_map": {"a": "../../outside"}}'},
        "lacks ../../outside",
    ),
    "shard_below": (
        CONFIG | {"model.safetensors.index.json": b'{"weight_map": {"a": "x/shard"}}', "x/shard": b"w"},
        "lacks x/shard",
    ),
}
LACKING_AN_ADAPTER = {
    "elsewhere": (
        {"adapter_config.json": b"{}", "checkpoint-5/adapter_model.safetensors": b"w"},
        "offers no weights of an adapter: none of adapter_model.safetensors, adapter_model.bin, whole or with an "
        "index. It has checkpoint-5/adapter_model.safetensors, which is not where",
    ),
    "no_config": (CONFIG | {"adapter_model.bin": b"w"}, "has adapter_model.bin but no adapter_config.json"),
    "model": (
        CONFIG | SPLIT,
        "holds a model (model.safetensors) and no adapter: an entry of the catalog that names it takes no `base`",
    ),
}


@pytest.mark.parametrize(
    ("adapter", "lacking"), [(False, LACKING_A_MODEL), (True, LACKING_AN_ADAPTER)], ids=["model", "adapter"]
)
def test_a_repository_that_lacks_what_is_needed_is_told(tmp_path, adapter, lacking):
    with serving(*served(tmp_path, {kind: contents for kind, (contents, _) in lacking.items()})) as hub:
        told = fetch_each(hub, tmp_path, adapter=adapter)
    for kind, (_, message) in lacking.items():
        assert told[kind].startswith(f"tiny/neox at revision {kind} ")
        assert message in told[kind]
        assert not (tmp_path / f"fetched_{kind}").exists()
    assert not (tmp_path / "fetched_elsewhere.partial").exists()


def served(tmp_path: Path, contents: dict[str, dict[str, bytes]]) -> list[tuple[str, str, Path]]:
    return [("tiny/neox", kind, written(tmp_path / kind, files)) for kind, files in contents.items()]


def test_a_filled_folder_is_left_alone(hub, tmp_path):
    written(tmp_path / "fetched", {"mine.txt": b"mine"})
    assert "fetched is not empty" in fetch_from(hub, tmp_path)
    assert names_of(tmp_path / "fetched") == ["mine.txt"]
    assert hub.requests == []


def test_everything_is_fetched_at_the_commit_that_the_revision_named_first(hub, model, tmp_path):
    later = written(tmp_path / "later", {"config.json": b"{}", "model.safetensors": b"later"})
    first = commit(hub)
    hub.stand_still("model.safetensors", after=10)
    with subprocess.Popen(
        command(("tiny/neox", "step5", tmp_path / "fetched")),
        env=environment_of(hub, tmp_path),
        stderr=subprocess.DEVNULL,
    ) as process:
        assert hub.standing.wait(30)
        assert hub.add("tiny/neox", "step5", later) != first
        hub.released.set()
        assert process.wait(30) == 0
    assert commit_of(tmp_path / "fetched") == first
    assert fetched_is_whole(hub, model, tmp_path)


def test_a_broken_connection_goes_on_where_it_broke(hub, model, tmp_path):
    hub.cut("model.safetensors", after=100_000)
    hub.cut("model.safetensors", after=50_000)
    hub.cut("/api/models", after=20)
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert [asked.range for asked in hub.downloads("model.safetensors")] == [None, "bytes=100000-", "bytes=150000-"]
    assert fetched_is_whole(hub, model, tmp_path)


def test_any_number_of_breaks_is_survived_while_bytes_come(hub, model, tmp_path):
    breaks = 3 * len(WAITS)
    hub.cut("model.safetensors", after=20_000, times=breaks)
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert len(hub.downloads("model.safetensors")) == breaks + 1
    assert fetched_is_whole(hub, model, tmp_path)


def test_a_connection_that_stands_still_is_given_up_and_goes_on(hub, model, tmp_path):
    hub.stand_still("model.safetensors", after=100_000)
    assert fetch_from(hub, tmp_path, environment={"HF_HUB_DOWNLOAD_TIMEOUT": "1"}) == commit(hub)
    assert [asked.range for asked in hub.downloads("model.safetensors")] == [None, "bytes=100000-"]
    assert fetched_is_whole(hub, model, tmp_path)


def test_breaks_without_any_bytes_are_told_after_some_tries(hub, tmp_path):
    hub.cut("model.safetensors", after=0, times=99)
    assert "cannot be reached (RemoteProtocolError" in fetch_from(hub, tmp_path)
    assert len(hub.downloads("model.safetensors")) == 1 + len(WAITS)


def test_a_killed_job_goes_on_where_it_stopped(hub, model, tmp_path):
    hub.stand_still("model.safetensors", after=100_000)
    kept = tmp_path / "fetched.partial" / "model.safetensors.partial"
    with subprocess.Popen(
        command(("tiny/neox", "step5", tmp_path / "fetched"), python=sys.executable),
        env=environment_of(hub, tmp_path),
        stderr=subprocess.DEVNULL,
    ) as process:
        assert hub.standing.wait(30)
        wait_until(lambda: kept.is_file() and kept.stat().st_size == 100_000)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "fetched").exists()
    hub.released.set()
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert [asked.range for asked in hub.downloads("model.safetensors")] == [None, "bytes=100000-"]
    assert len(hub.downloads("config.json")) == 1
    assert fetched_is_whole(hub, model, tmp_path)


def wait_until(true) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_was_left_of_another_commit_is_not_used(hub, model, tmp_path):
    left = {"commit.txt": b"0" * 40, "config.json": b'{"model_type": "opt______"}', "extra.py": b""}
    written(tmp_path / "fetched.partial", left)
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert "extra.py" not in names_of(tmp_path / "fetched")
    assert fetched_is_whole(hub, model, tmp_path)


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(WEIGHTS), WEIGHTS + b"x"], ids=["part", "whole", "too long"])
def test_wrong_bytes_that_were_left_are_fetched_anew(hub, model, tmp_path, left):
    written(tmp_path / "fetched.partial", {"commit.txt": commit(hub).encode(), "model.safetensors.partial": left})
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert hub.downloads("model.safetensors")[-1].range is None
    assert fetched_is_whole(hub, model, tmp_path)


def test_a_server_without_ranges_sends_it_all_again(hub, model, tmp_path):
    hub.ranges = False
    written(
        tmp_path / "fetched.partial", {"commit.txt": commit(hub).encode(), "model.safetensors.partial": WEIGHTS[:1000]}
    )
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert [asked.range for asked in hub.downloads("model.safetensors")] == ["bytes=1000-"]
    assert fetched_is_whole(hub, model, tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_damaged_files_are_fetched_anew_once(hub, model, tmp_path, name):
    hub.damage(name)
    done = run_fetch(hub, tmp_path)
    assert done.stdout.strip() == commit(hub)
    assert f"tiny/neox/{name} came with wrong bytes" in done.stderr
    assert fetched_is_whole(hub, model, tmp_path)
    shutil.rmtree(tmp_path / "fetched")
    hub.damage(name, times=99)
    size = (model / name).stat().st_size
    told = fetch_from(hub, tmp_path)
    assert f"sends wrong bytes as {name}, twice: {size} bytes instead of {size}, with another hash" in told
    assert not (tmp_path / "fetched").exists()


def test_a_file_that_stays_short_is_told(hub, tmp_path):
    hub.sizes["model.safetensors"] = len(WEIGHTS) + 5
    told = fetch_from(hub, tmp_path)
    assert f"sends wrong bytes as model.safetensors, twice: 256000 bytes instead of {len(WEIGHTS) + 5}." in told
    assert not (tmp_path / "fetched").exists()


def test_weights_that_were_published_truncated_are_told_when_they_are_read(tmp_path, model):
    (model / "model.safetensors").write_bytes((10**6).to_bytes(8, "little") + b"{")
    with serving(("tiny/neox", "step5", model)) as hub:
        assert fetch_from(hub, tmp_path) == commit(hub)
    with pytest.raises(ValueError, match=r"not a complete safetensors file \(its header is cut short\)"):
        weight_files(tmp_path / "fetched")


def test_a_rate_limit_is_waited_for_as_long_as_the_hub_asks(hub, model, tmp_path):
    hub.fail("/api/models", 429, Retry_After="1")
    hub.fail("/api/models", 429, RateLimit='"api";r=0;t=1')
    hub.fail("/api/models", 503)
    assert fetch_from(hub, tmp_path) == commit(hub)
    times = [asked.at for asked in hub.requests[:4]]
    assert [later - earlier >= wait for earlier, later, wait in zip(times, times[1:], (1, 1, 0.01), strict=False)] == [
        True
    ] * 3
    assert times[3] - times[2] < 0.9


def test_failures_that_pass_are_tried_again(hub, model, tmp_path):
    for status in (500, 502, 504):
        hub.fail("config.json", status)
    hub.fail("model.safetensors", 429, times=3)
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert fetched_is_whole(hub, model, tmp_path)


def test_failures_that_do_not_pass_are_told_after_some_tries(hub, tmp_path):
    hub.fail("/api/models", 429, times=1 + len(WAITS))
    assert "the rate limit of http://127.0.0.1" in fetch_from(hub, tmp_path)
    hub.fail("model.safetensors", 500, times=1 + len(WAITS), message="the hub is ill")
    assert "answered with HTTP status 500 (the hub is ill)" in fetch_from(hub, tmp_path)
    assert [fault.times for fault in hub.faults] == [0, 0]


def test_a_wait_of_an_hour_is_not_waited_for(hub, tmp_path):
    hub.fail("/api/models", 429, Retry_After="3600")
    assert "rate limit" in fetch_from(hub, tmp_path)
    assert len(hub.requests) == 1


def test_an_unknown_model_is_told(hub, tmp_path):
    told = fetch_from(hub, tmp_path, hub_id="tiny/nothing")
    assert "tiny/nothing at revision step5 cannot be found: there is no such model at http://127.0.0.1" in told
    assert "HF_TOKEN" in told
    assert len(hub.requests) == 1
    hub.tokens = {TOKEN}
    told = fetch_from(hub, tmp_path, hub_id="tiny/nothing", environment={"HF_TOKEN": TOKEN})
    assert "cannot be found: there is no such model" in told
    assert "Repo id" in fetch_from(hub, tmp_path, hub_id="a/b/c")


def test_a_missing_revision_is_told_with_those_near_it(hub, model, tmp_path):
    for revision in ("main", "step4", "step6", "else"):
        hub.add("tiny/neox", revision, model)
    told = fetch_from(hub, tmp_path, revision="step7")
    assert "tiny/neox at revision step7 cannot be found: the model has no such revision. It has 5 branches" in told
    assert all(f"step{number}" in told for number in (4, 5, 6))
    assert "else" not in told
    hub.fail("/refs", 500)
    assert fetch_from(hub, tmp_path, revision="step7").endswith("has no such revision.")


def test_gated_and_private_models_need_a_token(hub, model, tmp_path):
    hub.tokens = {TOKEN}
    repository = hub.repositories["tiny/neox"]
    repository.gated = True
    told = fetch_from(hub, tmp_path)
    assert "is gated: accept its conditions at https://huggingface.co/tiny/neox, and give a token" in told
    repository.gated, repository.private = False, True
    assert "or it is private and needs a token" in fetch_from(hub, tmp_path)
    assert "refuses the token" in fetch_from(hub, tmp_path, environment={"HF_TOKEN": "hf_old"})
    repository.gated = True
    assert fetch_from(hub, tmp_path, environment={"HF_TOKEN": TOKEN}) == commit(hub)
    shutil.rmtree(tmp_path / "fetched")
    written(tmp_path / "home", {"token": TOKEN.encode()})
    assert fetch_from(hub, tmp_path) == commit(hub)


def test_without_a_network_it_is_told(hub, tmp_path):
    told = fetch_from("http://127.0.0.1:9", tmp_path)
    assert "http://127.0.0.1:9 cannot be reached (ConnectError" in told
    assert "HF_HUB_OFFLINE=1" in told
    hub.fail("/api/models", 200)
    assert "is not the hub" in fetch_from(hub, tmp_path)


def test_a_full_disk_is_told(hub, model, tmp_path):
    hub.sizes["model.safetensors"] = 10**18
    assert "needs 1,000,000,000,000.0 MB below" in fetch_from(hub, tmp_path)
    assert hub.downloads("model.safetensors") == []
    hub.sizes.clear()
    told = fetch_from(hub, tmp_path, largest=50_000)
    assert "cannot be stored: [Errno 27] File too large" in told
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert hub.downloads("model.safetensors")[-1].range == "bytes=50000-"
    assert fetched_is_whole(hub, model, tmp_path)


OFFLINE = {"HF_HUB_OFFLINE": "1"}


def test_offline_a_model_comes_from_the_cache(hub, model, tmp_path):
    fill_cache(hub, tmp_path)
    asked = len(hub.requests)
    assert fetch_from(hub, tmp_path, environment=OFFLINE) == commit(hub)
    assert len(hub.requests) == asked
    assert fetched_is_whole(hub, model, tmp_path)
    assert commit_of(tmp_path / "fetched") == commit(hub)
    shutil.rmtree(tmp_path / "fetched")
    assert fetch_from(hub, tmp_path, revision=commit(hub), environment=OFFLINE) == commit(hub)


def test_what_the_cache_has_is_linked_and_not_fetched_again(hub, model, tmp_path):
    fill_cache(hub, tmp_path)
    hub.requests.clear()
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert [asked.path.rpartition("/")[2] for asked in hub.requests] == ["step5"]
    assert fetched_is_whole(hub, model, tmp_path)
    weights = tmp_path / "fetched" / "model.safetensors"
    assert any(path.samefile(weights) for path in (tmp_path / "home").rglob("blobs/*"))
    shutil.rmtree(tmp_path / "fetched")
    assert fetch_from(hub, tmp_path, environment=OFFLINE) == commit(hub)


def test_a_cache_on_another_disk_is_linked_symbolically(hub, model, tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with tempfile.TemporaryDirectory(dir=memory) as elsewhere:
        fill_cache(hub, Path(elsewhere))
        hub.requests.clear()
        assert fetch_from(hub, tmp_path, environment={"HF_HOME": f"{elsewhere}/home"}) == commit(hub)
        assert len(hub.requests) == 1
        assert (tmp_path / "fetched" / "model.safetensors").is_symlink()
        assert fetched_is_whole(hub, model, tmp_path)
        shutil.rmtree(tmp_path / "fetched")
        (kept,) = Path(elsewhere).rglob("snapshots/*/model.safetensors")
        assert kept.read_bytes() == WEIGHTS


def test_offline_what_is_not_whole_in_the_cache_is_told(hub, tmp_path):
    advice = "HF_HUB_OFFLINE is set, so nothing but the Hugging Face cache was asked"
    told = fetch_from(hub, tmp_path, environment=OFFLINE)
    assert "tiny/neox at revision step5 is not in the Hugging Face cache" in told
    assert f"{advice}: unset it, or run once where there is a network: hf download tiny/neox --revision step5" in told
    assert hub.requests == []
    fill_cache(hub, tmp_path)
    (snapshot,) = (tmp_path / "home").rglob(f"snapshots/{commit(hub)}")
    weights = snapshot / "model.safetensors"
    blob = weights.resolve()
    blob.write_bytes(WEIGHTS[:-1])
    told = fetch_from(hub, tmp_path, environment=OFFLINE)
    assert f"has a damaged model.safetensors in the Hugging Face cache: {weights}" in told
    assert advice in told
    for name in ("model.safetensors", "pytorch_model.bin"):
        (snapshot / name).unlink()
    told = fetch_from(hub, tmp_path, environment=OFFLINE)
    assert "offers no weights" in told
    assert advice in told


def test_a_damaged_cache_is_not_used_where_there_is_a_network(hub, model, tmp_path):
    fill_cache(hub, tmp_path)
    (weights,) = (tmp_path / "home").rglob("snapshots/*/model.safetensors")
    weights.resolve().write_bytes(WEIGHTS[::-1])
    assert fetch_from(hub, tmp_path) == commit(hub)
    assert fetched_is_whole(hub, model, tmp_path)


def test_the_token_reaches_the_hub_and_nothing_else(hub, model, tmp_path):
    hub.tokens = {TOKEN}
    hub.repositories["tiny/neox"].private = True
    as_user = {"HF_TOKEN": TOKEN, "HF_DEBUG": "1"}
    quoted = f"the token {TOKEN} may not"
    outcomes = []
    for part, status in (("/api/models", 401), ("/api/models", 403), ("config.json", 404), ("config.json", 418)):
        hub.fail(part, status, message=quoted)
        outcomes.append(run_fetch(hub, tmp_path, environment=as_user))
    for status in (429, 500):
        hub.fail("/api/models", status, times=1 + len(WAITS), message=quoted)
        outcomes.append(run_fetch(hub, tmp_path, environment=as_user))
    hub.faults.clear()
    outcomes.append(run_fetch(hub, tmp_path, revision="nowhere", environment=as_user))
    outcomes.append(run_fetch("http://127.0.0.1:9", tmp_path, environment=as_user))
    outcomes.append(run_fetch(hub, tmp_path, environment=as_user | {"HF_TOKEN": f"{TOKEN}\x01"}))
    assert all("tiny/neox at revision" in done.stdout for done in outcomes), [done.stdout for done in outcomes]
    assert "the token [token] may not" in outcomes[1].stdout
    assert "characters that no token has" in outcomes[-1].stdout
    hub.cut("model.safetensors", after=1000)
    outcomes.append(run_fetch(hub, tmp_path, environment=as_user))
    assert outcomes[-1].stdout.strip() == commit(hub)
    said = "".join(done.stdout + done.stderr for done in outcomes)
    assert "trying again" in said
    assert TOKEN not in said
    assert SIGNATURE not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > len(names_of(model))
    assert not any(TOKEN.encode() in path.read_bytes() for path in files)
    assert {asked.token for asked in hub.requests if not asked.elsewhere} == {TOKEN}
    assert {asked.token for asked in hub.requests if asked.elsewhere} == {None}
