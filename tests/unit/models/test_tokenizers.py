"""Tokenizers of model folders: what determines them, how they are loaded, and what is wrong with one."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from builders.model_folders import MINILM, save_neox
from idsweep.files.packages import path_in_package
from idsweep.models.folders import is_tokenizer_file, tokenizer_files, tokenizer_identity
from idsweep.models.tokenizers import load_tokenizer, mask_token_id
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast


@pytest.fixture
def neox(tmp_path) -> Path:
    return save_neox(tmp_path / "neox")


def test_what_determines_a_tokenizer(tmp_path):
    source = path_in_package(*MINILM)
    assert {"tokenizer.json", "vocab.txt"} <= {path.name for path in tokenizer_files(source)}
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match="holds no tokenizer"):
            tokenizer_files(folder)
    (tmp_path / "tokenization_own.py").write_text("")
    with pytest.raises(ValueError, match="holds no tokenizer"):
        tokenizer_files(tmp_path, trust_remote_code=True)
    of_tokenizer = ("qwen.tiktoken", "source.spm", "spm.model", "tokenizer.4.0.0.json", "tokenizer_config.json")
    for name in (*of_tokenizer, "config.json", "model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "below.model").mkdir()
    assert [path.name for path in tokenizer_files(tmp_path)] == [*of_tokenizer]
    trusted = {path.name for path in tokenizer_files(tmp_path, trust_remote_code=True)}
    assert trusted == {*of_tokenizer, "tokenization_own.py"}


def test_all_files_that_tokenizers_of_transformers_read_are_known():
    sources = path_in_package("transformers", "models").glob("*/tokenization_*.py")
    declared = [
        name
        for source in sources
        for files in re.findall(
            r"^VOCAB_FILES_NAMES = \{(.*?)\}", source.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        for name in re.findall(r': "([^"]+)"', files)
    ]
    assert len(declared) > 80
    assert [name for name in declared if not is_tokenizer_file(name)] == []


RENAMED = {"encoder": {"model_type": "roberta"}, "decoder": {"model_type": "roberta"}}


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ({"model_type": "gpt2", "n_layer": 5, "architectures": ["GPT2Model"]}, False),
        ({"model_type": "roberta"}, True),
        ({"model_type": "gpt2", "tokenizer_class": "RobertaTokenizer"}, True),
        ({"model_type": "encoder-decoder"} | RENAMED, True),
    ],
)
def test_what_of_a_config_decides_the_class_of_a_tokenizer(tmp_path, config, counts):
    folder = byte_level(tmp_path / "tokenizer")
    (folder / "tokenizer_config.json").unlink()

    def identity_and_class(config: dict) -> tuple[dict, type]:
        (folder / "config.json").write_text(json.dumps(config))
        return tokenizer_identity(folder), type(load_tokenizer(folder))

    before, after = identity_and_class({"model_type": "gpt2"}), identity_and_class(config)
    assert (before[0] != after[0]) == (before[1] != after[1]) == counts


def test_the_encoder_and_own_code_of_a_config_count_and_no_config_is_none(tmp_path):
    assert tokenizer_identity(tmp_path) == {}
    config = {"model_type": "encoder-decoder", "auto_map": {"AutoConfig": "own.Own"}, "vocab_size": 5, **RENAMED}
    (tmp_path / "config.json").write_text(json.dumps(config))
    own = {"model_type": "encoder-decoder", "auto_map": {"AutoConfig": "own.Own"}}
    assert tokenizer_identity(tmp_path) == own | {"encoder": {"model_type": "roberta"}}
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not readable JSON"):
        tokenizer_identity(tmp_path)


def test_a_folder_without_tokenizer_is_told(neox):
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load_tokenizer(neox)
    (neox / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer cannot be loaded"):
        load_tokenizer(neox)


def byte_level(folder: Path) -> Path:
    """A byte-level BPE tokenizer that knows Hello and ĠHello, as tokenizer.json and as vocab.json and merges.txt."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"]
    )
    trained.train_from_iterator(["Hello world hello Hello there"] * 50, trainer)
    PreTrainedTokenizerFast(tokenizer_object=trained, eos_token="<|endoftext|>").save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]))
    return folder


