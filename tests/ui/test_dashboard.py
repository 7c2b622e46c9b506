"""The dashboard in a real browser, shown by a real `busted ui` from what was recorded."""

from __future__ import annotations

import filecmp
import gzip
import shutil
import subprocess
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from busted.events import ConnectionCoverage, Coverage, Event, Process, Prompt
from busted.sinks.history import History
from tests.requirements import ROOT, WEB, require
from tests.ui.conftest import SECONDS, Open, Served, serve
from tests.ui.views import VIEWS, at
from tests.unit.ui.test_reveal import SECRET, TOKEN, host, said

expect.set_options(timeout=SECONDS * 1000)

TABS = 20


def key(page: Page, name: str) -> None:
    page.locator("body").press(name)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_shows_what_there_is(opened: Open, demo: Served, view: str) -> None:
    with opened(at(demo, view)) as page:
        expect(page.locator(VIEWS[view]).first).to_be_visible()
        expect(page.locator(".bad")).to_have_count(0)
        expect(page.locator("nav a[aria-current=page]")).to_have_count(1)


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_has_a_serious_fault_of_accessibility_dark_or_light(
    opened: Open, demo: Served, view: str
) -> None:
    axe = (WEB / "node_modules/axe-core/axe.min.js").read_text()
    with opened(at(demo, view)) as page:
        expect(page.locator(VIEWS[view]).first).to_be_visible()
        page.evaluate(axe)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert serious_faults(page) == []
        page.emulate_media(color_scheme="light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
        assert serious_faults(page) == []


def serious_faults(page: Page) -> list[tuple[str, list[str]]]:
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def test_filters_choose_the_rows_and_stand_in_the_url(opened: Open, demo: Served) -> None:
    with opened(demo.url) as page:
        expect(page.locator(".row.Response").first).to_be_visible()
        page.get_by_label("Type", exact=True).select_option("Prompt")
        expect(page.locator(".row:not(.Prompt)")).to_have_count(0)
        expect(page.locator(".row.Prompt").first).to_be_visible()
        assert "type=Prompt" in page.url
        page.get_by_label("Provider").fill("anthropic")
        page.get_by_label("Provider").press("Enter")
        expect(page.locator(".row", has_text="openai")).to_have_count(0)
        page.reload()
        expect(page.get_by_label("Provider")).to_have_value("anthropic")
        expect(page.locator(".row.Prompt", has_text="anthropic").first).to_be_visible()
        expect(page.locator(".row:not(.Prompt)")).to_have_count(0)


def test_the_keys_move_open_close_and_pause(opened: Open, demo: Served) -> None:
    with opened(demo.url) as page:
        expect(page.locator(".row").nth(3)).to_be_visible()
        key(page, "j")
        expect(page.locator(".row[aria-selected=true]")).to_have_count(1)
        first = page.locator(".row[aria-selected=true]").get_attribute("data-id")
        key(page, "j")
        second = page.locator(".row[aria-selected=true]").get_attribute("data-id")
        assert second != first
        key(page, "k")
        assert page.locator(".row[aria-selected=true]").get_attribute("data-id") == first
        expect(page.locator("aside.detail")).to_be_visible()
        key(page, "Escape")
        expect(page.locator("aside.detail")).to_have_count(0)
        key(page, " ")
        expect(page.get_by_role("button", name="Go on")).to_be_visible()
        expect(page.get_by_text("wait", exact=False).first).to_be_visible()
        key(page, " ")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        key(page, "/")
        expect(page.get_by_label("Words")).to_be_focused()
        page.get_by_label("Words").press("Escape")
        key(page, "?")
        expect(page.get_by_role("dialog")).to_be_visible()
        key(page, "Escape")
        key(page, "3")
        expect(page.get_by_role("heading", name="Agents")).to_be_visible()


def test_a_conversation_is_read_from_a_row(opened: Open, demo: Served) -> None:
    with opened(at(demo, "live?type=ToolCall")) as page:
        page.locator(".row.ToolCall").first.click()
        page.get_by_role("link", name="Exchange").click()
        expect(page.locator(".turn.Prompt").first).to_be_visible()
        expect(page.locator(".turn.ToolCall").first).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("button", name="Markdown").click()
        assert Path(download.value.path()).read_text()


def test_an_agent_is_shown_with_what_it_did(opened: Open, demo: Served) -> None:
    with opened(at(demo, "agents")) as page:
        page.locator("td a").first.click()
        expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
        expect(page.locator("td").first).to_be_visible()


def test_on_a_phone_everything_fits_the_width(opened: Open, demo: Served) -> None:
    with opened(demo.url, width=390, height=844) as page:
        for view, there in VIEWS.items():
            page.goto(at(demo, view))
            expect(page.locator(f"nav a[aria-current=page][href='#/{view}']")).to_be_visible()
            expect(page.locator(there).first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390


HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "javascript:alert(1)",
    "\x1b[2J\x1b[31mred",
    "\u202egnp.exe",
    "a\u0000b\u200b\ufeff",
    "{{constructor.constructor('document.title=1')()}}",
    "</pre></div><style>*{display:none}</style>",
]


def hostile_history(path: Path) -> None:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    with closing(History(path)) as history:
        history.add(
            Event(
                schema=1,
                id=f"01HOSTILE{number:04d}",
                time=now,
                host=text,
                process=Process(pid=number + 1, name=text, exe=text),
                session_id=f"s-{text}",
                exchange_id=f"x-{text}",
                action=Prompt(
                    api="openai.chat", provider=text, model=text, user_message=text,
                    stream=False, bytes=1, truncated=False,
                ),
            )
            for number, text in enumerate(HOSTILE)
        )  # fmt: skip


def test_what_agents_say_is_text_whatever_it_holds(opened: Open, tmp_path: Path) -> None:
    require("chromium")
    history = tmp_path / "history.db"
    hostile_history(history)
    with serve(
        *("--history", str(history), "--socket", str(tmp_path / "none")), state=tmp_path
    ) as served:
        places = ["live", "conversation", "processes", "providers"]
        for place in places:
            # The monitor is away, which the browser says of each answer of its own.
            with opened(at(served, place), allowed="503") as page:
                said = page.get_by_text("onerror").filter(visible=True)
                expect(said.first).to_be_visible()
                assert page.title().startswith("Busted")
                assert page.locator("img, #app script, #app style, iframe").count() == 0
                shown = page.locator("#app").inner_text()
                assert not set(shown) & set("\x1b\u202e\x00\u200b\ufeff")
        with opened(at(served, "live"), allowed="503") as page:
            page.locator(".row").nth(3).click()
            expect(page.locator("aside.detail")).to_contain_text("U+202E")
            page.get_by_role("link", name="Exchange").click()
            expect(page.locator(".turn.Prompt").first).to_be_visible()


def test_connections_that_could_not_be_read_are_listed(opened: Open, tmp_path: Path) -> None:
    require("chromium")
    told = ConnectionCoverage(
        state="opaque", reason="no_hook", stack="java_jsse", library="/lib/libjvm.so",
        name="api.openai.com", wire_sent=1000, wire_received=2000,
    )  # fmt: skip
    with closing(History(tmp_path / "history.db")) as history:
        history.add(
            [
                Event(
                    schema=1,
                    id="01OPAQUE",
                    time=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                    host="host",
                    process=Process(pid=7, name="java"),
                    action=Coverage(connection=told),
                )
            ]
        )
    options = ("--history", str(tmp_path / "history.db"), "--socket", str(tmp_path / "none"))
    with (
        serve(*options, state=tmp_path) as served,
        opened(at(served, "coverage"), allowed="503") as page,
    ):
        row = page.get_by_role("row").filter(has_text="api.openai.com")
        for text in ("java 7", "opaque", "no_hook", "java_jsse", "3,000"):
            expect(row).to_contain_text(text)


def test_it_connects_again_by_itself_and_keeps_its_filters(opened: Open, tmp_path: Path) -> None:
    require("chromium")
    with ExitStack() as running:
        served = running.enter_context(serve("--demo", state=tmp_path))
        page = running.enter_context(opened(at(served, "live?type=Prompt"), allowed="ERR_"))
        expect(page.locator(".state")).to_have_text("live")
        served.process.kill()
        served.process.wait()
        expect(page.locator(".state")).to_have_text("not connected")
        running.enter_context(serve("--demo", port=served.port, state=tmp_path))
        expect(page.locator(".state")).to_have_text("live")
        expect(page.get_by_label("Type", exact=True)).to_have_value("Prompt")
        expect(page.locator(".row.Prompt").first).to_be_visible()


def test_many_tabs_at_once_are_live(browser: Browser, demo: Served) -> None:
    context = browser.new_context()
    try:
        pages = [context.new_page() for _ in range(TABS)]
        for page in pages:
            page.goto(demo.url)
        for page in pages:
            expect(page.locator(".state")).to_have_text("live")
        newest = [page.locator(".row").first for page in pages]
        for row in newest:
            expect(row).to_be_visible()
        before = newest[0].get_attribute("data-id")
        for row in newest:
            expect(row).not_to_have_attribute("data-id", before or "")
    finally:
        context.close()


def test_with_a_token_the_page_asks_for_it(opened: Open, tmp_path: Path) -> None:
    require("chromium")
    token = tmp_path / "token"
    token.write_text("t" * 40)
    with (
        serve("--demo", "--token-file", str(token), state=tmp_path) as served,
        opened(served.url, allowed="401") as page,
    ):
        page.get_by_label("token").fill("t" * 40)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator(".row").first).to_be_visible()
        assert "tttt" not in page.url
        # Nor is it anywhere else where a script could read it.
        kept = "() => JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
        assert "tttt" not in page.evaluate(kept)
        assert "busted_session" not in page.evaluate(kept)
        page.reload()
        expect(page.locator(".row").first).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("token")).to_be_visible()


