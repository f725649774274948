"""Rows about explorer.html: how soon its first picture is there, and how large it is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from builders.explored import write_explored

from benchmarks.bench import Bench, Size, Unavailable
from benchmarks.rows import Row

RUNS = 5


@dataclass(frozen=True)
class Swept:
    """A generated sweep of one model, with local values of one estimator."""

    checkpoints: int
    layers: int
    sequences: int

    def __str__(self) -> str:
        return f"{self.checkpoints:,} checkpoints × {self.layers} layers, generated"


def explorer_rows(size: Size) -> list[Row]:
    """A sweep like the demo's, and the largest that the page is made for."""
    demo, large = Swept(12, 7, 300), Swept(1000, 40, 16)
    if size.real < 10_000:
        demo, large = Swept(2, 2, 4), Swept(4, 3, 4)
    return [
        Row("Explorer", "first picture", demo, 0, "", _first_picture, unit="s", at_most=1),
        Row("Explorer", "first picture", large, 0, "", _first_picture, unit="s", at_most=2.5),
    ]


def _first_picture(bench: Bench, row: Row) -> None:
    swept: Swept = row.cloud
    folder = bench.folder / f"explorer-{swept.checkpoints}-{swept.layers}"
    folder.mkdir()
    page = write_explored(
        folder,
        checkpoints={f"step{100 * number}": 100 * number for number in range(swept.checkpoints)},
        layers=swept.layers,
        n_sequences=swept.sequences,
        has_losses=True,
    ).page
    seconds = _seconds_to_ready(page)
    row.ours = row.figure = median(seconds)
    row.runs = len(seconds)
    row.note = f"{swept}: {page.stat().st_size / 1e6:.1f} MB"


def _seconds_to_ready(page: Path) -> list[float]:
    """From the start of loading a page to its first picture, in a headless Chromium, each time in a new window."""
    program = shutil.which("chromium")
    if program is None:
        raise Unavailable("no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        seconds = []
        for _ in range(RUNS):
            window = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
            opened = window.new_page()
            opened.add_init_script(
                "new MutationObserver((_, observer) => { if (document.documentElement?.dataset.ready) { window.firstPicture ="
                " performance.now(); observer.disconnect(); } }).observe(document, { attributes: true, subtree: true });"
            )
            opened.goto(page.as_uri())
            opened.wait_for_function("window.firstPicture !== undefined", timeout=60_000)
            seconds.append(opened.evaluate("window.firstPicture") / 1000)
            window.close()
        browser.close()
    return seconds
