"""The map in a real browser: tokens lie where they were projected to, and what is drawn around is listed."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from builders.explored import Explored, write_explored
from idsweep.neighbors.projection import project
from playwright.sync_api import Page, expect

from browser.conftest import Open
from browser.test_explorer import drawn

CHECKPOINTS = {"step0": 0, "step10": 10}
CELL = ("model", "step10", 1)
AT_CELL = "#a=step10@layer_1&list=tokens"
N_VALUES = 47  # of 48 tokens


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    return write_explored(tmp_path_factory.mktemp("mapped"), checkpoints=CHECKPOINTS, has_map=True)


def saved(page: Page) -> list[dict[str, str]]:
    """The rows of the map, as its button saves them."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the data of: map").click()
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))


def draw_around(page: Page, left: float, right: float) -> None:
    """Draw a rectangle from the top of the map to its bottom, between two shares of its width."""
    page.locator("#map-view").scroll_into_view_if_needed()
    box = page.locator("#map-view canvas").first.bounding_box()
    assert box
    across = [box["x"] + share * box["width"] for share in (left, right)]
    down = [box["y"] + 2, box["y"] + box["height"] - 40]
    page.mouse.move(across[0], down[0])
    page.mouse.down()
    for x, y in ((across[1], down[0]), (across[1], down[1]), (across[0], down[1])):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def listed(page: Page, number: int) -> None:
    expect(page.locator("#tokens-view .pager")).to_contain_text(f"of {number} tokens")


