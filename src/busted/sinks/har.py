"""Exchanges as an HTTP archive, for tools that read one (HAR 1.2, http://www.softwareishard.com/
blog/har-12-spec/).

An entry is a prompt with its answer. What was said is in the bodies as our events tell it, not as
it crossed the connection: that is not kept. Times that are not known are -1, as the format has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from busted import __version__
from busted.events import Event, Prompt, Response

Json = dict[str, Any]


def archive(events: Iterable[Event]) -> Json:
    """Return the archive of all prompts among the events, each with its answer if it is there."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "busted", "version": __version__},
            "entries": list(_entries(events)),
        }
    }


def _entries(events: Iterable[Event]) -> Iterator[Json]:
    prompts: dict[str | None, list[tuple[Event, Prompt]]] = {}
    for event in events:
        if isinstance(event.action, Prompt):
            prompts.setdefault(event.exchange_id, []).append((event, event.action))
        elif isinstance(event.action, Response) and prompts.get(event.exchange_id):
            prompt_event, prompt = prompts[event.exchange_id].pop(0)
            yield _entry(prompt_event, prompt, event.action)
    for waiting in prompts.values():
        for event, prompt in waiting:
            yield _entry(event, prompt, None)


def _entry(event: Event, prompt: Prompt, response: Response | None) -> Json:
    connection = event.connection
    host = (connection.sni if connection else None) or prompt.provider or "unknown.invalid"
    waited = -1 if response is None or response.latency is None else response.latency * 1000
    entry: Json = {
        "startedDateTime": event.time,
        "time": max(waited, 0),
        "request": {
            "method": "POST",
            "url": f"https://{host}{prompt.endpoint or '/'}",
            "postData": {"mimeType": "application/json", "text": _text(prompt)},
            "bodySize": prompt.bytes,
            **_COMMON,
            "queryString": [],
        },
        "response": {
            "status": response.status if response else 0,
            "statusText": "",
            "content": _content(response),
            "redirectURL": "",
            "bodySize": response.bytes if response else -1,
            **_COMMON,
        },
        "cache": {},
        "timings": {"send": 0, "wait": waited, "receive": 0},
        "_process": {"pid": event.process.pid, "name": event.process.name},
    }
    if connection and connection.dst_ip:
        entry["serverIPAddress"] = connection.dst_ip
    return entry


_COMMON: Json = {"httpVersion": "HTTP/1.1", "cookies": [], "headers": [], "headersSize": -1}


def _content(response: Response | None) -> Json:
    if response is None:
        return {"size": 0, "mimeType": "x-unknown"}
    text = _text(response)
    return {"size": len(text), "mimeType": "application/json", "text": text}


def _text(action: Prompt | Response) -> str:
    return msgspec.json.encode(action).decode()
