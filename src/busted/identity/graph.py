"""Who started whom, who uses which server, and what came of the calls that models asked for.

Four kinds of links, each with how often, since when, and how sure:

- `starts`: an agent's process runs another program, or another agent.
- `uses`: an agent speaks MCP to a server.
- `calls`: an agent asks another one by A2A, or is connected to a process of another one while that
  asks a model.
- `did`: what an agent did after a model asked for it.

A tool call and what came of it are tied by what the call says: its arguments hold the words of a
command, the name of a host, the path of a file, or it names the tool of MCP. That is likelihood,
not proof, and told with a confidence. A call that nothing seen came of, and an action that no
call declared, are both told: the first is mostly a tool inside the agent's own process, the
second mostly the agent's own doing, and either may be what somebody looks for.

Bounded throughout; arguments are kept in memory while a call is open, and never stored.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

LinkKind = Literal["starts", "uses", "calls", "did"]

MAX_LINKS = 16_384
# What one identity has open or has just done. A model asks for some ten tools at once.
MAX_CALLS = 64
MAX_UNDECLARED = 64
MAX_EFFECTS = 16
# And in the store.
MAX_STORED = 256
MAX_ARGUMENT_CHARS = 4096
# Identities with calls in memory; what the rest did is in the store.
MAX_IDENTITIES = 1024
# Builds and tests take minutes; a longer silence says nothing about what came before it.
WINDOW_NS = 300 * 1_000_000_000
# Clocks of what is told at its start and of what is told at its end differ; and events of
# one second come in any order.
SLACK_NS = 1_000_000_000

# Words in the names of tools that run what they are asked to; names are cut where words begin.
_SHELLS = frozenset(
    ("bash", "shell", "sh", "exec", "execute", "run", "command", "terminal", "process", "python")
)
_FETCHERS = frozenset(("fetch", "web", "http", "url", "browse", "browser", "request", "download"))
_FILES = frozenset(("read", "write", "edit", "file", "open", "patch", "create", "view", "delete"))
_BY_KIND = {"command": _SHELLS, "connection": _FETCHERS, "file": _FILES}
_NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_TOKEN = re.compile(r"[^\s\"'\\;|&()<>=,]+")

# How sure it is that an action came of a call.
SAME_TOOL, ALL_WORDS, SOME_WORDS, CHILD, KIND_ONLY = 0.97, 0.95, 0.8, 0.9, 0.5

EffectKind = Literal["command", "connection", "file", "mcp"]


class Link(msgspec.Struct, frozen=True):
    """One edge: ids of identities, or names of programs, servers, hosts and paths."""

    kind: LinkKind
    source: str
    target: str
    count: int
    first_ns: int
    last_ns: int
    confidence: float


class Effect(msgspec.Struct, frozen=True):
    """Something that was done, and how sure it is that a call asked for it."""

    kind: EffectKind
    what: str
    time_ns: int
    confidence: float


class Call(msgspec.Struct, frozen=True):
    """A tool call of an exchange and what was seen to come of it."""

    tool: str
    exchange: str
    time_ns: int
    answered: bool
    effects: tuple[Effect, ...]


class Done(msgspec.Struct, frozen=True):
    """An action that may have been asked for. `words` are those of its command line.

    A `usual` one is not told where nobody asked for it: an agent reads files all the time.
    """

    kind: EffectKind
    what: str
    time_ns: int
    words: tuple[str, ...] = ()
    pid: int = 0
    ppid: int = 0
    usual: bool = False


class Behaviour(msgspec.Struct, frozen=True):
    """What an identity's models asked for, what came of it, and what nobody asked for."""

    calls: tuple[Call, ...] = ()
    undeclared: tuple[Effect, ...] = ()

    @property
    def unseen(self) -> tuple[Call, ...]:
        """Return the calls that nothing seen came of."""
        return tuple(call for call in self.calls if not call.effects)

    def after(self, before: Behaviour) -> Behaviour:
        """Return this with what was known before and is older than all of it, bounded."""
        called = [call.time_ns for call in self.calls]
        done = [effect.time_ns for effect in self.undeclared]
        since = min(called + done, default=0) - SLACK_NS
        older = [call for call in before.calls if call.time_ns < since]
        others = [effect for effect in before.undeclared if effect.time_ns < since]
        return Behaviour(
            (*older, *self.calls)[-MAX_STORED:], (*others, *self.undeclared)[-MAX_STORED:]
        )


class _Open(msgspec.Struct):
    tool: str
    id: str
    exchange: str
    time_ns: int
    arguments: str
    answered_ns: int = 0
    effects: list[Effect] = []
    pids: set[int] = set()


class _Doings(msgspec.Struct):
    calls: deque[_Open]
    undeclared: deque[Done]


