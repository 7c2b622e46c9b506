"""Takes events in their order and says whose each is.

Strategy: a process is looked at once and then remembered, with the identities that it has shown;
an exchange belongs to whoever sent its request. What says nothing of who speaks, such as a
connection or a command, belongs to the identity of its process, or of the agent that started it.
Until that is known it waits: it is told without an identity, and stands in its timeline later.
So nothing is pinned to a wrong identity because it came first.

Synchronous, bounded, and the same events give the same answers. Times are those of the events,
so clocks that jump disturb the order of a timeline and nothing else: what has to make room is
what was quiet longest, by the order of events.

Left out: agents that an SDK for agents makes of Claude Code's executable are all Claude Code.
"""

from __future__ import annotations

import calendar
import functools
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

import msgspec
from msgspec.structs import replace

from busted import events
from busted.events import Event, IdentityLevel
from busted.identity import scoring
from busted.identity.callers import Callers
from busted.identity.graph import Behaviour, Done, Graph, Link
from busted.identity.images import NO_IMAGE, Image, image_of
from busted.identity.mismatch import SETTLED_NS, Mismatches
from busted.identity.narrative import narrative
from busted.identity.profile import MAX_KEPT, Evidence, Finding, Profile, Signals, added
from busted.identity.programs import UNKNOWN, Program, program_of
from busted.identity.resolver import MAX_IDENTITIES, Resolved, Resolver, Shelf
from busted.identity.similarity import MAX_CHARS, PromptPrint, prompt_print
from busted.identity.timeline import MAX_WHAT_CHARS, Entry, Timelines, summary

# Processes with AI traffic of their own, or started by agents; the rest never come here.
MAX_INSTANCES = 2048
# Exchanges that may still bring something: 20 seconds of 100 prompts a second. What comes later
# is told by its process.
MAX_EXCHANGES = 2048
# Different requests that one process sends again and again, and whose they were.
MAX_REMEMBERED = 16
# System prompts whose meaning is remembered: a fingerprint and 36 bytes each.
MAX_MEANINGS = 4096
# What a process does before it says who it is: some connections and MCP's handshake.
MAX_WAITING = 32
# How many identities one process shows: the agents of a framework.
MAX_SHOWN = 64
# What a prompt of an agent's helper has at most: "Give the conversation a title."
MAX_HELPER_WORDS = scoring.OWN_WORDS - 1
# A command is looked for up to here among the parents of a process.
MAX_PARENTS = 8
# Changes that wait for the store, which takes them every second or so.
MAX_CHANGES = 50_000

# Names of models, tools, programs and hosts: the same few hundred again and again.
MAX_CLEANED = 2048

# What belongs to whoever sent the request, and to nobody else of its process.
_ANSWERS = frozenset(("Response", "ToolCall", "ToolResult"))

# What processes of an agent do that say nothing themselves.
_DOINGS = (
    *(events.ProcessExec, events.Network, events.FileAccess, events.FileData),
    events.Coverage,  # of a connection
)

# How Kubernetes itself calls a service account that acts, and then its namespace and name:
# https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
_SERVICE_ACCOUNT = "system:serviceaccount:"

_SHOWN = (Evidence("instance", scoring.WEIGHTS["instance"].agrees),)

Recognise = Callable[[str, Sequence[str]], str | None]
"""Names the agent that a process is, given its executable and its arguments."""


class Changes(msgspec.Struct):
    """What the store has not yet. Link keys are their kind and ends."""

    profiles: dict[str, Profile] = {}
    entries: list[tuple[str, Entry]] = []
    links: dict[tuple[str, str, str], Link] = {}
    behaviours: dict[str, Behaviour] = {}