def test_a_policy_is_tried_on_what_was_said_and_its_mistakes_are_told(
    opened: Open, demo: Served
) -> None:
    require("regorus")
    with opened(at(demo, "policy")) as page:
        rego = page.get_by_label("Policy in Rego")
        rego.fill('package busted\n\ndecision := "deny" if input.action.type == "Prompt"\n')
        page.get_by_role("button", name="Try").click()
        expect(page.get_by_text("would be denied")).to_be_visible()
        expect(page.locator(".trial .tag.deny").first).to_be_visible()
        rego.fill("package busted\n\ndecision := ")
        page.get_by_role("button", name="Try").click()
        expect(page.locator(".trial .problems")).to_contain_text(":3:")


def test_what_was_redacted_is_shown_where_it_may_be_and_is_audited(
    opened: Open, tmp_path: Path
) -> None:
    require("chromium")
    with (
        host(tmp_path) as running,
        # There is no history; and before it has the token it may not ask.
        opened(f"http://127.0.0.1:{running.api.port}/", allowed="status of") as page,
    ):
        page.get_by_label("token").fill(TOKEN)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator(".state")).to_have_text("live")
        running.outputs.write(said("01LATER"))
        page.locator(".row").first.click()
        detail = page.locator("aside.detail")
        expect(detail.locator("mark").first).to_be_visible()
        assert SECRET not in detail.inner_text()
        page.get_by_role("button", name="Reveal").click()
        expect(detail).to_contain_text(SECRET)
        assert [entry.event for entry in running.revealed()] == ["01LATER"]


def test_the_files_that_are_shipped_are_those_that_the_sources_make(tmp_path: Path) -> None:
    require("web packages")
    web, static = ROOT / "src/busted/ui/web", ROOT / "src/busted/ui/static"
    copy = tmp_path / "ui" / "web"
    shutil.copytree(web, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(WEB / "node_modules")
    built = subprocess.run(["npm", "run", "build"], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    made = tmp_path / "ui" / "static"
    names = sorted(str(file.relative_to(made)) for file in made.rglob("*") if file.is_file())
    assert names == ["assets/app.css", "assets/app.js", "index.html"]
    _, different, missing = filecmp.cmpfiles(made, static, names, shallow=False)
    assert (different, missing) == ([], [])


def test_the_page_has_less_than_150_kb_compressed() -> None:
    static = ROOT / "src/busted/ui/static"
    sent = sum(len(gzip.compress(f.read_bytes())) for f in static.rglob("*") if f.is_file())
    assert sent < 150_000
