"""The explorer in a real browser: what it says is what numpy says, and it can be driven by mouse, keyboard and address."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from builders.explored import HOSTILE, Explored, write_explored
from playwright.sync_api import Page, expect
from scipy import stats

from browser.conftest import Open

CHECKPOINTS = {"step0": 0, "step10": 10, "step100": 100}
LAYERS = 3
VIEWS = ("heatmap", "curves", "profiles", "distribution", "difference", "tokens")
TOLERANCE = 1e-3  # of a value: pages hold 16 bits of each


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    folder = tmp_path_factory.mktemp("swept")
    return write_explored(folder, checkpoints=CHECKPOINTS, layers=LAYERS, has_losses=True)


def paired(
    swept: Explored, one: tuple[str, int], other: tuple[str, int], model: str = "model"
) -> tuple[float, float, float, int]:
    """Difference, bounds of its 95 % interval with sequences as clusters, and pairs."""
    differences = swept.values[model, *one] - swept.values[model, *other]
    defined = ~np.isnan(differences)
    differences, sequence = differences[defined], swept.sequence[defined]
    sums = np.array([(differences - differences.mean())[sequence == one].sum() for one in np.unique(sequence)])
    error = np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(differences)
    half = stats.t.ppf(0.975, len(sums) - 1) * error
    return differences.mean(), differences.mean() - half, differences.mean() + half, len(differences)


def shown_difference(page: Page) -> tuple[float, float, float, int]:
    found = page.locator("#difference dd[data-difference]")
    expect(found).to_be_visible()
    return tuple(float(found.get_attribute(f"data-{name}")) for name in ("difference", "lower", "upper", "pairs"))


def view_of(page: Page) -> dict[str, str]:
    """What the address says."""
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).fragment).items()}


def point_at(page: Page, text: str, *, click: bool = True, shift: bool = False) -> None:
    """Move over the heat map until its tip speaks of a cell, and click there."""
    box = page.locator("#heatmap-view canvas").bounding_box()
    assert box
    for across in np.linspace(0.04, 0.96, 24):
        for down in np.linspace(0.05, 0.9, 12):
            x, y = box["x"] + across * box["width"], box["y"] + down * box["height"]
            page.mouse.move(x, y)
            tip = page.locator("#tip")
            if tip.count() and tip.is_visible() and tip.inner_text().startswith(text):
                if click:
                    if shift:
                        page.keyboard.down("Shift")
                    page.mouse.click(x, y)
                    if shift:
                        page.keyboard.up("Shift")
                return
    pytest.fail(f"the heat map has no cell {text}")


def test_the_first_line_says_where_the_dimension_is_highest_and_whether_that_is_significant(
    swept: Explored, open_page: Open
) -> None:
    means = {cell[1:]: np.nanmean(values) for cell, values in swept.values.items()}
    first, second, *_ = sorted(means, key=means.get, reverse=True)
    lowest = min(means, key=means.get)
    answer = open_page(swept.page).locator("#answer")
    expect(answer).to_contain_text("tokens of both")
    said = answer.inner_text()
    assert f"Highest at layer {first[1]} at step {CHECKPOINTS[first[0]]}: {means[first]:.2f}" in said
    assert f"Lowest at layer {lowest[1]} at step {CHECKPOINTS[lowest[0]]}: {means[lowest]:.2f}" in said
    difference, lower, *_ = paired(swept, first, second)
    assert f"{difference:.2f} apart" in said
    assert said.endswith("a significant difference." if lower > 0 else "no significant difference.")


def test_two_clicks_compare_two_cells_and_the_address_holds_that(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page)
    point_at(page, "layer 1 at step 10")
    point_at(page, "layer 2 at step 100", shift=True)
    assert view_of(page)["a"] == "step10@layer_1" and view_of(page)["b"] == "step100@layer_2"
    found, expected = shown_difference(page), paired(swept, ("step10", 1), ("step100", 2))
    assert found[:3] == pytest.approx(expected[:3], abs=TOLERANCE * 12) and found[3] == expected[3] == 47
    expect(page.locator(".verdict")).to_contain_text(
        "significantly" if expected[1] > 0 or expected[2] < 0 else "do not differ significantly"
    )
    again = open_page(swept.page, f"#{urlsplit(page.url).fragment}")
    assert shown_difference(again) == found and view_of(again) == view_of(page)


def test_arrow_keys_pick_and_compare(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page, "#a=step0@layer_0")
    page.locator("#heatmap-view canvas").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert view_of(page)["a"] == "step10@layer_1" and view_of(page)["b"] == "step100@layer_1"
    assert "layer 1 at step 10" in page.locator("#heatmap-view canvas").get_attribute("aria-label")
    before = shown_difference(page)
    page.get_by_role("button", name="swap A and B").click()
    expect(page.locator("#difference dd[data-difference]")).to_have_attribute("data-difference", str(-before[0]))


def test_each_view_draws_and_each_choice_can_be_taken(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page, "#a=step10@layer_1&b=step0@layer_0")
    for view in VIEWS[:4]:
        assert drawn(page, f"#{view}-view canvas"), view
    assert "loss" in page.locator("#curves-view").inner_text()
    choices = page.locator("main select").evaluate_all(
        "all => all.map((one) => [one.ariaLabel, [...one.options].map((option) => option.value)])"
    )
    assert len(choices) >= 8 and len(dict(choices)) == len(choices)
    for label, values in choices:
        for value in values:
            page.get_by_label(label, exact=True).select_option(value)
    for view in VIEWS[:4]:
        assert drawn(page, f"#{view}-view canvas"), view


def drawn(page: Page, canvas: str) -> bool:
    """Whether something of more than one colour stands in a canvas."""
    return page.locator(canvas).first.evaluate(
        """one => {
            const brush = new OffscreenCanvas(one.width, one.height).getContext("2d", { willReadFrequently: true });
            brush.drawImage(one, 0, 0);
            return new Set(new Uint32Array(brush.getImageData(0, 0, one.width, one.height).data.buffer)).size > 3;
        }"""
    )


def test_the_slider_plays_the_training_and_tokens_can_be_searched_sorted_and_filtered(
    swept: Explored, open_page: Open
) -> None:
    page = open_page(swept.page, "#a=step0@layer_1&list=tokens")
    rows = page.locator("table.tokens tbody tr")
    of_first = swept.values["model", "step0", 1]
    expect(rows.first).to_have_attribute("data-point", str(np.nanargmax(of_first)))
    page.get_by_role("slider", name="checkpoint").fill("2")
    assert view_of(page)["a"] == "step100@layer_1"
    expect(rows.first).to_have_attribute("data-point", str(np.nanargmax(swept.values["model", "step100", 1])))
    page.get_by_label("sort", exact=True).select_option("lowest")
    expect(rows.first).to_have_attribute("data-point", str(np.nanargmin(swept.values["model", "step100", 1])))
    page.locator("input[data-key=search]").fill("word4")
    expect(rows).to_have_count(8)
    page.locator("input[data-key=search]").fill("")
    page.locator("input[data-key=least]").fill("6")
    expect(rows).to_have_count(8)
    expect(page.locator("#tokens-view .pager")).to_contain_text("of 8 tokens")
    page.locator("#play").click()
    expect(page.get_by_role("slider", name="checkpoint")).to_have_value("0", timeout=5000)
    page.locator("#play").click()
    page.get_by_label("listed as").select_option("text")
    expect(page.locator(".texts mark").first).to_be_visible()


def test_what_is_shown_can_be_saved(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page, "#a=step10@layer_1&b=step0@layer_0")
    saved = {}
    for button in page.locator("button[data-saves]").all():
        name = button.get_attribute("aria-label")
        with page.expect_download() as download:
            button.click()
        saved[name] = Path(download.value.path()).read_bytes()
    tables = {name: list(csv.DictReader(io.StringIO(one.decode()))) for name, one in saved.items() if "data of" in name}
    assert len(tables) == 5 and all(tables.values())
    of_map = {
        (row["checkpoint"], row["representation"]): float(row["mean"]) for row in tables["Save the data of: heat map"]
    }
    expected = {(cell[1], f"layer_{cell[2]}"): np.nanmean(values) for cell, values in swept.values.items()}
    assert of_map == pytest.approx(expected, rel=1e-6)
    points = [float(row["value"]) for row in tables["Save the data of: distribution"] if row["cell"] == "A"]
    of_a = swept.values["model", "step10", 1]
    assert points == pytest.approx(of_a[~np.isnan(of_a)].tolist(), rel=1e-4)
    pictures = [one for name, one in saved.items() if "picture of" in name]
    assert len(pictures) == 4 and all(one.startswith(b"\x89PNG") and len(one) > 3000 for one in pictures)


def test_nothing_in_names_or_tokens_is_run_or_turns_the_page_around(tmp_path: Path, open_page: Open) -> None:
    hostile = write_explored(
        tmp_path, title=HOSTILE, models=[HOSTILE], dataset=HOSTILE, word=f"{HOSTILE}אב", has_losses=True
    )
    page = open_page(hostile.page, "#b=step0@layer_0")
    everything = (
        page.locator("body").inner_text()
        + page.title()
        + "".join(
            one
            for one in page.locator("[title], [aria-label]").evaluate_all(
                "all => all.map((one) => one.title + one.ariaLabel)"
            )
        )
    )
    assert "alert(1)" in everything and not re.search("[\x00\u202e]", everything)
    assert page.locator("script").count() == hostile.page.read_text().count("</script>")
    assert page.locator(".text").first.evaluate("one => getComputedStyle(one).unicodeBidi") == "plaintext"
    page.get_by_label("listed as").select_option("tokens")
    expect(page.locator("table.tokens tbody tr").first).to_be_visible()


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoints": {"only": 3}},
        {"without_values": [("step0", 0), ("step10", 0)]},
        {"without_values": [(step, layer) for step in ("step0", "step10") for layer in (0, 1)]},
        {"n_sequences": 1},
        {"layers": 1},
    ],
    ids=["one checkpoint", "a layer of NaN", "NaN alone", "one sequence", "one layer"],
)
def test_sweeps_that_have_less_to_show_are_shown(tmp_path: Path, open_page: Open, options: dict) -> None:
    page = open_page(write_explored(tmp_path, **options).page)
    page.locator("#heatmap-view canvas").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(100)
    said = page.locator("#answer").inner_text()
    assert "NaN" not in page.locator("body").inner_text() and ("Highest at" in said or "Nothing was measured" in said)


def test_seeds_of_a_group_are_chosen_and_drawn_together(tmp_path: Path, open_page: Open) -> None:
    names = [f"model-seed{seed}" for seed in range(3)]
    of_seeds = write_explored(tmp_path, models=names, group="model", checkpoints=CHECKPOINTS)
    page = open_page(of_seeds.page, "#a=step10@layer_1&b=step0@layer_1")
    assert "seeds" in page.locator("#curves-view").inner_text()
    page.get_by_label("seed", exact=True).select_option("model-seed2")
    expected = paired(of_seeds, ("step10", 1), ("step0", 1), "model-seed2")
    expect(page.locator("#difference")).to_contain_text(f"{expected[0]:.3f}".replace("-", "−"))


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_its_window(swept: Explored, open_page: Open, width: int, scheme: str) -> None:
    page = open_page(
        swept.page, "#b=step0@layer_0&list=tokens", viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    expect(page.locator("table.tokens")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for canvas in page.locator("canvas").all():
        box = canvas.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width + 1


def test_a_wrong_address_shows_what_there_is(swept: Explored, open_page: Open) -> None:
    page = open_page(
        swept.page, "#model=other&dataset=none&a=step7@layer_99&page=-3&colour=nothing&shape=<b>&quantity=__proto__"
    )
    expect(page.locator("#answer")).to_contain_text("Highest at")
    assert drawn(page, "#heatmap-view canvas") and page.locator(".texts mark").count() > 0
    page.evaluate("location.hash = '#model=typo'")
    page.wait_for_function("!location.hash.includes('typo')")


def test_the_keyboard_stays_where_it_is(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page)
    for label in ("shows", "steps", "drawn as", "colour", "sort"):
        page.get_by_label(label, exact=True).focus()
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(100)
        assert page.evaluate("document.activeElement.ariaLabel") == label