class IdentityMatch(msgspec.Struct, frozen=True):
    """Whose an event is, and why."""

    profile: Profile
    level: IdentityLevel
    confidence: float
    instance: str
    principal: str | None
    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]
    timelines: Timelines

    @property
    def id(self) -> str:
        """Return the identity's id: the same for the same agent across restarts."""
        return self.profile.id

    @property
    def name(self) -> str:
        """Return the name to show."""
        return self.profile.name

    @property
    def narrative(self) -> str:
        """Return what the identity is and did so far, in one sentence."""
        return narrative(self.profile)

    @property
    def timeline(self) -> str:
        """Return how often it did what, of what its timeline holds."""
        return summary(self.timelines.of(self.profile.id))

    def told(self) -> events.Identity:
        """Return what an event tells of it."""
        return events.Identity(
            id=self.profile.id,
            name=self.profile.name,
            agent=self.profile.agent or None,
            instance=self.instance,
            principal=self.principal,
            confidence=round(self.confidence, 2),
            level=self.level,
            mismatch=tuple(sorted({finding.kind for finding in self.findings})),
        )


class Instance(msgspec.Struct):
    """One process, and what is known of it.

    `shown` are the identities that it spoke for, the last one last, and whether it was counted
    as a run of theirs. `spoke_ns` is when it first asked a model, 0 before.
    """

    key: tuple[int, str]
    id: str
    ppid: int = 0
    exe: str | None = None
    argv: tuple[str, ...] = ()
    build_id: str = ""
    cgroup: str = ""
    container: tuple[str | None, ...] = ()
    image: Image = NO_IMAGE
    workload: str = ""
    spoke_ns: int = 0
    program: Program = UNKNOWN
    recognised: str = ""
    principal: str = ""
    mcp_client: str = ""
    shown: dict[str, bool] = {}
    findings: dict[str, Finding] = {}
    remembered: dict[tuple[object, ...], Resolved] = {}
    waiting: list[Entry] = []


