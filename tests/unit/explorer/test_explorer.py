"""The explorer's page: what it holds is what was measured, and nothing in the data can end a part of it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.explored import HOSTILE, PACK, Explored, byte_level, sampled, unpack, write_explored
from idsweep.explorer import explorer as explorer_module
from idsweep.explorer import points as points_module
from idsweep.explorer.explorer import Pass, join_passes
from idsweep.explorer.points import choose_points
from idsweep.explorer.quantized import ABSENT, HIGHEST, UNDEFINED, quantize
from idsweep.explorer.texts import describe_tokens
from idsweep.neighbors.projection import project
from idsweep.pages.packing import pack
from idsweep.pages.page import SHARED, script_file
from idsweep.report import report as report_module

CHECKPOINTS = {"step0": 0, "step10": 10}


def test_what_is_packed_is_unpacked() -> None:
    arrays = {name: np.arange(5, dtype=name) for name in ("float64", "float32", "int32", "uint16", "uint8")}
    found = unpack(pack({"text": HOSTILE, "none": None, "nan": float("nan"), "list": [1, 2.5, True], **arrays}))
    assert found["text"] == HOSTILE and found["none"] is found["nan"] is None and found["list"] == [1, 2.5, True]
    assert all((found[name] == array).all() and found[name].dtype == array.dtype for name, array in arrays.items())
    with pytest.raises(TypeError, match="array of int64"):
        pack({"steps": np.arange(3)})


@pytest.mark.parametrize(("low", "high"), [(0.5, 500.0), (-3.0, 4.0), (2.0, 2.0)])
def test_16_bits_keep_values(low: float, high: float) -> None:
    values = np.random.default_rng(0).uniform(low, high, 1000)
    values[3], present = np.nan, np.arange(1000) != 4
    codes, first, last, is_log = quantize(values, present)
    assert codes[3] == UNDEFINED and codes[4] == ABSENT
    scaled = first + (last - first) / HIGHEST * codes.astype(float)
    found, kept = np.exp(scaled) if is_log else scaled, np.arange(1000) > 4
    assert np.abs(found - values)[kept].max() <= (6e-5 * high if is_log else 1.01 * (high - low) / HIGHEST / 2 + 1e-12)


def test_tokens_stand_where_they_are_in_their_texts() -> None:
    tokens, sequences = sampled(word="\U0001f600né")
    found = describe_tokens(tokens, sequences, np.arange(6, 18))
    text = found["texts"][0].encode("utf-16-le")
    words = [
        text[2 * begin : 2 * end].decode("utf-16-le").strip()
        for begin, end in zip(found["begin"][:6], found["end"][:6], strict=True)
    ]
    assert words == [f"\U0001f600né{place}" for place in range(6)]
    assert found["sequence"].tolist() == [0] * 6 + [1] * 6 and len(found["texts"]) == 2
    assert [found["words"][code] for code in found["token"][:2]] == [
        byte_level("\U0001f600né0"),
        byte_level("\U0001f600né1"),
    ]


def test_whole_sequences_are_chosen_where_there_is_no_room_for_all() -> None:
    one = sampled(n_sequences=20)
    assert len(choose_points(one, 10_000)) == 120
    some = choose_points(one, 30)
    assert len(some) == 30 and set(np.bincount(some // 6)) <= {0, 6}
    assert len(choose_points(one, 1)) == 6


def test_each_pass_gets_its_own_files() -> None:
    described = [{"models": ["a", "b"], "dataset": "news"}, {"models": ["a"], "dataset": "vocabulary"}]
    predicted = [{"model": model, "checkpoint": "step0", "dataset": "news"} for model in ("b", "a", "other")]
    news, vocabulary = join_passes(
        described, predicted, tokens=["t1", "t2"], sequences=["s1"], predictions=["b.p", "a.p", "other.p"]
    )
    assert news == Pass(("a", "b"), "news", "t1", "s1", (("a", "step0", "a.p"), ("b", "step0", "b.p")))
    assert vocabulary == Pass(("a",), "vocabulary", "t2", None, ())


def test_a_page_without_room_for_all_texts_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swept: Explored
) -> None:
    monkeypatch.setattr(points_module, "MOST_CHARACTERS", 100)
    found = dict(PACK.findall(write_explored(tmp_path).page.read_text()))
    (of_part,) = unpack(found["overview"])["tokens"]
    (of_all,) = unpack(dict(PACK.findall(swept.page.read_text()))["overview"])["tokens"]
    assert of_part["sampled"] and 0 < of_part["n_kept"] < 48 and of_part["n_sequences"] == 8
    assert not of_all["sampled"] and of_all["n_kept"] == 48


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    return write_explored(tmp_path_factory.mktemp("sweep"), title=HOSTILE, models=[HOSTILE], label="News")


def test_the_page_holds_what_was_measured(swept: Explored) -> None:
    file, values = swept.page, swept.values
    packs = {name: unpack(text) for name, text in PACK.findall(file.read_text())}
    overview = packs["overview"]
    (series,) = overview["series"]
    assert overview["estimators"] == {"twonn": "TwoNN"} and overview["labels"] == {
        "model": {},
        "dataset": {"news": "News"},
    }
    assert series["model"] == HOSTILE and overview["models"][0]["checkpoints"][1] == {"name": "step10", "step": 10}
    means = [np.nanmean(values[HOSTILE, checkpoint, layer]) for layer in (0, 1) for checkpoint in CHECKPOINTS]
    assert series["matrices"]["mean"] == pytest.approx(means, rel=1e-6)
    assert overview["quantiles"][7] == pytest.approx(2.364624)  # Student's t, 97.5 %, 7 degrees of freedom
    (kept,) = packs["values-0"]["series"]
    for cell, (layer, checkpoint) in enumerate((layer, checkpoint) for layer in (0, 1) for checkpoint in CHECKPOINTS):
        codes = kept["codes"].reshape(4, 48)[cell].astype(float)
        found = np.exp(kept["low"][cell] + (kept["high"][cell] - kept["low"][cell]) / HIGHEST * codes)
        assert np.flatnonzero(codes == UNDEFINED).tolist() == [2]
        defined = np.arange(48) != 2
        assert found[defined] == pytest.approx(values[HOSTILE, checkpoint, layer][defined], rel=1e-4)


def test_the_page_holds_where_points_were_projected_to(tmp_path: Path) -> None:
    mapped = write_explored(tmp_path, has_map=True)
    packs = {name: unpack(text) for name, text in PACK.findall(mapped.page.read_text())}
    assert packs["overview"]["maps"] == [{"model": "model", "dataset": "news", "pack": "map-0"}]
    found = packs["map-0"]
    for cell, (layer, checkpoint) in enumerate((layer, checkpoint) for layer in (0, 1) for checkpoint in CHECKPOINTS):
        expected = project(mapped.vectors["model", checkpoint, layer])
        for place, axis in enumerate("xy"):
            low, high = found[axis]["low"][cell], found[axis]["high"][cell]
            coordinates = low + (high - low) / HIGHEST * found[axis]["codes"].reshape(4, 48)[cell]
            assert not found[axis]["is_log"][cell]
            assert coordinates == pytest.approx(expected.coordinates[:, place], abs=(high - low) / HIGHEST)
            assert found[f"{axis}_share"][cell] == pytest.approx(expected.shares[place], rel=1e-6)


def test_maps_count_where_there_is_no_room_for_all(tmp_path: Path) -> None:
    """48 points of 4 cells have 192 values, and twice as many coordinates."""
    kept = {}
    for name, has_map in (("mapped", True), ("plain", False)):
        page = write_explored(tmp_path / name, has_map=has_map, most_values=192).page
        packs = {name: unpack(text) for name, text in PACK.findall(page.read_text())}
        kept[name] = packs["overview"]["tokens"][0]["n_kept"]
        assert ("map-0" in packs) == bool(packs["overview"]["maps"]) == has_map
        if has_map:
            assert all(len(packs["map-0"][axis]["codes"]) == 4 * kept[name] for axis in "xy")
    assert kept == {"mapped": 12, "plain": 48}  # whole sequences of 6 tokens, at most a third of 48


def test_nothing_in_the_data_ends_a_part_of_the_page(swept: Explored) -> None:
    text = swept.page.read_text()
    assert "alert(1)" not in re.sub(r"<title>[^<]*</title>", "", text)
    assert text.count("</script>") == len(PACK.findall(text)) + 2
    assert not re.search(r"(?:src|href)=\"https?:", text)


def test_libraries_are_those_that_were_pinned() -> None:
    folder = explorer_module.WEB / "vendor"
    told = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    for name, digest in told.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {*explorer_module.VENDORED, "uPlot.LICENSE"} == told.keys()


@pytest.mark.parametrize("module", [explorer_module, report_module])
def test_all_scripts_are_read_each_after_those_that_it_uses(module: Any) -> None:
    assert {path.stem for path in module.WEB.glob("*.js")} <= set(module.SCRIPTS)
    for name in module.SCRIPTS:
        text = script_file(module.WEB, name).read_text()
        used = re.findall(r'from "[./\w]+/(\w+)\.js"', re.sub(r"/\*\*.*?\*/", "", text, flags=re.DOTALL))
        before = module.SCRIPTS[: module.SCRIPTS.index(name)]
        assert set(used) <= set(before), name


def test_pages_share_no_script_that_none_uses() -> None:
    assert {path.stem for path in SHARED.glob("*.js")} <= {*explorer_module.SCRIPTS, *report_module.SCRIPTS}


@pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's own statistics")
def test_the_page_computes_the_paired_difference_with_sequences_as_clusters(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    one, other = generator.normal(5, 2, 200), generator.normal(4, 2, 200)
    one[3], other[5] = np.nan, np.nan
    sequence = generator.integers(0, 12, 200)
    difference = (one - other)[defined := ~np.isnan(one - other)]
    sums = np.bincount(sequence[defined], difference - difference.mean())
    groups = np.unique(sequence[defined])
    error = np.sqrt(len(groups) / (len(groups) - 1) * (sums[groups] ** 2).sum()) / len(difference)
    code = (
        f"import {{ pairedDifference }} from '{explorer_module.WEB / 'statistics.js'}';"
        f"const numbers = (text) => JSON.parse(text).map((one) => one ?? NaN);"
        f"console.log(JSON.stringify(pairedDifference(numbers('{_json(one)}'), numbers('{_json(other)}'), {sequence.tolist()}, Array(20).fill(2.2), Array(2).fill({{ error: 0, number: 200 }}))))"
    )
    (tmp_path / "run.mjs").write_text(code)
    said = subprocess.run(["node", tmp_path / "run.mjs"], capture_output=True, text=True, check=True).stdout
    found = json.loads(said)
    assert found["pairs"] == len(difference) == 198 and found["sequences"] == len(groups)
    assert found["difference"] == pytest.approx(difference.mean())
    assert found["upper"] - found["lower"] == pytest.approx(2 * 2.2 * error)


def _json(values: np.ndarray) -> str:
    return json.dumps([None if np.isnan(value) else value for value in values.tolist()])