def test_tokens_lie_where_they_were_projected_to(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page, AT_CELL)
    assert drawn(page, "#map-view canvas")
    rows, expected = saved(page), project(swept.vectors[CELL])
    assert [int(row["point"]) for row in rows] == list(range(48))
    found = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    np.testing.assert_allclose(found, expected.coordinates, atol=1e-3)
    values = [float(row["local dimension"] or "nan") for row in rows]
    np.testing.assert_allclose(values, swept.values[CELL], rtol=1e-3)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture of: map").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_point_says_its_token_and_value(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page, AT_CELL)
    canvas = page.locator("#map-view canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    said = set()
    for across in np.linspace(0.1, 0.95, 30):
        for down in np.linspace(0.05, 0.85, 15):
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            if page.locator("#tip").count() and page.locator("#tip").is_visible():
                said.add(page.locator("#tip").inner_text())
    found = [re.fullmatch(r"Ġword(\d): (\S+) \(layer 1 at step 10\), \d times in the texts", one) for one in said]
    of_word = {(int(one[1]), float(one[2].replace("–", "nan"))) for one in found}
    assert len(of_word) > 20
    for word, value in of_word:
        values = swept.values[CELL][word::6]
        assert np.isnan(values).any() if np.isnan(value) else np.nanmin(np.abs(values - value)) < 0.02, (word, value)


def test_what_is_drawn_around_is_listed_and_the_address_holds_it(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page, AT_CELL)
    listed(page, N_VALUES)
    draw_around(page, 0.02, 0.98)
    listed(page, N_VALUES)
    draw_around(page, 0.02, 0.45)
    chip = page.locator("#tokens-view .chip")
    expect(chip).to_contain_text("selected on the map of layer 1 at step 10")
    rows = [row for row in saved(page) if row["local dimension"]]
    inside, outside = ([float(row["x"]) for row in rows if row["selected"] == sign] for sign in "10")
    assert 5 < len(inside) < 40 and max(inside) < min(outside)
    listed(page, len(inside))
    expect(page.locator("#map-view [aria-live]")).to_contain_text("Mean local dimension here")

    again = open_page(swept.page, f"#{urlsplit(page.url).fragment}")
    listed(again, len(inside))
    again.get_by_role("slider", name="checkpoint").fill("0")  # the same tokens at another checkpoint
    expect(again.locator("#tokens-view .chip")).to_contain_text("selected on the map of layer 1 at step 10")
    listed(again, len(inside))
    again.locator("#tokens-view .chip").click()
    listed(again, N_VALUES)
    assert "selected" not in parse_qs(urlsplit(again.url).fragment)


def test_tokens_are_selected_without_a_pointer(swept: Explored, tmp_path: Path, open_page: Open) -> None:
    many = write_explored(tmp_path, checkpoints=CHECKPOINTS, has_map=True, n_sequences=20)
    page = open_page(many.page, AT_CELL)
    page.get_by_role("button", name="the 50 highest").press("Enter")
    listed(page, 50)
    values = np.nan_to_num(many.values[CELL])
    chosen = {int(row["point"]) for row in saved(page) if row["selected"] == "1"}
    assert chosen == set(np.argsort(-values)[:50].tolist())

    canvas = page.locator("#map-view canvas").first
    canvas.press("Escape")
    listed(page, 119)
    canvas.focus()
    canvas.press("ArrowLeft")
    first = page.locator("#map-view [aria-live]").inner_text()
    assert first.startswith("Ġword")
    canvas.press("ArrowUp")
    assert page.locator("#map-view [aria-live]").inner_text() != first
    canvas.press("Enter")
    listed(page, 50)
    assert canvas.evaluate("one => one === document.activeElement")
    coordinates = project(many.vectors[CELL]).coordinates
    rows = saved(page)
    near = {int(row["point"]) for row in rows if row["selected"] == "1"}
    middles = [point for point in range(120) if near == set(nearest(coordinates, point, many.values[CELL]))]
    assert len(middles) == 1


def nearest(coordinates: np.ndarray, point: int, values: np.ndarray) -> list[int]:
    distance = np.linalg.norm(coordinates - coordinates[point], axis=1)
    distance[np.isnan(values)] = np.inf
    return np.argsort(distance)[:50].tolist()


def test_points_far_out_leave_the_others_room(tmp_path: Path, open_page: Open) -> None:
    def far(shape: tuple[int, int], layer: int) -> np.ndarray:
        vectors = np.random.default_rng(layer).standard_normal(shape).astype(np.float32)
        vectors[7] = 500
        return vectors

    page = open_page(write_explored(tmp_path, n_sequences=40, has_map=True, vectors_of=far).page, "#list=tokens")
    expect(page.locator("#map-view .note").first).to_contain_text("1 points lie beyond the edge")
    draw_around(page, 0.02, 0.98)
    listed(page, 239)


@pytest.mark.parametrize("hash", ["selected=lasso|1 2 3|step10@layer_1", "selected=near|x|a@b", "selected=__proto__"])
def test_a_selection_that_there_is_not_selects_nothing(swept: Explored, open_page: Open, hash: str) -> None:
    page = open_page(swept.page, f"{AT_CELL}&{hash}")
    listed(page, N_VALUES)
    expect(page.locator(".chip")).to_have_count(0)


def test_points_have_the_colours_that_tokens_have(swept: Explored, open_page: Open) -> None:
    page = open_page(swept.page, f"{AT_CELL}&b=step0@layer_0")
    page.get_by_label("colour", exact=True).select_option("difference")
    expect(page.locator("#map-view .note").first).to_contain_text("Colour and size: difference A − B")
    found = [float(row["difference A − B"] or "nan") for row in saved(page)]
    np.testing.assert_allclose(found, swept.values[CELL] - swept.values["model", "step0", 0], atol=0.05)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_its_window(swept: Explored, open_page: Open, width: int, scheme: str) -> None:
    page = open_page(swept.page, AT_CELL, viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(page.locator("#map-view canvas").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    draw_around(page, 0.02, 0.5)
    expect(page.locator(".chip")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_sweep_without_maps_shows_none(tmp_path: Path, open_page: Open) -> None:
    page = open_page(write_explored(tmp_path).page, "#selected=highest||step10@layer_1&list=tokens")
    expect(page.locator("#map-view")).to_be_hidden()
    listed(page, N_VALUES)