class IdentityTracker:
    """Whose events are; all that is known of identities is asked of it."""

    def __init__(
        self,
        recognise: Recognise = lambda exe, argv: None,
        agents: Collection[str] = (),
        shelf: Shelf | None = None,
        clean: Callable[[str], str] = str,
        max_identities: int = MAX_IDENTITIES,
        max_instances: int = MAX_INSTANCES,
        embed: Callable[[str], bytes] | None = None,
    ) -> None:
        """`recognise` knows agents by their executables, `agents` are all names that it gives.

        With a `shelf` what changes is collected for `changes()`. `clean` takes secrets out of the
        names that programs give: they may be typed into a command line or be a model's name.
        `embed` gives what a system prompt means, see `similarity`.
        """
        self._recognise, self._max_instances = recognise, max_instances
        self._resolver = Resolver(shelf, max_identities)
        self._clean = functools.lru_cache(MAX_CLEANED)(clean)
        self._embed, self._meanings = embed, OrderedDict[PromptPrint, bytes]()
        self._stores = shelf is not None
        self._timelines = Timelines()
        self.graph = Graph()
        self._mismatches = Mismatches(frozenset(agents))
        self._instances: OrderedDict[tuple[int, str], Instance] = OrderedDict()
        self._pids: dict[int, Instance] = {}
        self._exchanges: OrderedDict[str, Resolved] = OrderedDict()
        self._callers = Callers()
        self._changes = Changes()
        self.lost = 0
        """Changes that the store was not given, because it did not ask for them."""
        if shelf is not None:
            self.graph.changed, self.graph.stored = self._linked, shelf.link

    def learn(self, recognise: Recognise, agents: Collection[str]) -> None:
        """Know agents by this from now on, and what is secret by what `clean` knows now."""
        self._recognise = recognise
        self._mismatches.learn(frozenset(agents))
        self._clean.cache_clear()

    def observe(self, event: Event) -> IdentityMatch | None:
        """Return whose an event is; None while that is unknown, and for what nobody did."""
        action = event.action
        if isinstance(action, events.Coverage) and action.of_busted:
            return None
        now_ns = nanoseconds(event.time)
        instance = self._instance(event.process, event.session_id)
        what = self._clean(_what(event)[:MAX_WHAT_CHARS])
        kind, exchange = type(action).__name__, event.exchange_id or ""
        entry = Entry(now_ns, kind, what, instance.id, exchange)
        resolved, run = self._whose(instance, event, now_ns)
        if isinstance(action, events.Network) and event.connection:
            identity = resolved.profile.id if resolved else ""
            self._callers.take(event.connection, action, instance.id, identity)
        if resolved is None:
            if len(instance.waiting) < MAX_WAITING:
                instance.waiting.append(entry)
            return None
        profile = resolved.profile
        if instance.shown.get(profile.id) is False:
            self._new_run(profile, instance, now_ns)
        self._note(profile, instance)
        if instance.waiting:
            self._waited(profile, instance, exchange)
        self._enter(profile, entry)
        self._relate(profile, instance, event, what, now_ns)
        if self._stores:
            self._changed(profile)
        elif self._resolver.evicted:
            self._let_evicted_go()
        return self._match(resolved, run)

    def whose(self, event: Event) -> IdentityMatch | None:
        """Return whose an event would be that did not happen, as `observe` says of one that did.

        Its process is taken to be there; what it would do is entered nowhere.
        """
        instance = self._instance(event.process, event.session_id)
        resolved, run = self._whose(instance, event, nanoseconds(event.time))
        return self._match(resolved, run) if resolved else None

    def _match(self, resolved: Resolved, run: Instance) -> IdentityMatch:
        return IdentityMatch(
            resolved.profile,
            resolved.level,
            resolved.confidence,
            run.id,
            run.principal or None,
            resolved.evidence,
            tuple(run.findings.values()),
            self._timelines,
        )

    def accepted(self, at: events.Connection, instance: str) -> None:
        """Take that a process, by its session's id, holds the other end of a connection."""
        self._callers.accepted(at, instance)

    def identity(self, id: str) -> Profile | None:
        """Return what is known of an identity, None where there is no such one."""
        return self._resolver.get(id)

    def identities(self) -> list[Profile]:
        """Return the identities in memory, the last seen first."""
        return self._resolver.all()

    def timeline(self, id: str) -> tuple[Entry, ...]:
        """Return what an identity did, in the order of its times, as far as that is in memory."""
        return self._timelines.of(id)

    def behaviour(self, id: str) -> Behaviour:
        """Return what an identity's models asked for and what came of it."""
        return self.graph.behaviour(id)

    def changes(self) -> Changes:
        """Return what changed since the last time it was asked for."""
        changes, self._changes = self._changes, Changes()
        self._let_evicted_go()
        for id in changes.profiles:
            behaviour = self.graph.behaviour(id)
            if behaviour != Behaviour():
                changes.behaviours[id] = behaviour
        return changes

    def __len__(self) -> int:
        """Count the identities in memory."""
        return len(self._resolver)

    # Processes

    def _instance(self, process: events.Process, session: str | None) -> Instance:
        key = (process.pid, process.start_time or "")
        instance = self._instances.get(key)
        if instance is None:
            instance = self._new_instance(key, session)
        else:
            self._instances.move_to_end(key)
        if process.exe is not None and (
            process.exe != instance.exe
            or (process.argv is not instance.argv and process.argv != instance.argv)
        ):
            self._executes(instance, process)
        elif not instance.program.name and process.name:
            instance.program = self._program(None, (), process.name)
        if process.container_id is not None:
            self._contained(instance, process)
        if process.uid is not None and not instance.principal.startswith(_SERVICE_ACCOUNT):
            instance.principal = f"uid:{process.uid}"
        if process.ppid is not None:
            instance.ppid = process.ppid
        if process.cgroup_id is not None:
            instance.cgroup = process.cgroup_id
        return instance

    def _new_instance(self, key: tuple[int, str], session: str | None) -> Instance:
        instance = Instance(key, session or f"{key[0]}@{key[1]}")
        self._instances[key] = self._pids[key[0]] = instance
        if len(self._instances) > self._max_instances:
            _, oldest = self._instances.popitem(last=False)
            if self._pids.get(oldest.key[0]) is oldest:
                del self._pids[oldest.key[0]]
        return instance

    def _executes(self, instance: Instance, process: events.Process) -> None:
        """Take what a process runs; if it ran something else before, that is over."""
        if instance.exe is not None:
            instance.shown, instance.findings = {}, {}
        instance.exe, instance.argv = process.exe, process.argv
        instance.program = self._program(process.exe, process.argv, process.name)
        # That of an interpreter says nothing of the script.
        instance.build_id = "" if instance.program.interpreted else process.build_id or ""
        instance.recognised = self._recognise(process.exe or "", process.argv) or ""
        instance.remembered = {}

    def _contained(self, instance: Instance, process: events.Process) -> None:
        """Take the container and pod of a process; what Kubernetes says may come later."""
        told = (process.image, process.namespace, process.owner, process.service_account)
        if told == instance.container:
            return
        instance.container, instance.remembered = told, {}
        instance.image = image_of(self._clean(process.image or ""))
        namespace = process.namespace or ""
        account = f"{_SERVICE_ACCOUNT}{namespace}:{process.service_account}"
        if process.owner:
            instance.workload = f"{namespace}/{process.owner} as {process.service_account or ''}"
        if process.service_account:
            instance.principal = account

    def _program(self, exe: str | None, argv: Sequence[str], name: str) -> Program:
        program, clean = program_of(exe, argv, name), self._clean
        return replace(
            program,
            key=clean(program.key),
            name=clean(program.name),
            configuration=clean(program.configuration),
        )

    # Whose it is

    def _whose(
        self, instance: Instance, event: Event, now_ns: int
    ) -> tuple[Resolved | None, Instance]:
        """Return whose an event is, and the process that is this run of it."""
        action, exchange = event.action, event.exchange_id
        if isinstance(action, events.Prompt):
            resolved = self._asked(instance, event, action, now_ns)
            if exchange:
                self._exchanges[exchange] = resolved
                if len(self._exchanges) > MAX_EXCHANGES:
                    self._exchanges.popitem(last=False)
            return resolved, instance
        if exchange and (known := self._exchanges.get(exchange)):
            return replace(known, profile=self._resolver.touch(known.profile)), instance
        if type(action).__name__ in _ANSWERS and not instance.recognised:
            return None, instance  # its process may speak for several
        if isinstance(action, events.McpRequest) and action.client and action.sender == "client":
            instance.mcp_client = self._clean(action.client.name)
        if found := self._of_run(instance, now_ns):
            return found, instance
        owner = self._owner(instance, action)
        if owner is not None:
            return self._of_run(owner, now_ns), owner
        if event.process.agent and isinstance(action, _DOINGS):
            # Its agent has said nothing yet: the process tree knows it by what it executed.
            signals = Signals(agent=event.process.agent, verified=True)
            return self._resolver.resolve(signals, now_ns), instance
        if isinstance(action, events.McpRequest | events.A2aRequest):
            return self._by_asking(instance, action, now_ns), instance
        return self._resolver.of_program(self._signals(instance), now_ns), instance

    def _of_run(self, instance: Instance, now_ns: int) -> Resolved | None:
        if shown := self._shown(instance):
            return shown
        if instance.recognised:
            return self._resolve(instance, self._signals(instance), now_ns)
        return None

    def _asked(
        self, instance: Instance, event: Event, prompt: events.Prompt, now_ns: int
    ) -> Resolved:
        printed = self._printed(prompt.system_prompt)
        destination = prompt.provider or (event.connection.sni if event.connection else None)
        sdk, agent, clean = prompt.sdk, prompt.agent, self._clean
        key = (
            *(prompt.fingerprint, prompt.model, prompt.tools, printed, destination),
            *(prompt.agent_session, agent and agent.name, instance.mcp_client),
        )
        known = instance.remembered.get(key)
        if known is not None and self._resolver.get(known.profile.id) is known.profile:
            self._shows(instance, known.profile)
            return known
        claimed = agent.name if agent else ""
        name, verified = self._agent(instance, claimed)
        signals = replace(
            self._signals(instance),
            agent=name,
            verified=verified,
            session=prompt.agent_session or "",
            prompt=printed,
            tools=frozenset(map(clean, prompt.tools)),
            signature=prompt.fingerprint or "",
            sdk=clean(sdk.name) if sdk else "",
            model=clean(prompt.model or ""),
            destination=clean(destination or ""),
            credential=prompt.credential.hash if prompt.credential else "",
        )
        reused = self._mismatches.session(
            signals.session, instance.id, instance.program.key, instance.principal
        )
        self._find(instance, reused)
        resolved = self._resolve(instance, signals, now_ns)
        instance.spoke_ns = min(instance.spoke_ns or now_ns, now_ns)
        while len(instance.remembered) >= MAX_REMEMBERED:
            del instance.remembered[next(iter(instance.remembered))]
        # The next time it is none that was never seen.
        level: IdentityLevel = "configuration"
        if name:
            level = "agent" if verified else "claimed"
        instance.remembered[key] = (
            replace(resolved, level=level) if resolved.level == "new" else resolved
        )
        return resolved

    def _printed(self, text: str | None) -> PromptPrint | None:
        """Return the fingerprint of a system prompt; one that is new but for dates is embedded."""
        printed = prompt_print(text)
        if printed is None or text is None or self._embed is None:
            return printed
        meaning = self._meanings.get(printed)
        if meaning is None:
            meaning = self._meanings[printed] = self._embed(text[:MAX_CHARS])
            if len(self._meanings) > MAX_MEANINGS:
                self._meanings.popitem(last=False)
        return replace(printed, meaning=meaning)

    def _agent(self, instance: Instance, claimed: str) -> tuple[str, bool]:
        """Return the agent that a request is from, if any, and whether its executable shows it."""
        parent = self._parent_agent(instance)
        exe = instance.exe and self._clean(instance.exe)
        finding = self._mismatches.claim(
            claimed, instance.recognised, parent, instance.program, exe, instance.argv
        )
        self._find(instance, finding)
        if instance.recognised:
            return instance.recognised, True
        # A claim that is not true makes nobody an agent.
        return ("", False) if finding else (claimed, bool(claimed) and claimed == parent)

    def _resolve(self, instance: Instance, signals: Signals, now_ns: int) -> Resolved:
        helps = self._helps(instance, signals, now_ns)
        resolved = self._resolver.resolve(signals, now_ns, tuple(instance.shown), helps)
        profile = resolved.profile
        if helps == profile.id:
            # What an agent's helper asks with is not what the agent does.
            signals = replace(signals, program=profile.program, prompt=None, signature="")
        if profile.id not in instance.shown:
            self._find(instance, self._mismatches.build(profile, signals, now_ns))
            if len(instance.shown) >= MAX_SHOWN:
                del instance.shown[next(iter(instance.shown))]
        self._shows(instance, profile)
        self._resolver.learn(profile, signals, now_ns)
        return resolved

    def _helps(self, instance: Instance, signals: Signals, now_ns: int) -> str:
        """Return the agent that a request may be made for, empty where it is one's own.

        That has a prompt of its own and tools; the request has none of both. Either the agent asks
        it itself, or a program that it runs, with its credential or in its session.
        """
        words = signals.prompt.words if signals.prompt else 0
        if signals.tools or words > MAX_HELPER_WORDS or signals.agent:
            return ""
        owner: Instance | None = instance
        if not instance.shown:
            owner = None if words else self._above(instance, lambda above: bool(above.shown))
        # Events of one second come in any order, and whose they are must not depend on it.
        if owner is None or not owner.spoke_ns or owner.spoke_ns + SETTLED_NS > now_ns:
            return ""
        shown = [self._resolver.get(identity) for identity in owner.shown]
        agents = [profile for profile in shown if profile and (profile.tools or profile.agent)]
        if len(agents) != 1 or len(shown) != 1:
            return ""
        (agent,) = agents
        if owner is not instance:
            same = signals.credential in agent.credentials or signals.session in agent.sessions
            return agent.id if same else ""
        own = agent.prompt is not None and agent.prompt.words >= scoring.OWN_WORDS
        return agent.id if own and words else ""

    def _shows(self, instance: Instance, profile: Profile) -> None:
        instance.shown[profile.id] = instance.shown.pop(profile.id, False)

    def _signals(self, instance: Instance) -> Signals:
        return Signals(
            program=instance.program,
            agent=instance.recognised,
            verified=bool(instance.recognised),
            exe=self._clean(instance.exe or ""),
            build_id=instance.build_id,
            cgroup=instance.cgroup,
            image=instance.image,
            workload=instance.workload,
            mcp_client=instance.mcp_client,
        )

    def _shown(self, instance: Instance) -> Resolved | None:
        for identity in reversed(instance.shown):
            profile = self._resolver.get(identity)
            if profile is not None:
                # One that shows several may mean another of them.
                sure = scoring.MAX_CONFIDENCE / len(instance.shown)
                return Resolved(profile, "instance", sure, _SHOWN)
        return None

    def _owner(self, instance: Instance, action: events.Action) -> Instance | None:
        """Return the process of an agent that started this one."""
        if isinstance(action, events.ProcessExec):
            owner = self._pids.get(action.agent_pid)
            if owner is not None and owner is not instance:
                return owner if owner.shown or owner.recognised else None
        return self._above(instance, lambda above: bool(above.shown or above.recognised))

    def _parent_agent(self, instance: Instance) -> str:
        above = self._above(instance, lambda above: bool(above.recognised))
        return above.recognised if above else ""

    def _above(self, instance: Instance, wanted: Callable[[Instance], bool]) -> Instance | None:
        for _ in range(MAX_PARENTS):
            above = self._pids.get(instance.ppid)
            # A parent is older: a pid that was used again is another process.
            if above is None or above is instance or above.key[1] > instance.key[1]:
                return None
            if wanted(above):
                return above
            instance = above
        return None

    def _by_asking(
        self, instance: Instance, action: events.McpRequest | events.A2aRequest, now_ns: int
    ) -> Resolved | None:
        """Return whose a process is that asks servers and agents, and no model so far."""
        signals = self._signals(instance)
        if known := self._resolver.of_program(signals, now_ns):
            return known
        says = instance.mcp_client or isinstance(action, events.A2aRequest)
        if not says or instance.program.generic:
            return None
        if self._resolver.has_program(signals):
            return None  # it may be any of them, and says so when it asks a model
        return self._resolve(instance, signals, now_ns)

    def _find(self, instance: Instance, finding: Finding | None) -> None:
        if finding is not None:
            instance.findings[finding.kind] = finding

    # What is known of it

    def _note(self, profile: Profile, instance: Instance) -> None:
        if instance.principal not in profile.principals:
            profile.principals = added(profile.principals, instance.principal)
        for finding in instance.findings.values():
            if finding not in profile.findings:
                profile.findings = (*profile.findings, finding)[-MAX_KEPT:]

    def _enter(self, profile: Profile, entry: Entry) -> None:
        profile.count(entry.kind, entry.what, entry.time_ns)
        self._timelines.add(profile.id, entry)
        if not self._stores:
            return
        if len(self._changes.entries) < MAX_CHANGES:
            self._changes.entries.append((profile.id, entry))
        else:
            self.lost += 1

    def _waited(self, profile: Profile, instance: Instance, exchange: str) -> None:
        """Give an identity what came before it was known; answers wait for their own request."""
        waiting = []
        for entry in instance.waiting:
            if entry.kind in _ANSWERS and entry.exchange != exchange:
                waiting.append(entry)
            else:
                self._enter(profile, entry)
        instance.waiting = waiting

    def _changed(self, profile: Profile) -> None:
        profiles = self._changes.profiles
        if profile.id in profiles or len(profiles) < MAX_CHANGES:
            profiles[profile.id] = profile
        else:
            self.lost += 1

    def _linked(self, link: Link) -> None:
        key, links = (link.kind, link.source, link.target), self._changes.links
        if key in links or len(links) < MAX_CHANGES:
            links[key] = link
        else:
            self.lost += 1

    def _let_evicted_go(self) -> None:
        for identity in self._resolver.evicted:
            self._timelines.forget(identity)
        self._resolver.evicted.clear()

    # What it has to do with others

    def _relate(
        self, profile: Profile, instance: Instance, event: Event, what: str, now_ns: int
    ) -> None:
        action, graph, id = event.action, self.graph, profile.id
        match action:
            case events.ToolCall(server_side=False):
                arguments, exchange = action.arguments or "", event.exchange_id or ""
                graph.declared(id, what, action.id or "", exchange, now_ns, arguments)
            case events.ToolResult(server_side=False):
                graph.answered(id, action.id or "", now_ns)
            case events.McpRequest(sender="client"):
                place = event.connection.sni if event.connection else None
                graph.link("uses", id, f"MCP server at {self._clean(place or 'a pipe')}", now_ns)
                if action.tool:
                    graph.did(id, Done("mcp", what, now_ns))
            case events.McpResponse() if action.server:
                graph.link("uses", id, f"MCP server {self._clean(action.server.name)}", now_ns)
            case events.ProcessExec():
                graph.link("starts", id, what, now_ns)
                words = (action.exe.rpartition("/")[2], *action.argv[1:])
                pids = (event.process.pid, event.process.ppid or 0)
                graph.did(id, Done("command", what, now_ns, words, *pids))
            case events.Network(operation="connect", error=None, provider=None):
                place = _place(event, action)
                pids = (instance.key[0], instance.ppid)
                graph.did(id, Done("connection", self._clean(place), now_ns, (place,), *pids))
            case events.FileAccess(operation="close" | "rename" | "unlink", error=None):
                words = (action.path.rpartition("/")[2],)
                pids = (instance.key[0], instance.ppid)
                usual = action.operation == "close" and not action.bytes_written
                graph.did(id, Done("file", what, now_ns, words, *pids, usual))
            case events.Prompt():
                for caller, sure in self._callers.of(instance.id).items():
                    graph.link("calls", caller, id, now_ns, sure)
            case events.A2aRequest() if action.method != "GetAgentCard":
                self._callers.asked(event.connection, id)
                place = event.connection.sni if event.connection else None
                asked = action.agent.name if action.agent else f"at {place or 'an unknown place'}"
                graph.link("calls", id, f"A2A agent {self._clean(asked)}", now_ns)
            case events.A2aResponse() if action.method != "GetAgentCard":
                self._callers.answered(event.connection)

    def _new_run(self, profile: Profile, instance: Instance, now_ns: int) -> None:
        instance.shown[profile.id] = True
        profile.instances += 1
        above = self._above(instance, lambda above: bool(above.shown))
        if above is not None:
            self.graph.link("starts", next(reversed(above.shown)), profile.id, now_ns)


