"""Events to Splunk, by the HTTP event collector, with acknowledgement if it is asked for.

A 200 says that Splunk has read the events; with `acknowledge` a batch counts as taken once Splunk
says that it is on its disks. Splunk keeps no ids: what is offered twice is there twice, with the
same `id` in it.

Reference: https://docs.splunk.com/Documentation/Splunk/latest/Data/HECRESTendpoints and
.../AboutHECIDXAck
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from busted.sinks.channel import ALL_TAKEN, Item, Sent, Unavailable
from busted.sinks.heads import head, nanoseconds
from busted.sinks.http import HttpPeer, HttpSettings, json_answer
from busted.sinks.settings import Positive

_SUCCESS = 0


class SplunkSettings(HttpSettings, frozen=True, kw_only=True):
    """Settings of Splunk; times in seconds."""

    scheme: str = "Splunk"
    index: str | None = None
    sourcetype: str = "busted:event"
    acknowledge: bool = False
    # How often it is asked, and how long it may take to write; Splunk's own advice is 10 seconds.
    acknowledge_every: Positive = 1.0
    acknowledge_within: Positive = 120.0


class SplunkChannel:
    """Posts to one collector."""

    def __init__(self, target: str, settings: SplunkSettings) -> None:
        """`target` is its URL, without a path. Raises WrongOutput."""
        self._peer = HttpPeer(f"{target.rstrip('/')}/services/collector", settings)
        self._settings = settings
        # Acknowledgements belong to a channel; one is ours alone.
        self._headers = {"X-Splunk-Request-Channel": str(uuid.uuid4())}

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Post a batch, and wait for its acknowledgement where that is asked for."""
        body = b"\n".join(enveloped(item, self._settings) for item in batch)
        answer = await self._ask("event", body)
        if answer.get("code") != _SUCCESS:
            raise Unavailable("the answer is none of an event collector")
        if self._settings.acknowledge:
            await self._acknowledged(answer.get("ackId"))
        return ALL_TAKEN

    async def close(self) -> None:
        """Close the connections."""
        await self._peer.close()

    async def _acknowledged(self, ack: object) -> None:
        if not isinstance(ack, int):
            raise Unavailable("no ackId: acknowledgement is not enabled for this token")
        ends = time.monotonic() + self._settings.acknowledge_within
        while time.monotonic() < ends:
            answer = await self._ask("ack", msgspec.json.encode({"acks": [ack]}))
            acks = answer.get("acks")
            if isinstance(acks, dict) and acks.get(str(ack)) is True:
                return
            await asyncio.sleep(self._settings.acknowledge_every)
        raise Unavailable(f"not acknowledged in {self._settings.acknowledge_within:g} seconds")

    async def _ask(self, path: str, body: bytes) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", **self._headers}
        answer = json_answer(await self._peer.post(f"{self._peer.url}/{path}", body, headers))
        if not isinstance(answer, dict):
            raise Unavailable("the answer is none of an event collector")
        return answer


def enveloped(item: Item, settings: SplunkSettings) -> bytes:
    """Return an event in Splunk's envelope; its time counts milliseconds."""
    told = head(item)
    envelope: dict[str, Any] = {
        "time": round(nanoseconds(told.time) / 1e9, 3),
        "host": told.host,
        "source": "busted",
        "sourcetype": settings.sourcetype,
        "event": msgspec.Raw(item.event),
    }
    if settings.index:
        envelope["index"] = settings.index
    return msgspec.json.encode(envelope)
