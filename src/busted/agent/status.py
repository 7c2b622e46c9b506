"""How a running monitor is: what it watches, what it lost, how its outputs, policy and programs do.

`Status` is the answer to `{"status": {}}` on the monitor's socket; docs/api.md describes every
field. Counts are those since the start.
"""

from __future__ import annotations

import msgspec

from busted.agent.content import Level
from busted.events import Held, Library
from busted.sinks.delivery import Figures
from busted.sinks.metric_sources import ProgramRuns


class KernelStatus(msgspec.Struct, frozen=True):
    """What the kernel offers, and how it is used: the way probes are set, the kind of buffer."""

    release: str
    way: str
    buffer: str
    fill: float | None
    features: dict[str, str]


class PolicyStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which policy judges; `counts` are its engine's, `refused` says why a changed one is not."""

    path: str
    on_error: str
    enforcement: str
    counts: dict[str, int]
    refused: str | None = None


class SocketStatus(msgspec.Struct, frozen=True):
    """Who asks, and how often somebody was refused or let go, by reason."""

    clients: int
    refused: dict[str, int]


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole answer."""

    version: str
    host: str
    started: str
    libraries: tuple[Library, ...]
    unreadable: dict[str, str]
    left_out: dict[str, str]
    lost: dict[str, int]
    kernel: KernelStatus
    programs: tuple[ProgramRuns, ...]
    identities: int
    policy: PolicyStatus | None = None
    held: Held | None = None
    content: Level = "redacted"
    reveals: bool = False
    outputs: dict[str, Figures] = {}
    socket: SocketStatus | None = None
