"""The events that the terminal shows: what each is in one line, and which are wanted.

Strategy: a row is made once, when its event comes, and filters look at rows. The oldest make room.

Left out: what made room. It is in the history, where `busted query` finds it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from busted.events import Event, PiiDetected

# As many as one scrolls through; as for the bytes, prompts can be megabytes at full content.
MAX_ROWS = 5000
MAX_BYTES = 32 << 20

_DECODER = msgspec.json.Decoder(Event)


class Texts(msgspec.Struct, frozen=True):
    """How events become text that does no harm in a terminal: control characters spelled out."""

    head: Callable[[Event], str]
    """An event in one line."""

    fields: Callable[[Event], list[str]]
    """All of an event, in lines."""

    visible: Callable[[str], str]
    """Any one line."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One line of the list; without an event it tells of a gap."""

    text: str
    kind: str = ""
    provider: str = ""
    decision: str = ""
    has_findings: bool = False
    json: bytes = b""

    @property
    def event(self) -> Event | None:
        """The event itself."""
        return _DECODER.decode(self.json) if self.json else None


class Wanted(msgspec.Struct, frozen=True):
    """Which rows are shown: those that agree with all that is not empty."""

    kind: str = ""
    provider: str = ""
    text: str = ""

    def agrees(self, row: Row) -> bool:
        """Tell whether a row is wanted; a gap always is."""
        if not row.json:
            return True
        if self.kind not in ("", row.kind) or self.provider not in ("", row.provider):
            return False
        # As it stands in JSON, whatever its case.
        return not self.text or _in_json(self.text) in row.json.lower()


def _in_json(text: str) -> bytes:
    return msgspec.json.encode(text.encode(errors="replace").decode())[1:-1].lower()


def row_of(json: bytes, texts: Texts) -> Row:
    """Return the row of an event's JSON."""
    event = _DECODER.decode(json)
    action = event.action
    return Row(
        text=texts.head(event),
        kind=type(action).__name__,
        provider=texts.visible(getattr(action, "provider", None) or ""),
        decision=event.policy.decision if event.policy else "",
        has_findings=isinstance(action, PiiDetected) or bool(getattr(action, "pii", ())),
        json=json,
    )


class Rows:
    """The newest rows, in the order in which they came, and of these the wanted ones."""

    def __init__(self, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> None:
        """Nothing came yet, and everything is wanted."""
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._all: deque[Row] = deque()
        self._bytes = 0
        self.wanted = Wanted()
        self.shown: deque[Row] = deque()
        """The wanted ones, the oldest first."""
        self.decisions: Counter[str] = Counter()
        self.seen = 0
        """How many events came so far."""

    def add(self, row: Row) -> bool:
        """Take a row, and return whether it is shown."""
        self._all.append(row)
        self._bytes += len(row.json)
        if row.json:
            self.seen += 1
            self.decisions[row.decision] += 1
        is_wanted = self.wanted.agrees(row)
        if is_wanted:
            self.shown.append(row)
        while len(self._all) > self._max_rows or (
            self._bytes > self._max_bytes and len(self._all) > 1
        ):
            oldest = self._all.popleft()
            self._bytes -= len(oldest.json)
            if self.shown and self.shown[0] is oldest:
                self.shown.popleft()
        return is_wanted

    def want(self, wanted: Wanted) -> None:
        """Show others from now on."""
        self.wanted = wanted
        self.shown = deque(row for row in self._all if wanted.agrees(row))

    def clear(self) -> None:
        """Forget all rows; counts stay."""
        self._all.clear()
        self.shown.clear()
        self._bytes = 0

    def kinds(self) -> Sequence[str]:
        """Return the kinds of events that are here."""
        return sorted({row.kind for row in self._all if row.kind})

    def providers(self) -> Sequence[str]:
        """Return the providers that events here name."""
        return sorted({row.provider for row in self._all if row.provider})


def after(choices: Sequence[str], chosen: str) -> str:
    """Return the choice behind `chosen`, and nothing behind the last."""
    following = [choice for choice in choices if choice > chosen]
    return following[0] if following else ""
