"""What a recording must give: its events, without what differs from one recording to the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from busted import events
from busted.agent import recording
from busted.agent.replay import Replay

HERE = Path(__file__).parent
RECORDINGS = sorted(HERE.glob("*.rec"))

# Fields by their path; what is recorded anew differs in these and in nothing else.
VOLATILE = (
    "id",
    "time",
    "session_id",
    "exchange_id",
    "process.pid",
    "process.tid",
    "process.ppid",
    "process.start_time",
    "process.cgroup_id",
    "connection.id",
    "identity.instance",
    "action.latency",
    "action.time_to_first_token",
    "action.session",
    "action.task_id",
    "action.context_id",
)


def expected(path: Path) -> Path:
    """Return the file with the events that a recording must give, one JSON object a line."""
    return path.with_suffix(".jsonl")


def replayed(path: Path) -> list[dict[str, Any]]:
    """Return the events of a recording; which of them share an exchange stays told."""
    header, frames = recording.read(path)
    exchanges: dict[str | None, int] = {}
    found = []
    replay = Replay(header)
    for event in replay.events(frames):
        number = exchanges.setdefault(event.exchange_id, len(exchanges) + 1)
        found.append(_without_volatile(json.loads(events.to_json(event))) | {"exchange": number})
    assert not frames.cut
    assert replay.lost == {}
    return found


def as_lines(found: list[dict[str, Any]]) -> str:
    """Return events as their file holds them."""
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in found)


def _without_volatile(event: dict[str, Any]) -> dict[str, Any]:
    for path in VOLATILE:
        *parents, name = path.split(".")
        holder = event
        for parent in parents:
            holder = holder.get(parent, {})
        holder.pop(name, None)
    return event
