"""The documentation as a site, in build/site: `python -m xtask docs` (make docs).

The Markdown of this repository is laid out in build/site-source as it lies here, with every file
that a page links to, so the links that work in the repository work in the site. The modules' own
docstrings make one page a room. A warning of MkDocs or of mkdocstrings is a failure.

Left out: the Markdown of tests, which is for those who have a checkout.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "mkdocs.yml"
SOURCE = ROOT / "build/site-source"
SITE = ROOT / "build/site"
PACKAGE = ROOT / "src/busted"

# What the site consists of, besides what its pages link to.
PAGES = ("*.md", "docs/**/*.md", "deploy/**/*.md")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def main() -> int:
    """Lay out the pages and build the site; 1 when anything is to complain about."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    # What the theme says of plans of MkDocs is no matter of ours.
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    shutil.rmtree(SOURCE, ignore_errors=True)
    for file in files():
        target = SOURCE / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    modules = []
    for room, names in rooms().items():
        page = SOURCE / f"docs/reference/{room}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"# {room}\n\n" + "\n".join(f"::: {name}\n" for name in names))
        modules.append({room: str(page.relative_to(SOURCE))})
    config = load_config(str(SETTINGS))
    config.nav = [*(config.nav or []), {"Modules": modules}]
    try:
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    except Abort as error:
        print(f"xtask docs: {error}", file=sys.stderr)
        return 1
    finally:
        config.plugins.on_shutdown()
    print(f"built {SITE.relative_to(ROOT)}/index.html")
    return 0


def files() -> set[Path]:
    """Return the pages, and the files that they link to."""
    pages = {file for pattern in PAGES for file in ROOT.glob(pattern)}
    return pages | {target for page in pages for target in _targets(page)}


def _targets(page: Path) -> Iterator[Path]:
    for link in _LINK.findall(page.read_text()):
        target = (page.parent / link).resolve()
        if "://" not in link and target.is_file() and target.is_relative_to(ROOT):
            yield target


def rooms() -> dict[str, list[str]]:
    """Return the public modules of each room, by their dotted names."""
    found: dict[str, list[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            found.setdefault(parts[0], []).append(".".join(("busted", *parts)))
    return found


if __name__ == "__main__":
    sys.exit(main())
