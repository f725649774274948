"""One entry of the catalog stands for a run of each varied value and seed."""

from __future__ import annotations

from idsweep.config.runs import runs, wrong_seeds

ENTRY = {"train": "grokking", "training": {"fraction": 0.1, "steps": 5}, "architecture": {"model_type": "gpt2"}}


def test_an_entry_without_variations_is_one_run_of_its_own_name() -> None:
    (run,) = runs("mine", ENTRY)
    assert run == ("mine", "mine", {}, None, ENTRY)


def test_each_combination_and_seed_is_a_run_and_seeds_share_a_group() -> None:
    vary = {"training.fraction": [0.1, 0.45], "architecture.n_embd": [8, 16]}
    made = runs("mine", ENTRY | {"vary": vary, "seeds": [3, 5]})
    assert len(made) == 8
    assert [run.name for run in made[:3]] == [
        "mine-fraction0.1-n_embd8-seed3",
        "mine-fraction0.1-n_embd8-seed5",
        "mine-fraction0.1-n_embd16-seed3",
    ]
    assert len({run.group for run in made}) == 4
    last = made[-1]
    assert last.group == "mine-fraction0.45-n_embd16"
    assert last.varied == {"training.fraction": 0.45, "architecture.n_embd": 16}
    assert last.entry == {
        "train": "grokking",
        "training": {"fraction": 0.45, "steps": 5, "seed": 5},
        "architecture": {"model_type": "gpt2", "n_embd": 16},
    }


def test_the_entry_itself_is_left_as_it_is() -> None:
    entry = ENTRY | {"vary": {"training.fraction": [0.2]}, "seeds": [1]}
    runs("mine", entry)
    assert entry["training"] == {"fraction": 0.1, "steps": 5}


def test_a_seed_stands_in_the_place_of_the_weights() -> None:
    first, second = runs("mine", {"hub": "a/b-{seed}", "revision": "{seed}", "seeds": [0, 7]})
    assert (first.entry["hub"], second.entry["hub"], second.seed) == ("a/b-0", "a/b-7", 7)
    assert second.entry["revision"] == "{seed}"
    assert second.entry["seed"] == 7


def test_a_seed_is_said_once() -> None:
    assert list(wrong_seeds({"seeds": [3], "vary": {"training.fraction": [0.1]}, "training": {"steps": 5}})) == []
    (complaint,) = wrong_seeds({"seeds": [3], "training": {"seed": 4}})
    assert complaint.startswith(".training.seed: `seeds` gives each run its own")
    (complaint,) = wrong_seeds({"vary": {"training.seed": [1, 2]}})
    assert "write `seeds:`" in complaint
