"""Events to Grafana Loki, by its push API, as lines of JSON.

Labels are what makes a stream in Loki, so they are few and of few values: the host, the type of the
action, and `job`. Everything else is in the line (`| json`).

Reference: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busted.sinks.channel import ALL_TAKEN, Item, Sent
from busted.sinks.heads import head, nanoseconds
from busted.sinks.http import HttpPeer, HttpSettings


class LokiSettings(HttpSettings, frozen=True, kw_only=True):
    """Settings of Loki; `tenant` is sent as X-Scope-OrgID."""

    job: str = "busted"
    tenant: str | None = None


class LokiChannel:
    """Pushes to one Loki."""

    def __init__(self, target: str, settings: LokiSettings) -> None:
        """`target` is its URL, without a path. Raises WrongOutput."""
        self._peer = HttpPeer(f"{target.rstrip('/')}/loki/api/v1/push", settings)
        self._job = settings.job
        self._headers = {"Content-Type": "application/json"}
        if settings.tenant:
            self._headers["X-Scope-OrgID"] = settings.tenant

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Push a batch."""
        await self._peer.post(self._peer.url, push(batch, self._job), self._headers)
        return ALL_TAKEN

    async def close(self) -> None:
        """Close the connections."""
        await self._peer.close()


def push(batch: Sequence[Item], job: str) -> bytes:
    """Return the body of a push request."""
    streams: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for item in batch:
        told = head(item)
        values = streams.setdefault((told.host, told.action.type), [])
        values.append((str(nanoseconds(told.time)), item.event.decode()))
    return msgspec.json.encode(
        {
            "streams": [
                {"stream": {"job": job, "host": host, "type": type}, "values": values}
                for (host, type), values in streams.items()
            ]
        }
    )
