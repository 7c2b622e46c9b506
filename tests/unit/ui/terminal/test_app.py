"""The terminal under Textual's pilot: what stands on the screen after which key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from busted.ui.terminal.app import HELP, Terminal
from tests.unit.ui.terminal.samples import HOSTILE, TEXTS, Told, answer, denied, prompt

SCREENS = [(80, 24), (20, 6)]
DEADLINE_SECONDS = 30

Steps = Callable[["Screen"], Awaitable[None]]


class Screen:
    """What one sees and presses."""

    def __init__(self, app: Terminal, pilot: Pilot[None]) -> None:
        self.app, self._pilot = app, pilot

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    @property
    def lines(self) -> list[str]:
        strips = self.app.screen._compositor.render_strips()
        return [strip.text for strip in strips]

    @property
    def size(self) -> tuple[int, int]:
        return max(map(cell_len, self.lines)), len(self.lines)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.text
            await self._pilot.pause(0.02)

    async def shows(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.text for text in texts))

    async def hides(self, *texts: str) -> None:
        await self.until(lambda: not any(text in self.text for text in texts))


def play(told: Told, steps: Steps, size: tuple[int, int] = (80, 24)) -> Terminal:
    async def playing() -> Terminal:
        app = Terminal(told, TEXTS)
        async with app.run_test(size=size) as pilot:
            await steps(Screen(app, pilot))
        return app

    return asyncio.run(playing())


def telling(*events: Any) -> Told:
    told = Told()
    told.tell(*events)
    return told


def test_events_stand_newest_first_and_come_by_themselves() -> None:
    told = telling(prompt(1), answer(2))

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(1)", "python3(2)", "LIVE", "2 events")
        assert screen.text.index("python3(2)") < screen.text.index("python3(1)")
        told.tell(denied(3))
        await screen.shows("python3(3)", "1 deny", "=> deny")
        assert screen.text.index("python3(3)") < screen.text.index("python3(2)")

    play(told, steps)


def test_the_keys_mark_and_the_event_is_shown_whole() -> None:
    told = telling(*(prompt(number, f"said {number:03}") for number in range(1, 101)))

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(100)")

        async def marked(key: str, message: str) -> None:
            await screen.press(key)
            await screen.shows(f"pid: {message}")

        await screen.press("enter")
        await screen.shows("pid: 100")
        for key, pid in (("j", "99"), ("down", "98"), ("k", "99"), ("n", "98"), ("N", "99")):
            await marked(key, pid)
        for key, pid in (("G", "1"), ("g", "100"), ("end", "1"), ("home", "100")):
            await marked(key, pid)
        await screen.press("escape")
        await screen.hides("pid: 100")
        height = screen.app.query_one("#list").size.height
        for pressed, expected in (
            (("ctrl+f",), 100 - height),
            (("ctrl+b", "pagedown"), 100 - height),
            (("pageup", "ctrl+d"), 100 - height // 2),
            (("ctrl+u", "L"), 101 - height),
            (("g", "H"), 100),
            (("M",), 100 - (height - 1) // 2),
        ):
            await screen.press(*pressed, "enter")
            await screen.shows(f"pid: {expected}")
            await screen.press("escape")
            await screen.until(lambda: screen.app.query_one("#list").size.height == height)

    play(told, steps)


def test_the_mark_stays_at_its_event_while_others_come() -> None:
    told = telling(*(prompt(number) for number in range(1, 40)))

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(39)")
        await screen.press("j", "j", "enter")
        await screen.shows("pid: 37")
        told.tell(*(prompt(number) for number in range(40, 60)))
        await screen.shows("59 events")
        await screen.press("j")
        await screen.shows("pid: 36")

    play(told, steps)


def test_an_open_event_stays_marked_also_if_it_was_the_newest() -> None:
    told = telling(*(prompt(number) for number in range(1, 40)))

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(39)")
        await screen.press("enter")
        await screen.shows("pid: 39")
        told.tell(*(prompt(number) for number in range(40, 60)))
        await screen.shows("59 events")
        await screen.press("j")
        await screen.shows("pid: 38")
        await screen.press("escape", "g")
        told.tell(prompt(60))
        await screen.shows("python3(60)")
        await screen.press("enter")
        await screen.shows("pid: 60")

    play(told, steps)


def test_the_newest_second_has_its_bar_however_narrow_the_screen() -> None:
    told = telling(prompt(1))

    async def steps(screen: Screen) -> None:
        await screen.until(lambda: screen.lines[-1].rstrip().endswith("█"))

    play(told, steps)


def test_filters_by_type_provider_and_text_and_back() -> None:
    told = telling(prompt(1, "needle"), answer(2), prompt(3, provider="anthropic"))

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(1)", "python3(2)", "python3(3)")
        await screen.press("t")
        await screen.hides("python3(2)")
        await screen.shows("type Prompt")
        await screen.press("p")
        await screen.shows("provider anthropic", "python3(3)")
        await screen.hides("python3(1)")
        await screen.press("C")
        await screen.shows("python3(1)", "python3(2)", "python3(3)")
        await screen.press("slash", *"Needle", "enter")
        await screen.hides("python3(2)", "python3(3)")
        await screen.shows("python3(1)", "/ Needle")
        # In the search the letters are letters.
        await screen.press("slash", *"q")
        assert screen.app.is_running
        await screen.press("escape")
        await screen.shows("/ Needle")
        await screen.press("C", "c")
        await screen.hides("python3(1)")
        told.tell(prompt(4))
        await screen.shows("python3(4)", "4 events")

    play(told, steps)


def test_what_comes_during_a_pause_waits() -> None:
    told = telling(prompt(1))

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(1)")
        await screen.press("space")
        await screen.shows("PAUSED")
        told.tell(prompt(2), prompt(3))
        await screen.shows("PAUSED, 2 new")
        assert "python3(2)" not in screen.text
        await screen.press("space")
        await screen.shows("python3(2)", "python3(3)")
        await screen.hides("PAUSED")

    play(told, steps)


def test_what_was_missed_is_told_and_what_is_no_event_does_no_harm() -> None:
    told = telling(prompt(1))
    told.live.put("", b'{"count":7,"why":"the monitor was away"}')
    told.live.put("x", b"{")
    told.live.put("", b"[]")
    told.tell(prompt(2))

    async def steps(screen: Screen) -> None:
        await screen.shows("7 events were missed: the monitor was away", "cannot be shown")
        await screen.shows("python3(1)", "python3(2)")

    play(told, steps)


def test_a_conversation_is_shown_and_told_when_it_cannot_be() -> None:
    told = telling(prompt(1), prompt(2))
    told.said["session-2"] = [b"# What\n", b"the beginning\n"]

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(2)")
        await screen.press("s")
        await screen.shows("the beginning")
        assert screen.app.view == "conversation"
        told.away = True
        await screen.press("1", "s")
        await screen.shows("no monitor answers")

    play(told, steps)


def test_a_long_line_that_was_said_does_not_look_like_ours() -> None:
    told = telling(prompt(1))
    said = "x" * 78 + "Policy: deny"
    told.said["session-1"] = [f"ours\n```text\n{said}\n```\n".encode()]

    async def steps(screen: Screen) -> None:
        await screen.shows("python3(1)")
        await screen.press("s")
        await screen.shows("ours", "Policy: deny")
        strips = screen.app.screen._compositor.render_strips()
        bold = {
            segment.text.strip()
            for strip in strips[2:-1]
            for segment in strip
            if segment.style and segment.style.bold and segment.text.strip()
        }
        assert bold == {"ours"}

    play(told, steps)


def test_agents_providers_and_health_are_asked_and_told_when_they_cannot_be() -> None:
    told = Told()
    told.identities = [{"id": "1", "name": "Claude Code", "events": 5, "principals": ["uid:0"]}]
    total = {"events": 3, "input": 1000, "output": 20, "errors": 1, "cost": 0.5}
    told.sums = [{"provider": "openai", **total}, {"provider": "openai", **total}]

    async def steps(screen: Screen) -> None:
        await screen.press("3")
        await screen.shows("Claude Code", "uid:0")
        await screen.press("tab")
        await screen.shows("openai", "2,000", "1.0000")
        await screen.press("tab")
        await screen.shows("version: 1.2.3", "records: 7")
        await screen.press("shift+tab", "shift+tab")
        assert screen.app.view == "agents"
        told.away = True
        await screen.shows("no monitor answers", "not connected")
        await screen.press("5")
        await screen.shows("no monitor answers")
        told.away = False
        await screen.shows("version: 1.2.3", "LIVE")

    play(told, steps)


def test_nothing_that_was_said_reaches_the_terminal_as_it_is() -> None:
    told = telling(prompt(1, HOSTILE, provider=HOSTILE))
    told.said["session-1"] = [HOSTILE.encode()]
    told.identities = [{"id": "1", "name": HOSTILE, "program": HOSTILE, "principals": [HOSTILE]}]
    told.sums = [
        {"provider": HOSTILE, "events": 1, "input": 1, "output": 1, "errors": 0, "cost": 0}
    ]

    async def steps(screen: Screen) -> None:
        def harmless() -> bool:
            return all(line.isprintable() for line in screen.lines)

        for keys in (("enter",), ("s",), ("3",), ("4",), ("5",), ("1", "p")):
            await screen.press(*keys)
            await screen.shows("\\x1b[31mred")
            assert harmless()
        await screen.press("s")
        # Markup of ours is none of theirs.
        await screen.shows("[bold]markup[/bold]")

    play(told, steps, (200, 50))


@pytest.mark.parametrize("size", SCREENS)
def test_every_view_fits_every_size(size: tuple[int, int]) -> None:
    told = telling(*(prompt(number) for number in range(50)))

    async def steps(screen: Screen) -> None:
        for key in "12345":
            await screen.press(key, "G", "question_mark", "x")
            await screen.until(lambda: screen.size == size)

    play(told, steps, size)


def test_help_tells_the_keys_and_any_key_closes_it() -> None:
    async def steps(screen: Screen) -> None:
        await screen.press("question_mark")
        await screen.shows(*HELP.splitlines())
        await screen.press("q")
        await screen.hides("Ctrl-d")
        assert screen.app.is_running
        await screen.press("q")

    assert play(Told(), steps).return_code == 0
