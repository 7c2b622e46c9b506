"""The views of the dashboard, and where they are."""

from __future__ import annotations

from tests.ui.conftest import Served

# view: what is there once its answer has come
VIEWS = {
    "live": "[role=row]",
    "conversation": "td a",
    "agents": "td a",
    "providers": "figure rect",
    "processes": "td a",
    "mcp": "td code",
    "policy": "h3",
    "coverage": "dl.facts",
    "health": "dl.facts",
}


def at(served: Served, place: str) -> str:
    """Return the address of a view, with what is chosen in it."""
    return f"{served.url}#/{place}"
