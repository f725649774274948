"""Hooks of MkDocs: pages from elsewhere in the repository, links between pages, generated parts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page


def on_config(config: MkDocsConfig) -> None:
    """Let generated parts import the library of this checkout."""
    sys.path.insert(0, str(pages.REPOSITORY / "workflow_scripts"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are read from elsewhere in the repository."""
    for place, name in pages.PAGES_FROM_ELSEWHERE.items():
        files.append(File.generated(config, name, abs_src_path=str(pages.REPOSITORY / place)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated, and change links of the repository into links of the site."""
    return pages.fill_in(pages.change_links(markdown, page.file.src_uri))


def on_serve(server: object, config: MkDocsConfig, builder: object) -> object:
    """Build again when a page from elsewhere changes."""
    for place in pages.PAGES_FROM_ELSEWHERE:
        server.watch(str(pages.REPOSITORY / place))
    return server