@pytest.mark.parametrize("model_type", ["gpt2", "roberta", "gpt_neox"])
@pytest.mark.parametrize("kept", ["tokenizer.json", "vocab.json"])
def test_a_space_before_the_first_word_is_as_asked(tmp_path, model_type, kept):
    folder = byte_level(tmp_path / "tokenizer")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    if kept == "vocab.json":
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
    tokens = {
        prefix_space: load_tokenizer(folder, prefix_space=prefix_space).tokenize("Hello world")
        for prefix_space in (True, False, None)
    }
    assert tokens == {True: ["ĠHello", "Ġworld"], False: ["Hello", "Ġworld"], None: ["Hello", "Ġworld"]}
    assert load_tokenizer(folder, prefix_space=True).tokenize(" Hello world") == ["ĠHello", "Ġworld"]


def test_a_space_without_effect_is_told():
    for prefix_space in (True, False):
        with pytest.raises(ValueError, match=r"prefix_space: it has no effect on the tokenizer of .*BertTokenizer"):
            load_tokenizer(path_in_package(*MINILM), prefix_space=prefix_space)


def test_texts_are_cut_on_the_side_that_is_asked():
    folder = path_in_package(*MINILM)
    text = "one two three four five"
    for side, kept in (("right", ["one", "two"]), ("left", ["four", "five"])):
        tokenizer = load_tokenizer(folder, truncation_side=side)
        ids = tokenizer(text, truncation=True, max_length=4)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", *kept, "[SEP]"]
    with pytest.raises(ValueError, match="truncation_side: 'both' is not known; choose one of right, left"):
        load_tokenizer(folder, truncation_side="both")


def test_a_tokenizer_without_a_mask_is_told(tmp_path):
    assert mask_token_id(load_tokenizer(path_in_package(*MINILM))) == 103
    with pytest.raises(ValueError, match="has no mask token, which `masked: true` needs"):
        mask_token_id(load_tokenizer(byte_level(tmp_path / "tokenizer")))


def test_a_tokenizer_of_its_own_code_is_told(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}})
    )
    with pytest.raises(ValueError, match=r"may need code of its own .* `trust_remote_code` is true"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match="the tokenizer cannot be loaded"):
        load_tokenizer(tmp_path)


YEARS = [
    f"in {year} the mill ground {n} sacks\n\n{n + 7} more   {n}" for year in range(1980, 2020) for n in (12, 345, 6789)
]


def filed(folder: Path, *, tokenizer_class: str, model_type: str | None, digits_merged: bool = True, **stated) -> Path:
    """A folder whose tokenizer.json cuts numbers into digits before byte-level BPE, and whose config names a class.

    digits_merged: whether its vocabulary has numbers nevertheless, so that a class that does not cut them shows it.
    """
    file = Tokenizer(models.BPE())
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    cut = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    file.pre_tokenizer = plain if digits_merged else cut
    file.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    file.train_from_iterator(YEARS, trainer)
    file.pre_tokenizer = cut
    folder.mkdir(parents=True)
    file.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": tokenizer_class, "bos_token": "<|endoftext|>"} | stated
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    if model_type:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


