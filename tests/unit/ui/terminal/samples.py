"""A source that tells what a test puts in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import msgspec

from busted.events import SCHEMA, Event, PolicyDecision, Process, Prompt, Response, to_json
from busted.sinks.console import fields, head, visible
from busted.sinks.recent import Recent
from busted.ui.source import Chosen, NotThere, Page, Unavailable
from busted.ui.terminal.rows import Texts

TEXTS = Texts(lambda event: head(event), fields, visible)
HOSTILE = "\x1b[31mred\x1b[0m \u202eevil [bold]markup[/bold] \x07"


def prompt(number: int, text: str = "hi", provider: str = "openai", **more: Any) -> Event:
    return Event(
        schema=SCHEMA,
        id=f"{number}",
        time=f"2026-11-22T14:03:{number % 60:02d}.117456789Z",
        host="host",
        process=Process(pid=number, name="python3", start_time=""),
        session_id=f"session-{number}",
        action=Prompt(
            api="openai-chat",
            provider=provider,
            model="m",
            user_message=text,
            stream=False,
            bytes=1,
            truncated=False,
        ),
        **more,
    )


def answer(number: int, text: str = "well") -> Event:
    action = Response(
        api="openai-chat", status=200, text=text, stream=False, bytes=1, truncated=False
    )
    return msgspec.structs.replace(prompt(number), action=action)


def denied(number: int) -> Event:
    return prompt(number, policy=PolicyDecision(decision="deny", reasons=("no",), id="1"))


class Told:
    """The source; what is `away` cannot be asked."""

    def __init__(self) -> None:
        self.live = Recent()
        self.away = False
        self.identities: list[dict[str, Any]] = []
        self.sums: list[dict[str, Any]] = []
        self.said: dict[str, list[bytes]] = {}
        self.asked = threading.Event()

    def tell(self, *events: Event) -> None:
        for event in events:
            self.live.put(event.id, to_json(event))

    def agrees(self, event: bytes, chosen: Chosen) -> bool:
        return True

    def events(self, chosen: Chosen, limit: int, cursor: str | None) -> Page:
        return Page([], None)

    def event(self, id: str) -> msgspec.Raw:
        raise NotThere(id)

    def exchange(self, id: str) -> list[msgspec.Raw]:
        raise NotThere(id)

    def session(self, id: str, limit: int) -> list[msgspec.Raw]:
        raise NotThere(id)

    def groups(self, column: str, chosen: Chosen, limit: int) -> list[dict[str, Any]]:
        return []

    def totals(self, group: str, chosen: Chosen, minutes: int) -> list[dict[str, Any]]:
        self._check()
        return self.sums

    def agents(self, limit: int) -> list[msgspec.Raw]:
        self._check()
        return [msgspec.Raw(msgspec.json.encode(one)) for one in self.identities]

    def agent(self, id: str) -> msgspec.Raw:
        raise NotThere(id)

    def reveal(self, id: str, by: str) -> msgspec.Raw:
        raise NotThere(id)  # the terminal does not ask

    def try_policy(self, policy: str, events: int) -> dict[str, Any]:
        raise NotThere(policy)  # the terminal does not ask

    def status(self) -> dict[str, Any]:
        self._check()
        return {"version": "1.2.3", "lost": {"records": 7}, "host": HOSTILE}

    def health(self) -> dict[str, Any]:
        return {"stream": {"connected": not self.away, "gaps": 0}}

    def export(self, format: str, chosen: Chosen) -> Iterator[bytes]:
        self._check()
        assert format == "markdown"
        return iter(self.said[chosen["session"]])

    def _check(self) -> None:
        if self.away:
            raise Unavailable("no monitor answers")
