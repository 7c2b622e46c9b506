"""A list of events of which only the lines on the screen are drawn, the newest first.

The row that is marked stays marked while others come above it; at the newest the mark stays with
the newest, unless it is held.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from busted.ui.terminal.rows import Row

# The same as those of the page.
_COLOURS = {
    "Prompt": "#d2a642",
    "Response": "#3fb950",
    "ToolCall": "#bc8cff",
    "ToolResult": "#bc8cff",
    "McpRequest": "#56d4dd",
    "McpResponse": "#56d4dd",
    "A2aRequest": "#56d4dd",
    "A2aResponse": "#56d4dd",
    "PiiDetected": "#f85149",
    "CanaryDetected": "#f85149",
    "LoopDetected": "#f85149",
    "FileAccess": "#c8b478",
    "FileData": "#c8b478",
}
_BY_DECISION = {
    "deny": Style(color="#f85149", bold=True),
    "audit": Style(color="#d29922"),
}
_GAP = Style(color="#f85149", italic=True)
_MARKED = Style(reverse=True)


def style_of(row: Row) -> Style:
    """Return how a row looks: by decision first, then by finding, then by what it is."""
    if not row.json:
        return _GAP
    if row.decision in _BY_DECISION:
        return _BY_DECISION[row.decision]
    if row.has_findings:
        return Style(color="#f85149")
    return Style(color=_COLOURS.get(row.kind, "#c9d1d9"))


class EventList(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows rows that its owner keeps, and says which one is marked."""

    class Marked(Message):
        """Another row is marked."""

    def __init__(self, id: str) -> None:
        """Nothing to show yet."""
        super().__init__(id=id)
        self._rows: Sequence[Row] = ()
        self._cursor = 0
        self._told: Row | None = None
        self.is_held = False
        """Whether the newest row, too, stays marked while others come."""

    @property
    def marked(self) -> Row | None:
        """The row that is marked."""
        return self._rows[-1 - self._cursor] if self._cursor < len(self._rows) else None

    def show(self, rows: Sequence[Row], came: int) -> None:
        """Show these, the last first; so many of them came since the last time."""
        self._rows = rows
        self.virtual_size = Size(self.size.width, len(rows))
        if came and (self._cursor or self.is_held):
            self.scroll_to(y=self.scroll_offset.y + came, animate=False, immediate=True)
            self._cursor += came
        self._mark(self._cursor)
        self.refresh()

    def move(self, by: int) -> None:
        """Mark the row so many lines further down."""
        self.mark(self._cursor + by)

    def mark(self, line: int) -> None:
        """Mark the row of a line of the list."""
        self._mark(line)
        self.scroll_to_region(Region(0, self._cursor, 1, 1), animate=False, force=True)
        self.refresh()

    def mark_on_screen(self, share: float) -> None:
        """Mark the row at a share of the screen's height: 0 is its first line, 1 its last."""
        height = max(1, min(self.size.height, len(self._rows)))
        self.mark(self.scroll_offset.y + round(share * (height - 1)))

    def _mark(self, line: int) -> None:
        self._cursor = max(0, min(line, len(self._rows) - 1))
        if self.marked is not self._told:
            self._told = self.marked
            self.post_message(self.Marked())

    def on_resize(self) -> None:
        """Keep the mark on the screen."""
        self.mark(self._cursor)

    def on_click(self, event: object) -> None:
        """Mark the row that was clicked."""
        self.mark(self.scroll_offset.y + getattr(event, "y", 0))

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen."""
        line, width = self.scroll_offset.y + y, self.size.width
        if line >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[-1 - line]
        style = self.rich_style + style_of(row)
        if line == self._cursor:
            style += _MARKED
        return Strip([Segment(set_cell_size(row.text, width), style)], width)