@pytest.mark.parametrize(
    "tokenizer_class", ["GPT2Tokenizer", "LlamaTokenizer", "RobertaTokenizer", "PreTrainedTokenizerFast"]
)
@pytest.mark.parametrize("model_type", ["llama", "gpt2", None])
@pytest.mark.parametrize("digits_merged", [True, False])
def test_texts_are_cut_as_tokenizer_json_says(tmp_path, caplog, tokenizer_class, model_type, digits_merged):
    folder = filed(
        tmp_path / "filed", tokenizer_class=tokenizer_class, model_type=model_type, digits_merged=digits_merged
    )
    with caplog.at_level(logging.WARNING, logger="idsweep.models.tokenizers"):
        tokenizer = load_tokenizer(folder, truncation_side="left")
    text = "in 1987 the mill ground 345 sacks\n\n12 more   7"
    expected = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text)
    assert tokenizer.tokenize(text) == expected.tokens
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected.ids
    assert tokenizer.truncation_side == "left" and tokenizer.bos_token == "<|endoftext|>"
    assert ("tokenizer.json is followed" in caplog.text) == (
        tokenizer_class == "GPT2Tokenizer" or "cuts" in caplog.text
    )


def test_a_tokenizer_that_differs_from_its_file_keeps_its_roles_and_says_so(tmp_path, caplog):
    folder = filed(tmp_path / "filed", tokenizer_class="GPT2Tokenizer", model_type="llama", pad_token="<|endoftext|>")
    with caplog.at_level(logging.WARNING, logger="idsweep.models.tokenizers"):
        tokenizer = load_tokenizer(folder)
    assert "(GPT2Tokenizer) cuts texts otherwise than tokenizer.json" in caplog.text and "'1' '9'" in caplog.text
    # The class alone says which token ends a text.
    assert tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>"


@pytest.mark.parametrize("stated", [{"add_prefix_space": True}, {"add_prefix_space": False}, {}])
@pytest.mark.parametrize("in_sequence", [True, False])
def test_what_a_config_states_counts_before_the_file(tmp_path, stated, in_sequence):
    folder = filed(tmp_path / "filed", tokenizer_class="GPT2Tokenizer", model_type="gpt2", **stated)
    if not in_sequence:
        file = Tokenizer.from_file(str(folder / "tokenizer.json"))
        file.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        file.save(str(folder / "tokenizer.json"))
    pieces = load_tokenizer(folder).tokenize("the 12")
    # Within a sequence it would put a space before each digit.
    assert (pieces[0] == "Ġthe") == (stated.get("add_prefix_space", False) and not in_sequence)
    assert "Ġ1" not in pieces or not in_sequence


def test_a_config_that_states_case_is_no_difference(tmp_path, caplog):
    """MiniLM's file lowers case; the same vocabulary with a file that does not, and a config that says nothing or either."""
    source = path_in_package(*MINILM)
    file = Tokenizer.from_file(str(source / "tokenizer.json"))
    file.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    for stated, lowered in (({}, False), ({"do_lower_case": False}, False), ({"do_lower_case": True}, True)):
        folder = tmp_path / f"bert{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        file.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"} | stated))
        (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
        ids = load_tokenizer(folder)("The river")["input_ids"]
        assert (ids == load_tokenizer(source)("the river")["input_ids"]) == lowered, stated


def test_what_a_file_adds_around_a_text_is_added(tmp_path):
    folder = filed(tmp_path / "filed", tokenizer_class="GPT2Tokenizer", model_type="gpt2")
    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    file.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    file.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", file.token_to_id("<|endoftext|>"))]
    )
    file.save(str(folder / "tokenizer.json"))
    assert load_tokenizer(folder)("the mill")["input_ids"] == file.encode("the mill").ids


def test_what_a_class_adds_around_a_text_stays(tmp_path, caplog):
    """With `add_bos_token` in its config, a tokenizer made of the file alone would add nothing."""
    source = path_in_package(*MINILM)
    for name in ("tokenizer.json", "vocab.txt"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    stated = {"tokenizer_class": "BertTokenizer", "add_bos_token": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(stated))
    file = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    file.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    file.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.tokenize("café") == ["[UNK]"]
    ids = tokenizer("café")["input_ids"]
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["[CLS]", "[SEP]"]
    assert "tokenizer.json is followed" in caplog.text
