"""Events to a web server, a batch a POST: JSON lines, or one JSON array.

A signed request carries `Busted-Timestamp` (Unix seconds) and `Busted-Signature`, the hexadecimal
HMAC-SHA256 of the timestamp, a full stop and the body. A receiver that checks both, and refuses
timestamps that are minutes away from its clock, cannot be fed others' or old events.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from busted.sinks.channel import ALL_TAKEN, Item, Sent
from busted.sinks.http import HttpPeer, HttpSettings
from busted.sinks.settings import secret

_TYPES = {"ndjson": "application/x-ndjson", "array": "application/json"}


class WebhookSettings(HttpSettings, frozen=True, kw_only=True):
    """Settings of a webhook; the secret signs, the token of all HTTP outputs authorizes."""

    format: Literal["ndjson", "array"] = "ndjson"
    secret_file: Path | None = None
    secret_env: str | None = None


class WebhookChannel:
    """Posts events to a URL."""

    def __init__(
        self, target: str, settings: WebhookSettings, now: Callable[[], float] = time.time
    ) -> None:
        """Raises WrongOutput."""
        self._peer = HttpPeer(target, settings)
        self._format, self._now = settings.format, now
        key = secret("secret", settings.secret_file, settings.secret_env)
        self._key = key.encode() if key else None

    async def send(self, batch: Sequence[Item]) -> Sent:
        """Post a batch; any answer in the 200s takes it."""
        if self._format == "array":
            body = b"[" + b",".join(item.event for item in batch) + b"]"
        else:
            body = b"".join(item.event + b"\n" for item in batch)
        headers = {"Content-Type": _TYPES[self._format]}
        if self._key:
            timestamp = str(int(self._now()))
            headers["Busted-Timestamp"] = timestamp
            headers["Busted-Signature"] = signature(self._key, timestamp, body)
        await self._peer.post(self._peer.url, body, headers)
        return ALL_TAKEN

    async def close(self) -> None:
        """Close the connections."""
        await self._peer.close()


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """Return the value of `Busted-Signature`."""
    return hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
