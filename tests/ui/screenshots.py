"""`make screenshots`: each view of the dashboard as a picture, from `busted ui --demo`.

Dark, light and on a phone, into docs/screenshots/. Only the pictures that README shows are kept by
git; the others are for whoever changes the page, to look at.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.requirements import ROOT, tool
from tests.ui.conftest import SECONDS, Served, serve
from tests.ui.views import VIEWS, at

DIRECTORY = ROOT / "docs/screenshots"
# name of the look: dark or not, width, height
LOOKS = {
    "dark": (True, 1120, 560),
    "light": (False, 1120, 560),
    "phone": (True, 390, 844),
}

POLICY = """package busted

decision := "deny" if input.action.type == "ToolCall"
"""


def take_all(browser: Browser, served: Served, directory: Path) -> None:
    """Write every view in every look, and what is opened from a view."""
    for look, (dark, width, height) in LOOKS.items():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)

        def take(name: str, page: Page = page, look: str = look) -> None:
            page.screenshot(path=directory / f"{name}-{look}.png")

        for view, there in VIEWS.items():
            page.goto(at(served, view))
            expect(page.locator(there).first).to_be_visible()
            take(view)
        page.goto(at(served, "live?type=ToolCall"))
        page.locator(".row.ToolCall").first.click()
        expect(page.locator("aside.detail")).to_be_visible()
        take("event")
        page.get_by_role("link", name="Exchange").click()
        expect(page.locator(".turn.ToolCall").first).to_be_visible()
        take("transcript")
        page.goto(at(served, "agents"))
        page.locator("td a").first.click()
        expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
        take("agent")
        page.goto(at(served, "policy"))
        page.get_by_label("Policy in Rego").fill(POLICY)
        page.get_by_role("button", name="Try").click()
        expect(page.locator(".trial table")).to_be_visible()
        page.locator(".trial").scroll_into_view_if_needed()
        take("trial")
        context.close()


def main() -> None:
    """Take them all."""
    expect.set_options(timeout=SECONDS * 1000)
    DIRECTORY.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="busted-state-") as state,
        serve("--demo", state=Path(state)) as served,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=tool("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            take_all(browser, served, DIRECTORY)
        finally:
            browser.close()
    print(f"{len(list(DIRECTORY.glob('*.png')))} pictures in {DIRECTORY}", file=sys.stderr)


if __name__ == "__main__":
    main()