class Graph:
    """Links between identities and the world, and the calls of each identity."""

    def __init__(self, max_links: int = MAX_LINKS, max_identities: int = MAX_IDENTITIES) -> None:
        """Keep so many links, and the calls of so many identities."""
        self._max_links, self._max_identities = max_links, max_identities
        self._links: OrderedDict[tuple[LinkKind, str, str], Link] = OrderedDict()
        self._doings: OrderedDict[str, _Doings] = OrderedDict()
        self.changed: Callable[[Link], None] = lambda link: None
        """Told of each link that is new or was seen again."""
        self.stored: Callable[[LinkKind, str, str], Link | None] = lambda kind, source, target: None
        """Asked for links that are not in memory."""

    def link(
        self, kind: LinkKind, source: str, target: str, now_ns: int, confidence: float = 1.0
    ) -> None:
        """Take that something was seen once more."""
        if not target or source == target:
            return
        key = (kind, source, target)
        known = self._links.pop(key, None) or self.stored(*key)
        link = Link(
            kind,
            source,
            target,
            known.count + 1 if known else 1,
            min(known.first_ns, now_ns) if known else now_ns,
            max(known.last_ns, now_ns) if known else now_ns,
            max(known.confidence, confidence) if known else confidence,
        )
        self._links[key] = link
        if len(self._links) > self._max_links:
            self._links.popitem(last=False)
        self.changed(link)

    def links(self, identity: str | None = None) -> tuple[Link, ...]:
        """Return all links, or those from and to one identity, in a fixed order."""
        found = (
            link
            for link in self._links.values()
            if identity is None or identity in (link.source, link.target)
        )
        return tuple(sorted(found, key=lambda link: (link.kind, link.source, link.target)))

    def declared(
        self, identity: str, tool: str, id: str, exchange: str, now_ns: int, arguments: str
    ) -> None:
        """Take a tool call; what it asks for may have been seen just before."""
        doings = self._of(identity)
        call = _Open(tool, id, exchange, now_ns, arguments[:MAX_ARGUMENT_CHARS])
        doings.calls.append(call)
        for done in list(doings.undeclared):
            if abs(done.time_ns - now_ns) <= SLACK_NS and (sure := _asked(call, done)):
                doings.undeclared.remove(done)
                self._came(identity, call, done, sure)

    def answered(self, identity: str, id: str, now_ns: int) -> None:
        """Take the result of a tool call: what is done from now on did not come of it."""
        for call in self._of(identity).calls:
            if id and call.id == id and not call.answered_ns:
                call.answered_ns = now_ns

    def did(self, identity: str, done: Done) -> None:
        """Take an action, and find the call that asked for it."""
        doings = self._of(identity)
        sure, _, call = max(
            ((_asked(call, done), call.time_ns, call) for call in doings.calls),
            key=lambda one: one[:2],
            default=(0.0, 0, None),
        )
        if call is not None and sure:
            self._came(identity, call, done, sure)
        elif not done.usual:
            doings.undeclared.append(done)

    def behaviour(self, identity: str) -> Behaviour:
        """Return what an identity was asked for and did, by time."""
        doings = self._doings.get(identity)
        if doings is None:
            return Behaviour()
        calls = [
            Call(c.tool, c.exchange, c.time_ns, bool(c.answered_ns), tuple(c.effects))
            for c in doings.calls
        ]
        undeclared = [Effect(d.kind, d.what, d.time_ns, 0.0) for d in doings.undeclared]
        return Behaviour(
            tuple(sorted(calls, key=lambda call: (call.time_ns, call.tool))),
            tuple(sorted(undeclared, key=lambda effect: (effect.time_ns, effect.what))),
        )

    def _of(self, identity: str) -> _Doings:
        doings = self._doings.get(identity)
        if doings is None:
            doings = _Doings(deque(maxlen=MAX_CALLS), deque(maxlen=MAX_UNDECLARED))
            self._doings[identity] = doings
            if len(self._doings) > self._max_identities:
                self._doings.popitem(last=False)
        return doings

    def _came(self, identity: str, call: _Open, done: Done, sure: float) -> None:
        if len(call.effects) < MAX_EFFECTS:
            call.effects.append(Effect(done.kind, done.what, done.time_ns, sure))
        if done.pid and len(call.pids) < MAX_EFFECTS:
            call.pids.add(done.pid)
        self.link("did", identity, f"{done.kind} {done.what}", done.time_ns, sure)


def _asked(call: _Open, done: Done) -> float:
    """Return how sure it is that an action came of a call, 0 where it did not."""
    last = call.answered_ns + SLACK_NS if call.answered_ns else call.time_ns + WINDOW_NS
    if not call.time_ns - SLACK_NS <= done.time_ns <= last:
        return 0.0
    if done.kind == "mcp":
        # Claude Code calls the tool `get` of the server `files` mcp__files__get.
        same = call.tool == done.what or call.tool.endswith((f"__{done.what}", f".{done.what}"))
        return SAME_TOOL if same else 0.0
    words = [word for word in done.words if word]
    if words:
        spoken = set(_TOKEN.findall(call.arguments))
        found = sum(word in spoken or (len(word) > 3 and word in call.arguments) for word in words)
        if found == len(words):
            return ALL_WORDS
        if found * 2 >= len(words):
            return SOME_WORDS
    if done.ppid in call.pids or done.pid in call.pids:
        return CHILD
    named = {word.lower() for word in _NAME_WORD.findall(call.tool)}
    return KIND_ONLY if named & _BY_KIND[done.kind] else 0.0


def mermaid(links: Iterable[Link], names: Callable[[str], str]) -> str:
    """Return links as a flowchart (https://mermaid.js.org/syntax/flowchart.html)."""
    nodes: dict[str, str] = {}
    lines = []
    for link in links:
        ends = [nodes.setdefault(end, f"n{len(nodes)}") for end in (link.source, link.target)]
        lines.append(f"    {ends[0]} -->|{link.kind} x{link.count}| {ends[1]}")
    # A quote would end a node's text, and a line break the line.
    told = [
        f'    {node}["{" ".join(names(end).replace(chr(34), "#quot;").split())}"]'
        for end, node in nodes.items()
    ]
    return "\n".join(["flowchart LR", *told, *lines]) + "\n"
