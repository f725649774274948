"""A real Chromium without network, in which every error of a page fails its test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

Open = Callable[..., Page]
WIDE = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is missing; on Debian: apt-get install chromium (make test-browser)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Open a file from disk: `open_page(path, hash="", **context)`. Afterwards nothing has failed, and nothing was asked of a network."""
    contexts, complaints = [], []

    def open_one(path: Path, hash: str = "", **options: Any) -> Page:
        context = chromium.new_context(viewport=options.pop("viewport", WIDE), offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(("file:", "blob:", "data:")) else complaints.append(request.url)
            ),
        )
        page.goto(f"{path.as_uri()}{hash}")
        page.wait_for_selector("html[data-ready=yes]", timeout=20_000)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not complaints
