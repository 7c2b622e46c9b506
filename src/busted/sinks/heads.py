"""What outputs need to know of an event beside its JSON: when, where, who, what, how grave."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from busted.sinks.channel import Item

Gravity = Literal["info", "warning", "error"]


class HeadProcess(msgspec.Struct, frozen=True):
    """Of `Process` only this."""

    name: str = ""
    pid: int = 0


class HeadAction(msgspec.Struct, frozen=True):
    """Of any action only its type."""

    type: str = ""


class HeadPolicy(msgspec.Struct, frozen=True):
    """Of `PolicyDecision` only this."""

    decision: str = ""


class Head(msgspec.Struct, frozen=True):
    """The fields of an event that peers sort by."""

    time: str = "1970-01-01T00:00:00Z"
    host: str = ""
    process: HeadProcess = HeadProcess()
    action: HeadAction = HeadAction()
    policy: HeadPolicy = HeadPolicy()

    @property
    def gravity(self) -> Gravity:
        """How grave it is: what policy denied, then what it audits and personal data."""
        if self.policy.decision == "deny":
            return "error"
        if self.policy.decision == "audit" or self.action.type == "PiiDetected":
            return "warning"
        return "info"


_DECODER = msgspec.json.Decoder(Head)


def head(item: Item) -> Head:
    """Return the head of an event."""
    return _DECODER.decode(item.event)


def nanoseconds(time: str) -> int:
    """Return an event's time (RFC 3339, UTC, up to nine digits of a second) as Unix nanoseconds."""
    seconds, _, fraction = time.rstrip("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return whole * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)
