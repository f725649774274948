"""The report in a real browser: its first screen answers, its tables are sorted, filtered and paged."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.explored import HOSTILE
from builders.reports import write_example
from playwright.sync_api import expect

from browser.conftest import Open


def test_the_first_screen_is_the_result(tmp_path: Path, open_page: Open) -> None:
    page = open_page(write_example(tmp_path))
    summary = page.locator("#summary")
    expect(summary).to_contain_text("Its mean is highest in model, layer")
    box = summary.bounding_box()
    assert box and box["y"] + box["height"] < 900
    assert page.locator("nav a").evaluate_all("all => all.map((one) => one.getAttribute('href'))") == [
        "explorer.html", "#figures", "#tables", "#made",
    ]  # fmt: skip
    assert page.locator("figure img").evaluate("one => one.naturalWidth") == 1
    expect(page.locator("#made")).to_contain_text("snakemake --config title=A sweep")


def test_tables_are_sorted_filtered_and_paged(tmp_path: Path, open_page: Open) -> None:
    page = open_page(write_example(tmp_path, more=5200))
    rows = page.locator("#table-list tbody tr")
    expect(rows).to_have_count(6)
    page.get_by_label("rows with").fill("step10 layer_1")
    expect(rows).to_have_count(1)
    page.get_by_label("rows with").fill("nothing has this")
    expect(rows).to_have_count(0)
    page.get_by_label("rows with").fill("")
    page.get_by_label("table", exact=True).select_option("losses")
    expect(page.locator("#table-list")).to_contain_text("This page holds the first 5\u202f000 of 5\u202f200 rows")
    expect(page.locator("#table-list .pager")).to_contain_text("1–50 of 5\u202f000 rows")
    head = page.locator("th button", has_text="loss")
    head.click()
    head.click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("loss")
    assert page.evaluate("document.activeElement.textContent") == "loss"
    expect(rows.first.locator("td").first).to_have_text("4999")
    page.get_by_role("button", name="next page").click()
    expect(rows.first.locator("td").first).to_have_text("4949")
    expect(page.locator("#table-list")).to_contain_text("In all of these rows: model = model.")


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_names_are_shown_and_it_fits(tmp_path: Path, open_page: Open, width: int) -> None:
    page = open_page(write_example(tmp_path, title=HOSTILE, model=HOSTILE), viewport={"width": width, "height": 800})
    assert "alert(1)" in page.locator("h1").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
