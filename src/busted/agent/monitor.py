"""The loop: reads the kernel, feeds the pipeline, hands events on.

Probes are set on every TLS library in use, then on each that any process maps later. Where the
kernel could not tell of a mapping, all processes are looked at again. On a host that hooks many
libraries, as one that starts containers all day, those that nobody maps any more are let go.

The ring is read when the kernel wakes us and then every few milliseconds until it stays empty,
so a quiet host costs nothing and a busy one no wake-up a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import resource
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from busted import __version__
from busted.agent.audit_log import AuditLog, Revealed
from busted.agent.behaviour import Behaviour, open_behaviour, write_counts
from busted.agent.budgets import DAY_NS
from busted.agent.clock import read_clock
from busted.agent.config import Settings, Tables
from busted.agent.coverage import Reason, Row, Stack
from busted.agent.decisions import Decisions, Judge, judged_all
from busted.agent.enforcement import Enforcement, Known
from busted.agent.flows import Asks
from busted.agent.hold import Holds, Terms
from busted.agent.identities import Told, tell_asked
from busted.agent.means import OpenedMeans
from busted.agent.pipeline import Origin, Outside, Pipeline
from busted.agent.policies import MissingExtra, open_policy
from busted.agent.process_tree import text
from busted.agent.record_loop import RecordLoop
from busted.agent.recording import (
    AgentProcess,
    Facts,
    Header,
    LibraryFacts,
    RecordingWriter,
    Tick,
)
from busted.agent.socket_messages import Asker, IdentitiesRequest
from busted.agent.status import KernelStatus, PolicyStatus, Status
from busted.classifier.plain_paths import path_words
from busted.enrich.containers import Containers
from busted.enrich.pod_watch import PodWatch, is_installed
from busted.enrich.pods import Pods
from busted.enrich.processes import Processes, ProcessFacts
from busted.enrich.runtime_files import RuntimeFiles
from busted.enrich.sensitive import QUIET_DIRECTORIES
from busted.enrich.users import Users
from busted.events import Coverage, Event, Library, Process
from busted.identity.store import IdentityStore, StoreError
from busted.kernel import elf, features, filtered, inventory, lockdown
from busted.kernel.files import FilePrograms, FileSettings
from busted.kernel.held_sockets import HeldSockets
from busted.kernel.hold import HoldPrograms
from busted.kernel.libbpf import BpfError, give_back_memory
from busted.kernel.mappings import MappingWatch
from busted.kernel.names import NamePrograms, open_root
from busted.kernel.network import FlowPrograms
from busted.kernel.plain import PlainPrograms
from busted.kernel.processes import ProcessPrograms
from busted.kernel.programs import TlsPrograms, best_buffer, best_way, left_out
from busted.kernel.shared import SharedMaps
from busted.kernel.stacks import Stacks
from busted.kernel.stdio import StdioPrograms
from busted.kernel.targets import (
    Identity,
    Mapping,
    Targets,
    file_identity,
    mappings,
    running_processes,
)
from busted.records import (
    ConnectionKey,
    Flow,
    LostPlace,
    ProcessExec,
    ProcessKey,
    ProcessProgram,
    Record,
    RunningProcess,
    StdioBegun,
    TlsData,
    decode,
    socket_cookie,
)
from busted.sinks.metric_sources import KernelFigures, ProgramRuns

log = logging.getLogger(__name__)

# How long records may lie in the ring while there is traffic: the ring must hold what comes
# in this time, and a reader of the output must not wait longer.
POLL_SECONDS = 0.010
# A program maps its libraries within a few milliseconds: take them together.
MAPPING_SECONDS = 0.002
# After mappings were missed. A look at all processes takes 50 ms or more, so that a storm of
# mappings must not have one follow another; and a client that lives 300 ms is still found.
RESCAN_SECONDS = 0.1
# Unfinished exchanges and loss counters are looked at this often.
TICK_SECONDS = 1.0
# A slice of what connections move. Models stream ten tokens a second and more, so that a streamed
# answer moves something in nearly every slice, and a look costs some tens of microseconds.
TRAFFIC_SECONDS = 0.1
# A hooked library costs a few file descriptors and keeps a deleted file on disk: nothing as long
# as there are few. Programs that are run every minute keep theirs.
UNUSED_SECONDS = 60.0
MAX_UNUSED_KEPT = 64
# What waits for a decision is looked at this often for its time: far more often than that ends.
EXPIRY_SECONDS = 0.05
# Looks at all processes until one finds nothing new; agents do not start programs faster.
MAX_LOOKS = 4


class _Hooked(msgspec.Struct, frozen=True):
    library: Library
    identity: Identity


class Monitor:
    """Watches this host until stopped; events go to `emit`, in order."""

    def __init__(self, settings: Settings, emit: Callable[[Event], None]) -> None:
        """Load the programs and set the probes.

        Raises CannotRun when this host or these privileges do not allow it, RecordingError when
        the recording cannot be made, and PolicyError, MissingExtra or AuditError when the policy
        or the audit log cannot be opened.
        """
        self._settings, self._emit = settings, emit
        self._origin = Origin(socket.gethostname(), read_clock(), secrets.token_bytes(16))
        self._own = Process(pid=os.getpid(), name="busted")
        self._started_at = self._origin.clock.time(time.monotonic_ns())
        self._hooked: dict[int, _Hooked] = {}
        self._cookie = 0
        self._unused: set[int] = set()
        self._scanning_again = self._is_expiring = False
        self._failure: BaseException | None = None
        self._counts: Counter[str] = Counter()
        self._told: Coverage | None = None
        self._lost_in_kernel: dict[LostPlace, int] | None = None  # once nothing counts any more
        self._stopped = asyncio.Event()
        self.lost_after: Callable[[], dict[str, int]] = dict
        """What was lost after `emit` took an event, by place."""
        self.refused = 0
        """How many connections the kernel refused; after `run()`."""
        self.config_refused: str | None = None
        """Why a changed configuration was not taken on."""
        self.alive: Callable[[], object] = lambda: None
        """Called once a second, when the ring was read."""
        # The first text would wait for it otherwise, and while it did nothing more would be held.
        settings.tables.options.scanner.prepare()
        _allow_many_files()
        with contextlib.ExitStack() as opened:
            self._features = features.probe()
            features.require(self._features)
            self._shared = opened.enter_context(
                contextlib.closing(_share(settings, self._features))
            )
            self._left_out = left_out(self._features)
            self._count_runs(opened)
            self._holds: Holds | None = None
            self._hold_programs = self._hold(opened)
            self._programs = opened.enter_context(
                contextlib.closing(
                    _load(settings, self._features, self._shared, self._hold_programs)
                )
            )
            self._plain = self._read_plain(opened)
            self._stdio = self._read_stdio(opened)
            self._looks_for_servers = False
            # Before processes: at the end of one both are told, and its files come first.
            self._file_programs = self._follow_files(opened)
            self._followed = self._follow_processes(opened)
            # Before the scan, so that nothing is mapped unseen between the two.
            self._watch = opened.enter_context(contextlib.closing(_watch_mappings()))
            self._names = self._watch_names(opened)
            self._flows = self._watch_flows(opened)
            self._behaviour: Behaviour | None = None
            if self._flows and self._flows.follows_traffic:
                self._behaviour = open_behaviour(settings.behaviour)
            self._recording: RecordingWriter | None = None
            if settings.record:
                header = Header(
                    origin=self._origin,
                    selection=settings.selection,
                    network=settings.network,
                    files=settings.files or "sensitive",
                    loops=settings.loops,
                    foresees=settings.enforcement != "off",
                )
                self._recording = opened.enter_context(
                    contextlib.closing(RecordingWriter(settings.record, header))
                )
            self._identities = self._open_identities(opened)
            self._processes = Processes(elf.build_id)
            self._stacks = Stacks()
            self._users = Users(found=self._found)
            self._pod_watch = self._watch_pods(opened)
            self._containers = Containers(
                RuntimeFiles(home=self._users.home),
                Pods(expected=self._pod_watch is not None),
                cgroups=self._cgroups(opened),
                found=self._found,
            )
            outside = Outside(
                self._mute,
                settings.selection,
                self._started,
                self._library,
                self._want,
                ended=lambda process, start_time: self._processes.ended(process.pid, start_time),
                agent=self._agent,
                no_agent=self._shared.forget_agent,
                stack=self._stack,
                network=settings.network,
                flows=Asks(
                    self._look_at_flow, self._want_flow, self._want_address, self._look_at_quic
                ),
                files=settings.files or "sensitive",
                foresees=settings.enforcement != "off",
            )
            self._take_event = emit
            self._judge: Judge | None = None
            self._decisions: Decisions | None = None
            self._audit_log: AuditLog | None = None
            self._means: OpenedMeans | None = None
            self._reloads: Callable[[], int] = lambda: 0
            self._policy_counts: Callable[[], dict[str, int]] = dict
            self._seen_reloads = 0
            self._enforcement: Enforcement | None = None
            if settings.audit_log:
                self._audit_log = self._open_audit_log(opened, settings.audit_log)
            if settings.policy:
                self._decide(opened, settings.policy)
                self._enforce(opened)
            self._pipeline = Pipeline(
                self._origin,
                {
                    "processes": self._processes,
                    "users": self._users,
                    "containers": self._containers,
                },
                outside,
                options=msgspec.structs.replace(
                    settings.tables.options, judges_ahead=self._holds is not None
                ),
                agents=settings.tables.agents,
                shelf=self._identities,
                sensitive=settings.tables.sensitive,
                embed=settings.tables.embed,
                behaviour=self._behaviour,
                loops=settings.loops,
            )
            if self._identities:
                self._pipeline.budgets.recall(self._identities.spent(), time.time_ns())
            self._find_agents()
            self._targets = Targets(platform.machine())
            self._scan()
            self._reading = RecordLoop(
                self._shared.ring, self._take, interval=0 if self._holds else POLL_SECONDS
            )
            self._resources = opened.pop_all()

    def lock_down(self) -> None:
        """Give up, for good, what only starting took; before `run()`, by the only thread.

        Raises CannotRun where the kernel has no means for it.
        """
        try:
            lockdown.lock_down(by_perf_events=best_way(self._features) == "perf")
        except OSError as error:
            raise features.CannotRun(
                f"cannot give up privileges: {error.strerror}. --no-lockdown goes on without."
            ) from error

    async def run(self) -> None:
        """Watch until `stop()`, or for the time that the settings say; then report what is left."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._failed)
        try:
            # Not before the lock-down: its thread has the privileges that are left.
            if self._pod_watch:
                self._pod_watch.start()
            # Before it says that it watches: who starts then may be gone a moment later.
            give_back_memory()
            self._tick(loop)
            loop.call_later(UNUSED_SECONDS, self._let_unused_go, loop)
            for fd in self._watch.fds:
                loop.add_reader(fd, self._mappings_came, loop, fd)
            self._look_at_traffic(loop)
            self._reading.start()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._settings.duration)
            if self._failure is not None:
                raise self._failure
        finally:
            loop.set_exception_handler(None)
            self._finish()

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A callback that raised is not called again: better no monitor than a blind one.
        if self._failure is None and isinstance(context.get("exception"), Exception):
            self._failure = context["exception"]
            self._stopped.set()
        else:
            loop.default_exception_handler(context)

    def stop(self) -> None:
        """Make `run()` return soon."""
        self._stopped.set()

    def _watch_names(self, opened: contextlib.ExitStack) -> NamePrograms | None:
        try:
            programs = NamePrograms(self._shared)
        except OSError as error:
            self._left_out["names"] = error.strerror or str(error)
            return None
        opened.callback(programs.close)
        self._left_out |= programs.left_out
        return programs

    def _read_plain(self, opened: contextlib.ExitStack) -> PlainPrograms | None:
        if not self._settings.plain:
            return None
        try:
            programs = PlainPrograms(self._shared, self._programs)
            opened.callback(programs.close)
            programs.look_for(self._settings.tables.options.providers.local_ports, path_words())
        except OSError as error:
            self._left_out["plain"] = error.strerror or str(error)
            return None
        return programs

    def _read_stdio(self, opened: contextlib.ExitStack) -> StdioPrograms | None:
        settings = self._settings
        if settings.stdio == "none":
            return None
        try:
            programs = StdioPrograms(
                self._shared,
                self._programs,
                max_call_bytes=settings.max_call_bytes,
                all=settings.stdio == "all",
            )
        except OSError as error:
            self._left_out["stdio"] = error.strerror or str(error)
            return None
        opened.callback(programs.close)
        return programs

    def _watch_flows(self, opened: contextlib.ExitStack) -> FlowPrograms | None:
        network = self._settings.network
        if network == "none":
            return None
        try:
            programs = FlowPrograms(
                self._shared,
                network,
                self._features,
                features.try_programs(),
                traffic=self._settings.behaviour.is_wanted,
            )
        except OSError as error:
            self._left_out["flow_state"] = error.strerror or str(error)
            return None
        opened.callback(programs.close)
        self._left_out |= programs.left_out
        return programs

    def _hold(self, opened: contextlib.ExitStack) -> HoldPrograms | None:
        """Load what holds connections, which the other programs are loaded with."""
        terms = self._settings.hold
        if self._settings.enforcement != "on" or terms is None:
            return None
        if not (self._features.has("attach cookie") and self._features.has("bpf_loop")):
            self._left_out["hold"] = "it takes attach cookies and loops, of Linux 5.17"
            return None
        try:
            programs = HoldPrograms(self._shared, fails_open=terms.fails_open)
            opened.callback(programs.close)
            programs.hold_names((*self._settings.tables.options.providers.hosts, *terms.hosts))
        except OSError as error:
            self._left_out["hold"] = error.strerror or str(error)
            return None
        return programs

    def _count_runs(self, opened: contextlib.ExitStack) -> None:
        """Have the kernel count what our programs take; before the lock-down, which forbids it."""
        if not self._settings.bpf_stats:
            return
        try:
            opened.callback(os.close, inventory.count_runs())
        except BpfError as error:
            self._left_out["bpf_stats"] = error.strerror or str(error)

    # Who asks

    def status(self) -> Status:
        """Return how it is; by its own thread."""
        policy = self._settings.policy
        return Status(
            version=__version__,
            host=self._origin.host,
            started=self._started_at,
            libraries=tuple(hooked.library for hooked in self._hooked.values()),
            unreadable=dict(self._targets.unreadable),
            left_out=self._all_left_out(),
            lost=self.lost(),
            kernel=KernelStatus(
                release=platform.release(),
                way=best_way(self._features),
                buffer=self._settings.buffer or best_buffer(self._features),
                fill=self._fill(),
                features={name: told.answer for name, told in self._features.answers.items()},
            ),
            programs=_programs(),
            identities=len(self._pipeline.identities),
            policy=PolicyStatus(
                path=str(policy),
                on_error=self._settings.on_error,
                enforcement=self._settings.enforcement,
                counts=self._policy_counts(),
                refused=self._decisions.refused if self._decisions else None,
            )
            if policy
            else None,
            held=self._holds.told if self._holds else None,
        )

    def kernel_figures(self) -> KernelFigures:
        """Return what metrics tell of the kernel's side."""
        held = self._holds.told if self._holds else None
        waited = held.median_milliseconds if held else None
        return KernelFigures(
            fill=self._fill(),
            programs=_programs(),
            held={"allowed": held.allowed, "denied": held.denied} if held else {},
            hold_seconds=None if waited is None else waited / 1e3,
            windows=dict(self._behaviour.windows) if self._behaviour else {},
        )

    def _fill(self) -> float | None:
        # At the end it is emptied, and closed.
        return None if self._stopped.is_set() else self._shared.ring.fill

    def tell_identities(self, request: IdentitiesRequest) -> list[Told]:
        """Return the identities in memory that are asked for; by its own thread. ValueError."""
        return tell_asked(self._pipeline.identities, request)

    def tell_coverage(self) -> list[Row]:
        """Return how much was read of each connection; by its own thread."""
        return self._pipeline.ledger()

    # Records

    def _take(self, batch: list[bytes]) -> int:
        """Feed the pipeline, and return how many bytes the records had."""
        self._take_pods()
        for raw in batch:
            record: Record | None = None
            try:
                record = decode(raw)
            except ValueError:
                self._counts["undecodable_records"] += 1
            if isinstance(record, ProcessExec):
                # Before the record, in a recording too: its event has these facts already.
                self._executed(record)
            elif isinstance(record, ProcessProgram):
                self._runs(record)
            elif isinstance(record, StdioBegun):
                self._watch_stdio()
            if self._recording:
                self._recording.record(raw)
            if record is not None:
                events = self._pipeline.feed(record)
                self._report(self._held(self._holds, record, events) if self._holds else events)
                self._foresee()
        return sum(map(len, batch))

    def _held(self, holds: Holds, record: Record, events: Iterable[Event]) -> Iterable[Event]:
        """Have what waits for a decision decided before anything else is read."""
        made = list(events)
        is_between = not isinstance(record, TlsData) or self._pipeline.is_between(record.key)
        ahead = self._pipeline.take_ahead()
        decided = holds.follow(record, made, is_between, time.monotonic_ns(), ahead)
        if holds.is_waiting and not self._is_expiring:
            self._is_expiring = True
            asyncio.get_running_loop().call_later(EXPIRY_SECONDS, self._expire, holds)
        return decided

    def _foresee(self) -> None:
        """Have connections refused that policy denies, before they are asked for."""
        foreseen = self._pipeline.take_foreseen()
        if foreseen and self._judge and self._enforcement:
            decided = judged_all(self._judge, [event for event, _ in foreseen])
            for event, (_, netns) in zip(decided, foreseen, strict=True):
                self._enforcement.foresee(event, netns)

    def _expire(self, holds: Holds) -> None:
        holds.expire(time.monotonic_ns())
        self._is_expiring = holds.is_waiting and not self._stopped.is_set()
        if self._is_expiring:
            asyncio.get_running_loop().call_later(EXPIRY_SECONDS, self._expire, holds)

    def _report(self, events: Iterable[Event]) -> None:
        for event in events:
            self._take_event(event)

    # Policy

    def _decide(self, opened: contextlib.ExitStack, policy: Path) -> None:
        engine = open_policy(policy, self._settings.on_error)
        opened.callback(engine.close)
        self._reloads = lambda: engine.counts.get("reloads", 0)
        self._policy_counts = lambda: dict(engine.counts)
        self._judge = Judge(engine, self._settings.on_error)
        self._decisions = Decisions(self._judge, self._decided)
        self._take_event = self._decisions.take

    def _open_audit_log(self, opened: contextlib.ExitStack, path: Path) -> AuditLog:
        now, scanner = time.monotonic_ns(), self._settings.tables.options.scanner
        opened_log = AuditLog(path, self._origin.clock.time(now), self._origin.host, scanner)
        opened.callback(opened_log.close)
        return opened_log

    def reveal(self, event: str, asker: Asker) -> bool:
        """Write to the audit log that an event is shown as it was said; False: it cannot be."""
        if self._audit_log is None:
            return False
        entry = Revealed(
            event=event,
            time=self._origin.clock.time(time.monotonic_ns()),
            host=self._origin.host,
            uid=asker.uid,
            pid=asker.pid,
            by=asker.by,
        )
        return self._audit_log.reveal(entry)

    def _enforce(self, opened: contextlib.ExitStack) -> None:
        settings = self._settings
        if settings.enforcement == "off":
            return
        if settings.enforcement == "on":
            terms, held = settings.hold or Terms(), self._hold_programs
            self._means = OpenedMeans(
                self._shared,
                link_local=settings.deny_link_local,
                holding=held.kept if held and not terms.fails_open else None,
            )
            opened.callback(self._means.close)
            self._left_out |= self._means.left_out
            if self._hold_programs and self._judge:
                self._holds = Holds(
                    self._hold_programs,
                    HeldSockets(),
                    partial(judged_all, self._judge),
                    self._means.means.destroy,
                    self._means.make_room,
                    terms,
                )
        self._enforcement = Enforcement(
            self._means.means if self._means else None,
            Known(self._flow_of, self._agent_of, self._addresses_of, time.monotonic_ns),
            self._origin.clock,
            on_deny=settings.on_deny,
            verdict_seconds=settings.verdict_seconds,
            deny_link_local=settings.deny_link_local,
        )

    def _flow_of(self, cookie: int) -> Flow | None:
        return self._pipeline.flow(cookie)

    def _agent_of(self, process: ProcessKey) -> ProcessKey | None:
        agent = self._pipeline.tree.agent_of(process)
        return agent.process if agent else None

    def _addresses_of(self, netns: int, name: str, now_ns: int) -> tuple[str, ...]:
        return self._pipeline.names.addresses(netns, name, now_ns)

    def _decided(self, events: Sequence[Event]) -> None:
        for event in events:
            if self._enforcement:
                event = self._enforcement.apply(event)
            if self._audit_log:
                self._audit_log.write(event)
            self._emit(event)
        if self._audit_log:
            self._audit_log.flush()

    def reload_policy(self) -> None:
        """Look now whether the policy changed, as happens by itself every second."""
        if self._decisions:
            self._decisions.reload()

    # Configuration

    def learn(self, tables: Tables) -> None:
        """Know from now on what these tables say, in the kernel too; nothing is looked for less.

        The key of findings stays that of the scanner which the settings have.
        """
        self._pipeline.learn(tables.options, tables.agents, tables.sensitive)
        try:
            if self._followed:
                self._followed.look_for(tables.agents.words)
            if self._file_programs:
                self._file_programs.look_for(tables.sensitive.words)
            if self._hold_programs:
                self._hold_programs.hold_names(tables.options.providers.hosts)
            if self._plain:
                self._plain.look_for(tables.options.providers.local_ports, ())
        except BpfError as error:
            self._count_and_log("reload", error)
        self._find_agents()

    # What the pipeline asks for

    def _mute(self, key: ConnectionKey) -> None:
        if self._holds:
            self._holds.muted(key)
        try:
            self._programs.mute(key)
        except BpfError as error:
            # It goes on being reported: that costs time, and loses nothing.
            self._count_and_log("mute", error)

    def _want(self, key: ConnectionKey) -> None:
        self._choose_for_stdio(key.process)
        try:
            self._programs.want(key)
        except BpfError as error:
            # It is held back when the ring fills up; that is counted where it happens.
            self._count_and_log("want", error)

    def _started(self, process: ProcessKey, start_time: str) -> None:
        facts = self._processes.look(process.pid, process.start_ns, start_time)
        if facts:
            self._found(facts)
            self._containers.look(process.pid, start_time)

    def _found(self, facts: Facts) -> None:
        if self._recording:
            self._recording.found(facts)

    def _take_pods(self) -> None:
        """Take what Kubernetes said meanwhile; events go on with what was there before."""
        for facts in self._pod_watch.take() if self._pod_watch else ():
            self._containers.pods.learn(facts)
            if self._recording:
                self._recording.add(facts)

    def _watch_pods(self, opened: contextlib.ExitStack) -> PodWatch | None:
        settings = self._settings.kubernetes
        if not settings.is_wanted:
            return None
        if not is_installed():
            if settings.enabled == "on":
                raise MissingExtra(
                    "pods need the extra `k8s`, which is not installed: pip install 'busted[k8s]'"
                )
            self._left_out["kubernetes"] = "the extra `k8s` is not installed"
            return None
        watch = PodWatch(settings)
        opened.callback(watch.close)
        return watch

    def _cgroups(self, opened: contextlib.ExitStack) -> Path | None:
        """Return a way to the root of the control groups of version 2 that mounts cannot hide."""
        try:
            root = open_root()
        except OSError:
            return None
        opened.callback(os.close, root)
        return Path(f"/proc/self/fd/{root}")

    def _executed(self, record: ProcessExec) -> None:
        clock = self._origin.clock
        told = ProcessFacts(
            record.key.pid,
            clock.start_time(record.key.start_ns),
            text(record.path),
            tuple(map(text, record.argv)),
            since=clock.time(record.time_ns),
        )
        facts = self._processes.executed(told, record.inode)
        if self._recording:
            self._recording.add(facts)
        self._containers.look(told.pid, told.start_time)

    def _runs(self, record: ProcessProgram) -> None:
        start_time = self._origin.clock.start_time(record.key.start_ns)
        exe, argv = text(record.path) or None, tuple(map(text, record.argv))
        told = ProcessFacts(record.key.pid, start_time, exe, argv)
        facts = self._processes.runs(told, record.key.start_ns, record.inode)
        if facts:
            self._found(facts)
            self._containers.look(told.pid, start_time)

    def _agent(self, process: ProcessKey) -> None:
        self._tell_kernel(process, process.pid)
        # What it started before it was known: nothing when it began just now.
        self._find_descendants()
        self._looks_for_servers = True
        self._look_for_servers()

    def _library(self, cookie: int) -> str | None:
        hooked = self._hooked.get(cookie)  # none for 0, which a kernel without cookies reports
        return hooked.library.path if hooked else None

    def _look_at_flow(self, cookie: int) -> Flow | None:
        try:
            raw = self._flows.look(cookie) if self._flows else None
        except BpfError as error:
            self._count_and_log("flow_look", error)
            return None
        return self._answered(raw)

    def _look_at_quic(self, flow: Flow) -> Flow | None:
        if self._names is None:
            return None
        cookie = socket_cookie(flow.cookie)
        try:
            raw = self._names.look_quic(cookie, flow.remote, flow.remote_port)
        except BpfError as error:
            self._count_and_log("flow_look", error)
            return None
        return self._answered(raw)

    def _answered(self, raw: bytes | None) -> Flow | None:
        if raw is None:
            return None
        if self._recording:
            self._recording.answer(raw)
        flow = decode(raw)
        return flow if isinstance(flow, Flow) else None

    def _look_at_traffic(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._behaviour is None or self._flows is None or self._stopped.is_set():
            return
        try:
            self._flows.look_at_traffic()
        except BpfError as error:
            self._count_and_log("traffic", error)
        loop.call_later(TRAFFIC_SECONDS, self._look_at_traffic, loop)

    def _keep_calibration(self) -> None:
        path = self._settings.behaviour.calibration
        counts = self._behaviour.changed_counts() if path and self._behaviour else None
        if path is None or counts is None:
            return
        try:
            write_counts(path, counts)
        except OSError as error:
            self._count_and_log("calibration", error)

    def _want_flow(self, cookie: int) -> None:
        if self._flows:
            try:
                self._flows.want(cookie)
            except BpfError as error:
                self._count_and_log("flow_want", error)

    def _want_address(self, netns: int, address: bytes) -> None:
        if self._flows:
            try:
                self._flows.want_address(netns, address)
            except BpfError as error:
                self._count_and_log("flow_want", error)

    def _stack(self, process: ProcessKey) -> Stack | None:
        # In the order of the mappings, each once.
        paths = {mapping.path: None for mapping in mappings(process.pid)}
        if not paths:
            return None  # it is gone
        hooked = {one.library.path: one.library.kind for one in self._hooked.values()}
        reason: Reason = "unknown_stack"
        if seen := self._stacks.find(process.pid, paths, hooked):
            reason = "no_hook"
            if seen.path in hooked:
                reason = "hook_silent"
            elif seen.path in self._targets.unreadable:
                reason = "not_probed"
        elif paths.keys() & hooked.keys():
            reason = "hook_silent"
        stack = Stack(process, reason, seen.name if seen else None, seen.path if seen else None)
        if self._recording:
            self._recording.found(stack)
        return stack

    def _follow_files(self, opened: contextlib.ExitStack) -> FilePrograms | None:
        settings = self._settings
        if settings.files is None:
            return None
        try:
            programs = FilePrograms(
                self._shared,
                FileSettings(
                    words=settings.tables.sensitive.words,
                    quiet=QUIET_DIRECTORIES,
                    all=settings.files == "all",
                    max_file_bytes=settings.max_file_bytes,
                ),
            )
        except OSError as error:
            self._left_out["files"] = error.strerror or str(error)
            return None
        opened.callback(programs.close)
        return programs

    # Standard input and output

    def _choose_for_stdio(self, process: ProcessKey) -> None:
        """Look at what a process says to those that it started, from the next tick on."""
        if self._stdio is None:
            return
        try:
            self._stdio.choose(process)
        except BpfError as error:
            self._count_and_log("stdio", error)
        self._looks_for_servers = True

    def _watch_stdio(self) -> None:
        try:
            if self._stdio:
                self._stdio.watch(time.monotonic_ns())
        except BpfError as error:
            self._count_and_log("stdio", error)

    def _look_for_servers(self) -> None:
        """Look for those that were started before anybody knew by whom."""
        if self._stdio is None or not self._looks_for_servers:
            return
        self._looks_for_servers = False
        try:
            if self._stdio.look_around():
                self._watch_stdio()
        except BpfError as error:
            self._count_and_log("stdio", error)

    # Agents

    def _follow_processes(self, opened: contextlib.ExitStack) -> ProcessPrograms | None:
        try:
            programs = ProcessPrograms(self._shared, self._settings.tables.agents.words)
        except OSError as error:
            self._left_out["processes"] = error.strerror or str(error)
            return None
        opened.callback(programs.close)
        return programs

    def _find_agents(self) -> None:
        """Look at all processes that run for agents, and at what those have started."""
        for process in self._running():
            self._look(process)
        self._find_descendants()
        self._looks_for_servers = True
        self._look_for_servers()

    def _find_descendants(self) -> None:
        tree = self._pipeline.tree
        # Until nothing is new: what is started during a look is found by the next.
        for _ in range(MAX_LOOKS):
            found = 0
            for process in self._running():
                if tree.agent_of(process.key) is None and tree.agent_of(process.parent):
                    self._look(process)
                    found += 1
            if not found:
                return

    def _running(self) -> list[RunningProcess]:
        if self._followed is None:
            return []
        try:
            running = self._followed.running()
        except OSError as error:
            self._count_and_log("agents", error)
            return []
        # Parents first: nobody starts before who started it.
        return sorted(
            (process for process in running if process.key.pid != self._own.pid),
            key=lambda process: process.key.start_ns,
        )

    def _look(self, process: RunningProcess) -> None:
        start_time = self._origin.clock.start_time(process.key.start_ns)
        facts = self._processes.read(process.key.pid, process.key.start_ns, start_time)
        if any("mcp" in word.lower() or "modelcontextprotocol" in word for word in facts.argv):
            self._choose_for_stdio(process.key)
        name = text(process.comm)
        seen = AgentProcess(process.key, process.parent, name, facts.exe or "", facts.argv)
        agent = self._pipeline.tree.see(*msgspec.structs.astuple(seen))
        if agent is None:
            return
        self._tell_kernel(process.key, agent.process.pid)
        self._processes.learn(facts)
        if self._recording:
            self._recording.add(facts)
            self._recording.add(seen)
        self._containers.look(facts.pid, start_time)

    def _tell_kernel(self, process: ProcessKey, agent_pid: int) -> None:
        try:
            self._shared.name_agent(process, agent_pid)
        except BpfError as error:
            self._count_and_log("agents", error)

    # Targets

    def _scan(self) -> None:
        found = [mapping for pid in running_processes() for mapping in mappings(pid)]
        users = Counter((mapping.device, mapping.inode) for mapping in found)
        for mapping in found:
            self._examine(mapping, users[mapping.device, mapping.inode])

    def _mappings_came(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        loop.remove_reader(fd)
        loop.call_later(MAPPING_SECONDS, self._read_mappings, loop, fd)

    def _read_mappings(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        if self._stopped.is_set():
            return
        for mapping in self._watch.read():
            self._examine(mapping, 1)
        if self._watch.missed and not self._scanning_again:
            self._scanning_again = True
            loop.call_later(RESCAN_SECONDS, self._scan_again)
        loop.add_reader(fd, self._mappings_came, loop, fd)

    def _scan_again(self) -> None:
        if self._stopped.is_set():
            return
        # First, so that what is missed during the scan asks for another.
        self._scanning_again = self._watch.missed = False
        self._scan()

    def _examine(self, mapping: Mapping, processes: int) -> None:
        target = self._targets.examine(mapping)
        if target is None:
            return
        # Never one that was used before: a late record would name another library.
        self._cookie += 1
        try:
            self._programs.attach(target, self._cookie)
            identity = file_identity(target.fd)
        except OSError as error:
            self._targets.failed(target.path, error)
            return
        finally:
            target.close()
        library = Library(path=target.path, kind=target.kind, processes=processes)
        self._hooked[self._cookie] = _Hooked(library, identity)
        if self._recording:
            self._recording.add(LibraryFacts(self._cookie, library))

    def _let_unused_go(self, loop: asyncio.AbstractEventLoop) -> None:
        """Detach from files that nobody mapped at this look and the one before."""
        if self._stopped.is_set():
            return
        if len(self._hooked) > MAX_UNUSED_KEPT:
            found = (mapping for pid in running_processes() for mapping in mappings(pid))
            # None: somebody may use any of them.
            in_use = self._targets.in_use(found)
            unused = {
                cookie
                for cookie, hooked in self._hooked.items()
                if in_use is not None and hooked.identity not in in_use
            }
            for cookie in unused & self._unused:
                self._targets.forget(self._hooked.pop(cookie).identity)
                # In a thread: taking perf events away takes the kernel a tenth of a second each.
                loop.run_in_executor(None, self._programs.detach_target, cookie)
            self._unused = unused
        loop.call_later(UNUSED_SECONDS, self._let_unused_go, loop)

    # Identities

    def _open_identities(self, opened: contextlib.ExitStack) -> IdentityStore | None:
        path = self._settings.identity_store
        if path is None:
            return None
        store = opened.enter_context(contextlib.closing(IdentityStore(path)))
        if store.fresh_because:
            log.error("%s", store.fresh_because)
        return store

    def _keep_identities(self) -> None:
        if self._identities is None:
            return
        changes = self._pipeline.identities.changes()
        spent = self._pipeline.budgets.changes()
        try:
            self._identities.write(changes)
            if spent:
                self._identities.keep_spent(spent, time.time_ns() - DAY_NS)
        except StoreError as error:
            # What they do from now on is written all the same.
            self._count_and_log("identity_store", error)

    # Coverage and loss

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._stopped.is_set():
            return
        self._reading.tick()
        now_ns = time.monotonic_ns()
        if self._recording:
            self._recording.add(Tick(now_ns))
        self._users.changed()
        self._report(self._pipeline.expire(now_ns))
        self._keep_identities()
        self._keep_calibration()
        self.reload_policy()
        if self._enforcement:
            self._enforcement.expire(now_ns)
            if self._reloads() != self._seen_reloads:
                self._seen_reloads = self._reloads()
                self._enforcement.clear()
                self._pipeline.foresee(now_ns)
                self._foresee()
        if self._means:
            self._means.expire(now_ns)
        self._look_for_servers()
        if self._stdio:
            self._stdio.rest(now_ns)
        if self._decisions and self._audit_log:
            self._decisions.later(self._audit_log.sync)
        self._tell_coverage()
        if self._recording:
            self._recording.flush()
        self.alive()
        loop.call_later(TICK_SECONDS, self._tick, loop)

    def lost(self) -> dict[str, int]:
        """Return what was lost so far, by place, where it is not zero; after `run()`, in all."""
        counted = self._shared.lost() if self._lost_in_kernel is None else self._lost_in_kernel
        lost = {place.name.lower(): count for place, count in counted.items()}
        if self._watch.lost:
            lost["mapping_watch"] = self._watch.lost
        if self._recording and self._recording.lost:
            lost["recording_frames"] = self._recording.lost
        if self._judge:
            lost |= self._judge.failed
        if self._decisions and self._decisions.lost:
            lost["policy_queue"] = self._decisions.lost
        if self._audit_log and self._audit_log.lost:
            lost["audit_log"] = self._audit_log.lost
        if self._holds:
            lost |= self._holds.lost
        if self._containers.pods.late:
            lost["enrichment_late"] = self._containers.pods.late
        return lost | self._counts | self._pipeline.lost | self.lost_after()

    def _all_left_out(self) -> dict[str, str]:
        left_out = dict(self._left_out)
        if self._decisions and self._decisions.refused:
            left_out["policy"] = self._decisions.refused
        if self.config_refused:
            left_out["config"] = self.config_refused
        if self._pod_watch and self._pod_watch.trouble:
            left_out["kubernetes"] = self._pod_watch.trouble
        return left_out

    def _tell_coverage(self, always: bool = False) -> None:
        coverage = Coverage(
            libraries=tuple(hooked.library for hooked in self._hooked.values()),
            unreadable=dict(self._targets.unreadable),
            left_out=self._all_left_out(),
            lost=self.lost(),
        )
        if coverage != self._told or always:
            self._told = coverage
            # Not compared: it changes with every request.
            coverage = msgspec.structs.replace(coverage, held=self._holds and self._holds.told)
            event = self._pipeline.coverage(coverage, self._own, time.time_ns())
            self._report([event])
            if self._recording:
                self._recording.add(event)

    def _count_and_log(self, place: str, error: Exception) -> None:
        self._counts[place] += 1
        if self._counts[place] == 1:
            log.warning("%s: %s; further failures are counted, not logged", place, error)

    def _finish(self) -> None:
        loop = asyncio.get_running_loop()
        self._stopped.set()
        with self._resources:
            # What is left is read when the probes are gone.
            self._reading.stop()
            for fd in self._watch.fds:
                loop.remove_reader(fd)
            self._programs.detach()
            if self._plain:
                self._plain.detach()
            if self._stdio:
                self._stdio.detach()
            if self._names:
                self._names.detach()
            if self._flows:
                self._flows.detach()
            if self._means:
                self.refused = self._means.refused()
                self._means.detach()
            if self._followed:
                self._followed.detach()
            if self._file_programs:
                self._file_programs.detach()
            while self._take(self._shared.ring.read()):
                pass  # nothing adds to the ring any more, so this ends
            now_ns = time.monotonic_ns()
            if self._recording:
                self._recording.add(Tick(now_ns, last=True))
            self._report(self._pipeline.close(now_ns))
            self._keep_identities()
            self._keep_calibration()
            if self._decisions:
                self._decisions.close()
                self._take_event = self._emit
            if self._holds and self._hold_programs:
                self._holds.close()
                self._hold_programs.detach()
            self._lost_in_kernel = self._shared.lost()
            self._tell_coverage(always=True)


def _allow_many_files() -> None:
    # A hooked library takes up to a dozen; the usual soft limit of 1024 is there for programs
    # that use select(2) (systemd.exec(5), LimitNOFILE).
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _watch_mappings() -> MappingWatch:
    try:
        return MappingWatch()
    except OSError as error:
        raise features.CannotRun(
            f"cannot watch for new programs and libraries: {error.strerror}. "
            "Run as root, outside of containers that forbid perf_event_open(2)."
        ) from error


def _programs() -> tuple[ProgramRuns, ...]:
    """Return what the eBPF programs took so far; 0 where the kernel does not count."""
    return tuple(
        ProgramRuns(program.name, program.runs, program.run_ns / 1e9)
        for program in inventory.own_programs()
    )


def _share(settings: Settings, found: features.Features) -> SharedMaps:
    with _refusals():
        return SharedMaps(settings.ring_bytes, settings.buffer or best_buffer(found))


def _load(
    settings: Settings, found: features.Features, shared: SharedMaps, hold: HoldPrograms | None
) -> TlsPrograms:
    terms = settings.hold or Terms()
    with _refusals():
        return TlsPrograms(
            best_way(found),
            shared,
            max_call_bytes=max(settings.max_call_bytes, terms.bytes if hold else 0),
            spare_filtered=filtered.return_probes_kill(),
            hold=hold,
            hold_seconds=terms.seconds,
        )


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise features.CannotRun(
            f"cannot load eBPF programs: {error.strerror or error}. "
            "Run as root, with libbpf1 installed, outside of containers that forbid bpf(2)."
        ) from error