def nanoseconds(time: str) -> int:
    """Return an event's time (RFC 3339, UTC, nanoseconds) since 1970; 0 where it is none."""
    try:
        return _seconds(time[:19]) * 1_000_000_000 + int(time[20:-1].ljust(9, "0")[:9] or 0)
    except ValueError:
        return 0


@functools.lru_cache(4)
def _seconds(time: str) -> int:
    date, _, clock = time.partition("T")
    return calendar.timegm((*map(int, date.split("-")), *map(int, clock.split(":"))))


def _what(event: Event) -> str:
    match event.action:
        case events.Prompt() as action:
            return action.model or action.api
        case events.Response() as action:
            return action.model or str(action.status)
        case events.ToolCall() as action:
            return action.name
        case events.ToolResult() as action:
            return action.name or ""
        case events.McpRequest() as action:
            return action.tool or action.method
        case events.McpResponse() as action:
            return action.method or ""
        case events.A2aRequest() as action:
            return f"{action.method} {action.agent.name}" if action.agent else action.method
        case events.A2aResponse() as action:
            return f"{action.method} {action.state}" if action.state else action.method
        case events.PiiDetected() as action:
            return " ".join(action.kinds)
        case events.LoopDetected() as action:
            return action.tool
        case events.Network() as action:
            return f"{action.operation} {_place(event, action)}"
        case events.Coverage(connection=events.ConnectionCoverage() as coverage):
            return f"{coverage.state} {_place(event, coverage)}"
        case events.FileAccess() as action:
            return f"{action.operation} {action.path}"
        case events.FileData() as action:
            return f"{action.direction} {action.path}"
        case events.ProcessExec() as action:
            return program_of(action.exe, action.argv).name
    return ""


def _place(event: Event, action: events.Network | events.ConnectionCoverage) -> str:
    return action.name or (event.connection.dst_ip if event.connection else None) or ""
