"""The terminal twin of the page: events as they come, conversations, agents, providers, health.

Strategy: the list reads the live stream a few times a second; what stands in the history or what
the monitor is asked, is asked by a thread, so that keys are answered at once. All text comes from
outside: it passes `Texts`, and is shown without markup.

Left out: trying a policy, export and charts, which the page has.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import msgspec
from rich.cells import cell_len
from rich.text import Text
from textual import events as keys
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Input, Static, TabbedContent, TabPane

from busted.ui.source import NotThere, Source, Unavailable
from busted.ui.terminal.event_list import EventList
from busted.ui.terminal.rows import Row, Rows, Texts, Wanted, after, row_of
from busted.ui.terminal.tables import (
    AGENT_COLUMNS,
    PROVIDER_COLUMNS,
    agent_rows,
    bars,
    flat,
    provider_rows,
    transcript,
)

# As fast as one can read along.
READ_SECONDS = 0.2
ASK_SECONDS = 2.0
# Of the live stream, at a time: a key is answered in between.
READ_BYTES = 1 << 20
MAX_READ = 500
# What one scrolls through; the history has the rest.
MAX_LINES = 5000
MAX_AGENTS = 100
# A minute of events, one bar a second; the rate is that of the last five.
BARS, RATE_SECONDS = 60, 5
# What a transcript adds to what was said.
OURS = "bold #58a6ff"
VIEWS = ("events", "conversation", "agents", "providers", "health")
# 128 and the number of the signal, as shells tell it.
TERMINATED, HUNG_UP = 128 + signal.SIGTERM, 128 + signal.SIGHUP

_DAY_MINUTES = 24 * 60
_DAY_NS = 86_400 * 10**9

HELP = """\
1 to 5, Tab, Shift-Tab  Events, Conversation, Agents, Providers, Health
j k, arrows             one line
Ctrl-d Ctrl-u           half a page
Ctrl-f Ctrl-b, PgDn Up  a page
g G, Home End           first, last
H M L                   first, middle, last line of the screen
Enter                   all of the marked event; n N next, previous
s                       the conversation (session) that it belongs to
Space                   pause: what comes meanwhile waits
/                       search
p t                     next provider, next type
c C                     clear the list, show everything again
Esc                     close what is open
q ?                     quit, this help"""


class Help(ModalScreen[None]):
    """The keys; any key closes it."""

    def compose(self) -> ComposeResult:
        """Show the text."""
        yield Static(HELP, id="help", markup=False)

    def on_key(self, event: keys.Key) -> None:
        """Close."""
        event.stop()
        self.dismiss()


class Terminal(App[None]):
    """Shows what a source tells until one quits, or a signal ends it."""

    TITLE = "busted"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: #0f1117; color: #c9d1d9; overflow: hidden; }
    TabbedContent, ContentSwitcher, TabPane { height: 1fr; }
    EventList { height: 1fr; background: #0f1117; overflow-x: hidden; }
    VerticalScroll, EventList, DataTable { scrollbar-size: 1 1; }
    #detail { height: 1fr; display: none; border-top: solid #58a6ff; }
    #search { display: none; height: 1; border: none; padding: 0 1; }
    #state { height: 1; background: #161b22; }
    #help { width: auto; height: auto; padding: 1 2; background: #161b22; border: solid #58a6ff; }
    Help { align: center middle; }
    TabPane { padding: 0; }
    DataTable { background: #0f1117; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", priority=False),
        *(Binding(str(n), f"view('{view}')") for n, view in enumerate(VIEWS, 1)),
        Binding("tab", "turn(1)", priority=True),
        Binding("shift+tab", "turn(-1)", priority=True),
        Binding("j,down", "move(1)"),
        Binding("k,up", "move(-1)"),
        Binding("g,home", "first"),
        Binding("G,end", "last"),
        Binding("ctrl+d", "page(0.5)"),
        Binding("ctrl+u", "page(-0.5)"),
        Binding("ctrl+f,pagedown", "page(1)"),
        Binding("ctrl+b,pageup", "page(-1)"),
        Binding("H", "on_screen(0)"),
        Binding("M", "on_screen(0.5)"),
        Binding("L", "on_screen(1)"),
        Binding("enter", "detail"),
        Binding("n", "next(1)"),
        Binding("N", "next(-1)"),
        Binding("s", "conversation"),
        Binding("space", "pause"),
        Binding("slash", "search"),
        Binding("p", "next_provider"),
        Binding("t", "next_type"),
        Binding("c", "clear"),
        Binding("C", "show_all"),
        Binding("escape", "close", priority=True),
        Binding("question_mark", "help"),
    ]

    def __init__(
        self, source: Source, texts: Texts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show from the oldest event on that the stream still has."""
        super().__init__()
        self._source, self._texts, self._now = source, texts, clock
        self._rows = Rows()
        self._position = 0
        self._is_paused = False
        self._connection = "connecting"
        self._bars: deque[int] = deque([0] * BARS, BARS)
        self._bar_at = int(clock())
        self.returned = 0
        """The exit code: that of a signal, where one ended it."""

    # What there is to see

    def compose(self) -> ComposeResult:
        """Make all views."""
        with TabbedContent(initial="events"):
            with TabPane("1 Events", id="events"):
                yield EventList("list")
                yield VerticalScroll(Static("", id="fields", markup=False), id="detail")
            with TabPane("2 Conversation", id="conversation"):
                yield VerticalScroll(Static(_NO_CONVERSATION, id="said", markup=False), id="talk")
            with TabPane("3 Agents", id="agents"):
                yield DataTable(id="agents-table", cursor_type="row")
                yield Static("", id="agents-why", markup=False)
            with TabPane("4 Providers", id="providers"):
                yield DataTable(id="providers-table", cursor_type="row")
                yield Static("", id="providers-why", markup=False)
            with TabPane("5 Health", id="health"):
                yield VerticalScroll(Static("", id="how", markup=False), id="healthy")
        yield Input(placeholder="search", id="search")
        yield Static("", id="state", markup=False)

    def on_mount(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGHUP, HUNG_UP)):
            loop.add_signal_handler(number, self._ended_by, code)
        self.query_one("#agents-table", DataTable).add_columns(*AGENT_COLUMNS)
        self.query_one("#providers-table", DataTable).add_columns(*PROVIDER_COLUMNS)
        self.query_one(EventList).focus()
        self.set_interval(READ_SECONDS, self._unless_ending(self._read))
        self.set_interval(ASK_SECONDS, self._unless_ending(self._look))
        self._read()
        self._look()

    def _unless_ending(self, call: Callable[[], None]) -> Callable[[], None]:
        # Timers outlive what is on the screen.
        return lambda: call() if self.is_running else None

    def _ended_by(self, code: int) -> None:
        self.returned = code
        self.exit()

    @property
    def view(self) -> str:
        """Which view is shown."""
        return self.query_one(TabbedContent).active

    @property
    def rows(self) -> Rows:
        """What the list is made of."""
        return self._rows

    # The live stream

    def _read(self) -> None:
        came = 0
        if not self._is_paused:
            entries, missed = self._source.live.after(self._position, READ_BYTES)
            if missed:
                came += self._take(Row(f"--- {missed:,} events came faster than they were read"))
            for entry in entries[:MAX_READ]:
                self._position = entry.number
                came += self._take(self._row(entry.id, entry.event))
        self._count()
        if came:
            self._show(came)
        self._tell()

    def _row(self, id: str, json: bytes) -> Row:
        try:
            if id:
                return row_of(json, self._texts)
            gap = msgspec.json.decode(json, type=_Gap)
        except (msgspec.MsgspecError, ValueError):
            return Row("--- an event that cannot be shown")
        count = "some" if gap.count is None else f"{gap.count:,}"
        return Row(f"--- {count} events were missed: {self._texts.visible(gap.why)}")

    def _take(self, row: Row) -> bool:
        self._count()
        self._bars[-1] += bool(row.json)
        return self._rows.add(row)

    def _count(self) -> None:
        now = int(self._now())
        self._bars.extend([0] * min(max(now - self._bar_at, 0), BARS))
        self._bar_at = max(now, self._bar_at)

    def _show(self, came: int = 0) -> None:
        self.query_one(EventList).show(self._rows.shown, came)

    def _tell(self) -> None:
        rows, wanted = self._rows, self._rows.wanted
        rate = sum(list(self._bars)[-RATE_SECONDS:]) / RATE_SECONDS
        told = [self._connection]
        if self._is_paused:
            told.append(f"PAUSED, {self._source.live.newest - self._position:,} new")
        chosen = (("type", wanted.kind), ("provider", wanted.provider), ("/", wanted.text))
        told += [f"{name} {self._texts.visible(value)}" for name, value in chosen if value]
        told.append(f"{rows.seen:,} events {rate:.1f}/s")
        told += [f"{rows.decisions[name]:,} {name}" for name in ("deny", "audit")]
        line = f" {' | '.join(told)} | "
        # The newest, as many as there is room for.
        room = max(0, self.size.width - cell_len(line))
        line += bars(list(self._bars)[max(0, BARS - room) :])
        self.query_one("#state", Static).update(Text(line, no_wrap=True))

    # What has to be asked

    def _look(self) -> None:
        self.run_worker(self._asked(self.view), exclusive=True, group="look", exit_on_error=False)

    async def _asked(self, view: str) -> None:
        health = await asyncio.to_thread(self._source.health)
        stream = health["stream"]
        self._connection = "LIVE" if stream["connected"] else "not connected"
        try:
            if view == "agents":
                agents = await asyncio.to_thread(self._source.agents, MAX_AGENTS)
                self._fill("agents", agent_rows(agents))
            elif view == "providers":
                chosen = {"since": time.time_ns() - _DAY_NS}
                totals = await asyncio.to_thread(
                    self._source.totals, "provider", chosen, _DAY_MINUTES
                )
                self._fill("providers", provider_rows(totals))
            elif view == "health":
                status = await asyncio.to_thread(self._source.status)
                self._write("how", flat({"server": health, "monitor": status}))
        except Unavailable as error:
            if view == "health":
                self._write("how", [str(error), "", *flat({"server": health})])
            else:
                self._fill(view, (), str(error))

    def _fill(self, view: str, rows: Iterable[Sequence[str]], why: str = "") -> None:
        table: DataTable[Text] = self.query_one(f"#{view}-table", DataTable)
        marked = table.cursor_row
        table.clear()
        for row in rows:
            table.add_row(*(Text(self._texts.visible(cell)) for cell in row))
        table.move_cursor(row=marked)
        if not why and not table.row_count:
            why = f"No {view} yet."
        self.query_one(f"#{view}-why", Static).update(Text(self._texts.visible(why)))

    def _write(self, id: str, lines: Iterable[str], ours: str = "") -> None:
        """Show lines; those without an indent in the style `ours`."""
        shown = list(lines)
        if len(shown) > MAX_LINES:
            shown = [*shown[:MAX_LINES], f"... {len(shown) - MAX_LINES:,} more lines"]
        text = Text()
        for line in shown:
            text.append(f"{self._texts.visible(line)}\n", "" if line.startswith(" ") else ours)
        self.query_one(f"#{id}", Static).update(text)

    # Keys

    def action_view(self, view: str) -> None:
        """Show a view."""
        self.query_one(TabbedContent).active = view
        self._focused().focus()
        self._look()

    def action_turn(self, by: int) -> None:
        """Show the next view, or the one before."""
        self.action_view(VIEWS[(VIEWS.index(self.view) + by) % len(VIEWS)])

    def _focused(self) -> Any:
        return self.query_one(_FOCUS[self.view])

    def action_move(self, by: int) -> None:
        """Go some lines down."""
        place = self._focused()
        if isinstance(place, EventList):
            place.move(by)
        elif isinstance(place, DataTable):
            place.move_cursor(row=place.cursor_row + by)
        else:
            place.scroll_relative(y=by, animate=False)

    def action_page(self, share: float) -> None:
        """Go down a share of the screen."""
        self.action_move(int(share * max(2, self._focused().size.height)))

    def action_first(self) -> None:
        """Go to the newest event, or to the top."""
        self.action_move(-(10**9))

    def action_last(self) -> None:
        """Go to the oldest event, or to the bottom."""
        self.action_move(10**9)

    def action_on_screen(self, share: float) -> None:
        """Mark a line of the screen."""
        if self.view == "events":
            self.query_one(EventList).mark_on_screen(share)

    def action_detail(self) -> None:
        """Show all of the marked event."""
        if self.view == "events" and self.query_one(EventList).marked:
            self._open_detail(True)
            self._show_detail()

    def _open_detail(self, is_open: bool) -> None:
        self.query_one("#detail").display = is_open
        self.query_one(EventList).is_held = is_open

    def on_event_list_marked(self) -> None:
        """Follow the mark."""
        if self.query_one("#detail").display:
            self._show_detail()

    def _show_detail(self) -> None:
        row = self.query_one(EventList).marked
        event = row.event if row else None
        self._write("fields", self._texts.fields(event) if event else ())
        self.query_one("#detail", VerticalScroll).scroll_home(animate=False)

    def action_next(self, by: int) -> None:
        """Show all of the next event."""
        if self.view == "events" and self.query_one("#detail").display:
            self.query_one(EventList).move(by)

    def action_conversation(self) -> None:
        """Show the conversation of the marked event."""
        row = self.query_one(EventList).marked
        event = row.event if row else None
        if event is None or event.session_id is None:
            return
        self._write("said", ["..."])
        self.action_view("conversation")
        self.run_worker(
            self._converse(event.session_id), exclusive=True, group="talk", exit_on_error=False
        )

    async def _converse(self, session: str) -> None:
        try:
            lines = await asyncio.to_thread(transcript, self._source, session)
        except (Unavailable, NotThere) as error:
            lines = [str(error)]
        # What was said is indented, but its long lines go on without: the style stays.
        self._write("said", lines, OURS)
        self.query_one("#talk", VerticalScroll).scroll_end(animate=False)

    def action_pause(self) -> None:
        """Stop reading, or go on."""
        self._is_paused = not self._is_paused
        self._read()

    def action_search(self) -> None:
        """Ask for what to search."""
        self.action_view("events")
        search = self.query_one("#search", Input)
        search.value = self._rows.wanted.text
        search.display = True
        search.focus()

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        """Search."""
        self._want(msgspec.structs.replace(self._rows.wanted, text=submitted.value))
        self._end_search()

    def _end_search(self) -> None:
        self.query_one("#search").display = False
        self.query_one(EventList).focus()

    def action_next_provider(self) -> None:
        """Show the next provider alone, behind the last one all."""
        wanted = self._rows.wanted
        provider = after(self._rows.providers(), wanted.provider)
        self._want(msgspec.structs.replace(wanted, provider=provider))

    def action_next_type(self) -> None:
        """Show the next kind of events alone, behind the last one all."""
        wanted = self._rows.wanted
        self._want(msgspec.structs.replace(wanted, kind=after(self._rows.kinds(), wanted.kind)))

    def action_show_all(self) -> None:
        """Show everything again."""
        self._want(Wanted())

    def _want(self, wanted: Wanted) -> None:
        self._rows.want(wanted)
        self._show()
        self.query_one(EventList).mark(0)
        self._tell()

    def action_clear(self) -> None:
        """Empty the list."""
        self._rows.clear()
        self._show()
        self._tell()

    def action_close(self) -> None:
        """Close what is open: the search, else the event."""
        if self.query_one("#search").display:
            self._end_search()
        else:
            self._open_detail(False)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())


class _Gap(msgspec.Struct, frozen=True):
    count: int | None = None
    why: str = ""


_NO_CONVERSATION = "Mark an event and press s: what it belongs to is shown here."
_FOCUS = {
    "events": "#list",
    "conversation": "#talk",
    "agents": "#agents-table",
    "providers": "#providers-table",
    "health": "#healthy",
}
