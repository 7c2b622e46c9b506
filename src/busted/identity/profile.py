"""What is known of one identity, and what one event shows.

`Profile` is what grows: it is kept while the identity is, and the store keeps its JSON. It holds
no content, only names, counts and fingerprints, all bounded.
"""

from __future__ import annotations

import functools
from typing import Literal

import msgspec

from busted.identity.images import NO_IMAGE, Image
from busted.identity.programs import UNKNOWN, Program
from busted.identity.similarity import PromptPrint

# Each list in a profile keeps the last so many: an agent changes its model now and then, and
# ships some versions a week.
MAX_KEPT = 16
# Claude Code offers some 30 tools, with servers of MCP a few hundred.
MAX_TOOLS = 512
# Most identities have one model and one SDK, and many the same: such lists are shared.
MAX_SHARED = 1024

Kind = Literal["user_agent", "build_id", "session"]


class Evidence(msgspec.Struct, frozen=True):
    """One signal that spoke for an identity or against it; `weight` is negative against it."""

    signal: str
    weight: float
    detail: str = ""


class Finding(msgspec.Struct, frozen=True):
    """Something that does not fit: what a process says of itself and what it is."""

    kind: Kind
    detail: str


class Signals(msgspec.Struct, frozen=True):
    """What an event and its process show of who speaks; empty where they do not say.

    `agent` is a known agent by name, and `verified` says that its executable shows that.
    `session` and `credential` are hashes; `workload` is what made the pod and whom it acts as.
    """

    program: Program = UNKNOWN
    agent: str = ""
    verified: bool = False
    exe: str = ""
    build_id: str = ""
    cgroup: str = ""
    image: Image = NO_IMAGE
    workload: str = ""
    session: str = ""
    mcp_client: str = ""
    prompt: PromptPrint | None = None
    tools: frozenset[str] = frozenset()
    signature: str = ""
    sdk: str = ""
    model: str = ""
    destination: str = ""
    credential: str = ""


class Build(msgspec.Struct, frozen=True):
    """An executable that spoke for an identity, and since when (nanoseconds since 1970)."""

    build_id: str
    exe: str
    since_ns: int


class Profile(msgspec.Struct, omit_defaults=True):
    """All that is known of one identity. Times are nanoseconds since 1970."""

    id: str
    name: str
    first_ns: int
    last_ns: int
    agent: str = ""
    program: Program = UNKNOWN
    prompt: PromptPrint | None = None
    tools: tuple[str, ...] = ()
    mcp_client: str = ""
    builds: tuple[Build, ...] = ()
    signatures: tuple[str, ...] = ()
    sdks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    image_digests: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    events: int = 0
    instances: int = 0
    prompts: int = 0
    tool_calls: int = 0
    mcp_calls: int = 0
    commands: int = 0
    connections: int = 0
    personal: int = 0
    findings: tuple[Finding, ...] = ()

    def count(self, kind: str, what: str, now_ns: int) -> None:
        """Take one more action; `kind` and `what` as in a timeline's entry."""
        self.events += 1
        self.first_ns, self.last_ns = min(self.first_ns, now_ns), max(self.last_ns, now_ns)
        match kind:
            case "Prompt":
                self.prompts += 1
            case "ToolCall":
                self.tool_calls += 1
            case "McpRequest":
                self.mcp_calls += 1
            case "ProcessExec":
                self.commands += 1
            case "Network":
                self.connections += what.startswith(("connect", "accept"))
            case "PiiDetected":
                self.personal += 1

    def learn(self, signals: Signals, now_ns: int) -> None:
        """Take what an event that is this identity's showed."""
        if signals.prompt and not self.agent:
            self.prompt = signals.prompt
        if not self.program.key:
            self.program = signals.program
        if signals.tools:
            self.tools = tuple(sorted(signals.tools))[:MAX_TOOLS]
        self.mcp_client = signals.mcp_client or self.mcp_client
        self.signatures = added(self.signatures, signals.signature)
        self.sdks = added(self.sdks, signals.sdk)
        self.models = added(self.models, signals.model)
        self.destinations = added(self.destinations, signals.destination)
        self.sessions = added(self.sessions, signals.session)
        self.cgroups = added(self.cgroups, signals.cgroup)
        self.images = added(self.images, signals.image.name)
        self.image_digests = added(self.image_digests, signals.image.digest)
        self.workloads = added(self.workloads, signals.workload)
        self.credentials = added(self.credentials, signals.credential)
        if signals.build_id and not self.knows(signals.build_id):
            build = Build(signals.build_id, signals.exe, now_ns)
            self.builds = (*self.builds, build)[-MAX_KEPT:]

    def knows(self, build_id: str) -> bool:
        """Tell whether this executable spoke for the identity before."""
        return any(build.build_id == build_id for build in self.builds)


def added(values: tuple[str, ...], value: str) -> tuple[str, ...]:
    """Return the last few different values, with one more."""
    if not value or value in values:
        return values
    return (*values, value)[-MAX_KEPT:] if values else _alone(value)


@functools.lru_cache(MAX_SHARED)
def _alone(value: str) -> tuple[str, ...]:
    return (value,)
