"""The documentation site: complete, without a warning, and of nobody else's parts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import ROOT
from xtask import site

# What a browser fetches by itself; a link is followed by whoever clicks it.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//"""
    r"""|url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//"""
)


@pytest.fixture(scope="module")
def built() -> Path:
    command = [sys.executable, "-m", "xtask", "docs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return site.SITE


def test_every_document_has_a_page(built: Path) -> None:
    wanted = {page.relative_to(ROOT).with_suffix(".html") for page in ROOT.glob("docs/**/*.md")}
    wanted = {page.with_name("index.html") if page.stem == "README" else page for page in wanted}

    assert {page for page in wanted if not (built / page).is_file()} == set()
    assert "What AI agents" in (built / "index.html").read_text()


def test_every_public_module_is_described(built: Path) -> None:
    for room, modules in site.rooms().items():
        page = (built / f"docs/reference/{room}.html").read_text()
        assert [name for name in modules if f'id="{name}"' not in page] == []


def test_no_page_asks_another_host_for_anything(built: Path) -> None:
    parts = [p for p in built.rglob("*") if p.suffix in (".html", ".css")]

    assert parts
    assert [(p.name, m[0]) for p in parts if (m := _FETCHED.search(p.read_text()))] == []


def test_a_page_that_nobody_can_reach_is_refused(tmp_path: Path) -> None:
    """A warning is a failure, which the first test would not show."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# x\n\n[nowhere](missing.md)\n")
    (tmp_path / "mkdocs.yml").write_text(
        (ROOT / "mkdocs.yml")
        .read_text()
        .split("\nplugins:")[0]
        .replace("build/site-source", "docs")
        .replace("build/site", "site")
    )
    command = [sys.executable, "-m", "mkdocs", "build"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 1
    assert "missing.md" in done.stderr
