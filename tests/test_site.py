"""The site builds without a warning, loads nothing from elsewhere, and has no broken link."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.prose import ROOT

LOADS = {"src", "srcset", "poster", "data"}
"""Attributes whose address a browser fetches by itself; `link` and `use` have more."""
PASSIVE = {"canonical", "prev", "next", "author", "license"}
"""Relations of a `link` that fetch nothing."""


class Page(HTMLParser):
    """The addresses that a page fetches and links to, its anchors and its classes."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.classes: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self.classes |= set(values.get("class", "").split())
        self.loads += [value for name, value in values.items() if name in LOADS]
        if tag == "link" and not set(values.get("rel", "").split()) <= PASSIVE:
            self.loads.append(values["href"])
        if tag in ("a", "area") and "href" in values:
            self.links.append(values["href"])
        self.loads += re.findall(r"url\(([^)]*)\)", values.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}


def test_site_has_a_page_for_every_file(site: Path, pages: dict[Path, Page]) -> None:
    names = {str(file.relative_to(site)) for file in pages}
    written = {f"{path.relative_to(ROOT / 'docs').with_suffix('.html')}" for path in (ROOT / "docs").rglob("*.md")}
    assert names >= written | {"index.html", "reference/pit-align.html", "changelog.html"}
    assert "alignment.judging.tolerance.certify" in pages[site / "reference/alignment.html"].anchors
    assert "pit-align-gate" in pages[site / "reference/pit-align.html"].anchors
    assert "hooks.py" not in {path.name for path in site.rglob("*")}


def test_reference_names_modules_that_exist() -> None:
    pages = [path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md")]
    named = [name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE)]
    assert len(named) > 20
    for name in named:
        place = ROOT / name.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), f"{name} is no module"


def test_pages_load_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for file, page in pages.items():
        for address in page.loads:
            parts = urlsplit(address)
            assert parts.scheme in ("", "data"), f"{file}: {address}"
            assert not parts.netloc, f"{file}: {address}"
            if not parts.scheme:
                assert (file.parent / unquote(parts.path)).is_file(), f"{file}: {address} is not there"
        assert not page.classes & {"mermaid", "arithmatex"}, f"{file}: the theme would fetch a script for this"
    for style in site.rglob("*.css"):
        for address in re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)", style.read_text()):
            assert not address.startswith(("http:", "https:", "//")), f"{style}: {address}"


def test_every_link_has_a_target(site: Path, pages: dict[Path, Page]) -> None:
    for file, page in pages.items():
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme:
                assert parts.scheme == "https", f"{file}: {address}"
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.is_file(), f"{file}: {address}"
            assert target.is_relative_to(site.resolve()), f"{file}: {address}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in pages[target].anchors, f"{file}: {address}"


def test_search_works_on_pages_opened_as_files(site: Path, pages: dict[Path, Page]) -> None:
    index = (site / "search" / "search_index.js").read_text()
    assert index.startswith("var __index")
    assert "float64 certificate" in index
    assert any("iframe-worker" in address for address in pages[site / "index.html"].loads)
