"""What is asked of the source, as rows and lines."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from busted.ui.source import Source

# What one scrolls through; the history has the rest.
MAX_TRANSCRIPT_BYTES = 1 << 20

AGENT_COLUMNS = ("agent", "last seen", "events", "who runs it", "program")
PROVIDER_COLUMNS = ("provider", "events", "tokens in", "tokens out", "errors", "dollars")
_SUMMED = ("events", "input", "output", "errors", "cost")
# As `busted.sinks.transcript` writes it: fences, signs that mean themselves, bold decisions.
_FENCE = re.compile(r"(`{3,})text")
_MARKUP = re.compile(r"\\(.)|\*\*")
_BLOCKS = " ▁▂▃▄▅▆▇█"


class _Agent(msgspec.Struct, frozen=True):
    name: str = ""
    last_seen: str = ""
    events: int = 0
    principals: tuple[str, ...] = ()
    program: str | None = None


def agent_rows(agents: Sequence[msgspec.Raw]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each identity."""
    for raw in agents:
        agent = msgspec.json.decode(raw, type=_Agent)
        seen, who = agent.last_seen[5:16].replace("T", " "), " ".join(agent.principals)
        yield agent.name, seen, str(agent.events), who, agent.program or ""


def provider_rows(totals: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each provider, who had most events first."""
    sums: dict[str, list[float]] = {}
    for total in totals:
        found = sums.setdefault(total["provider"] or "unknown", [0.0] * len(_SUMMED))
        for place, field in enumerate(_SUMMED):
            found[place] += total[field]
    for name, found in sorted(sums.items(), key=lambda item: -item[1][0]):
        yield name, *(f"{value:,.0f}" for value in found[:-1]), f"{found[-1]:,.4f}"


def transcript(source: Source, session: str) -> list[str]:
    """Return the lines of a session's transcript, of a long one the last. Raises what it does."""
    kept: deque[bytes] = deque()
    size, is_cut = 0, False
    for piece in source.export("markdown", {"session": session}):
        kept.append(piece)
        size += len(piece)
        while size > MAX_TRANSCRIPT_BYTES and len(kept) > 1:
            size -= len(kept.popleft())
            is_cut = True
    text = b"".join(kept)[-MAX_TRANSCRIPT_BYTES:].decode(errors="replace")
    cut = ["... what came before is in the history"] if is_cut else []
    return [*cut, *_without_markup(text.split("\n"))]


def _without_markup(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of our Markdown, what was said set apart by its indent instead of fences."""
    fence = ""
    for line in lines:
        if fence:
            if line == fence:
                fence = ""
            else:
                yield f"  {line}"
        elif opened := _FENCE.fullmatch(line):
            fence = opened[1]
        elif line.startswith("## "):
            yield from ("", _MARKUP.sub(r"\1", line.removeprefix("## ")))
        elif line:
            yield _MARKUP.sub(r"\1", line.removeprefix("# "))


def bars(counts: Collection[int]) -> str:
    """Return counts as bars, the highest of which is full."""
    most = max(counts, default=0) or 1
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // most)] for count in counts)


def flat(value: Any, indent: str = "") -> Iterator[str]:
    """Yield nested names and values as lines."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if isinstance(item, dict | list) and item:
            yield f"{indent}{name}"
            yield from flat(item, indent + "  ")
        else:
            told = item if isinstance(item, str) else msgspec.json.encode(item).decode()
            yield f"{indent}{name}: {told}"
