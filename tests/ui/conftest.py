"""A browser, and real `busted ui` processes for it to look at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

from tests.e2e.sandbox import DIES_WITH_US, ROOT
from tests.requirements import require, tool

# The machine may have much else to do.
SECONDS = 60.0
_ADDRESS = re.compile(r"serving on (http://\S+)")


class Served:
    """A running `busted ui`; `url` is its page."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


@contextmanager
def serve(*options: str, port: int = 0, state: Path) -> Iterator[Served]:
    """Run `busted ui`; `port` 0 is any."""
    process = subprocess.Popen(
        [
            *(*DIES_WITH_US, sys.executable, "-m", "busted.cli.main", "ui"),
            *("--listen", f"127.0.0.1:{port}", *options),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "STATE_DIRECTORY": str(state)},
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        while line and not _ADDRESS.search(line):
            line = process.stderr.readline()
        found = _ADDRESS.search(line)
        assert found, "it says where it serves"
        yield Served(process, found[1])
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require("chromium")
    # For a module alone: as long as it is there, Playwright runs an event loop in this thread.
    with sync_playwright() as playwright:
        # Root's browser has no sandbox of its own; it sees pages of this test alone.
        opened = playwright.chromium.launch(
            executable_path=tool("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield opened
        finally:
            opened.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    require("chromium")
    with serve("--demo", state=tmp_path_factory.mktemp("state")) as served:
        yield served


Open = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def opened(browser: Browser) -> Open:
    """Open a page, which must say nothing on its console."""

    @contextmanager
    def open_page(
        url: str, *, width: int = 1280, height: int = 800, allowed: str = ""
    ) -> Iterator[Page]:
        said: list[str] = []

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not (allowed and allowed in message.text):
                said.append(message.text)

        def failed(error: Error) -> None:
            said.append(str(error))

        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark",
            # Colours that are on their way have another contrast.
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", heard)
        page.on("pageerror", failed)
        try:
            page.goto(url)
            yield page
        finally:
            context.close()
        assert said == []

    return open_page
