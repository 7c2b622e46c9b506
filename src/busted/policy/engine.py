"""What the rest asks: loads a policy, judges events, and survives whatever happens in the worker.

Strategy: a worker process (worker.py) evaluates, this side keeps the time. Events go over in
batches, answers come back one by one; when one does not come in time, or the worker dies, that
event gets the operator's decision for errors, a new worker is forked, and the rest of the batch
goes on there. A worker that fails again and again is replaced at growing intervals; until then
every event gets the decision for errors at once, and never waits.

A new version of the policy is loaded by a worker of its own; the old one answers until that says
that all is well.

Nothing is cached: what a policy read of an event, and whether it looked at the time, regorus does
not tell.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from busted.events import Decision, PolicyDecision
from busted.policy.messages import (
    OUT_OF_MEMORY,
    Answer,
    Ask,
    End,
    Ended,
    Fork,
    Forked,
    Frames,
    GarbageError,
    Load,
    Loaded,
    Message,
    frame,
    receive,
)
from busted.policy.sources import PolicyError, Sources, error, read, state

# A held request waits for this; a decision takes a tenth of a millisecond.
DEADLINE_SECONDS = 0.05
# A policy of a thousand rules with the largest prompt takes some 50 MB.
MEMORY_BYTES = 256 << 20
# A prompt of megabytes takes longer to hand over and to read than any policy to judge it.
BYTES_A_DEADLINE = 1 << 20
# Compiling is not deciding: nobody waits for it but who starts or changes a policy.
LOAD_SECONDS = 10.0
# One that compiled before does so again in milliseconds, and an event waits for it.
RESTART_SECONDS = 1.0
# A frame of many large prompts would take too long to read within one deadline.
MAX_BATCH_EVENTS = 64
MAX_BATCH_BYTES = 4 << 20
# An event beyond this is more than any prompt that is captured; it would not fit into a frame.
MAX_EVENT_BYTES = 32 << 20
# The first failures are met at once; a worker that does nothing but fail must not eat a processor.
FAILURES_WITHOUT_PAUSE = 3
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 5.0
# How often a worker's memory is looked at. One that has half of what it may is replaced in time.
EVENTS_BETWEEN_LOOKS = 1000

COUNTS = (
    *("decisions", "undefined", "errors", "timeouts", "crashes", "memory", "garbage"),
    *("unavailable", "restarts", "reloads", "refused_reloads"),
)


class PolicyEngine:
    """Judges events by the policy in a directory, a file, or a text; a context manager.

    `on_error` is the decision where the policy fails, for whatever reason. Safe for threads: an
    event loop asks with `asyncio.to_thread`. Raises PolicyError when the policy cannot be loaded.
    """

    def __init__(
        self,
        source: Path | str,
        *,
        on_error: Decision = "deny",
        deadline_seconds: float = DEADLINE_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Start the processes and load the policy; before the monitor's lock-down."""
        if importlib.util.find_spec("regorus") is None:
            raise PolicyError((error("", "policies need: pip install 'busted[policy]'"),))
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self._source, self._on_error = source, on_error
        self._deadline, self._memory = deadline_seconds, memory_bytes
        # Held while something is asked; and while processes are started or ended, which a reload
        # does beside it: nothing that is asked waits for a compiler.
        self._lock, self._processes = threading.Lock(), threading.RLock()
        # Unique on this host and beyond, and cheap: who reads an audit log looks for it.
        self._run, self._numbers = secrets.token_hex(6), itertools.count(1)
        self._failures, self._not_before = 0, 0.0
        self._nursery: _Nursery | None = None
        self._worker: _Worker | None = None
        self._seen = state(source) if isinstance(source, Path) else ()
        self._sources = read(source)
        try:
            self._worker = self._started(self._sources)
        except (OSError, GarbageError) as failure:
            self.close()
            raise PolicyError(
                (error("", f"the policy worker does not start: {failure}"),)
            ) from None
        except PolicyError:
            self.close()
            raise

    @property
    def versions(self) -> dict[str, str]:
        """Return which Rego each deciding file is written in, v0 or v1; {} while none is loaded."""
        worker = self._worker
        return worker.versions if worker else {}

    def evaluate(self, event_json: bytes) -> PolicyDecision:
        """Return the decision on one event; never raises, whatever the event is."""
        return self.evaluate_batch([event_json])[0]

    def evaluate_batch(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        """Return the decisions on some events, in their order.

        Each has its own deadline, which runs from when the one before it was answered, and is the
        longer by as many times as the largest of them has `BYTES_A_DEADLINE`.
        """
        with self._lock:
            decided: list[PolicyDecision] = []
            for batch in _batches(events):
                while batch:
                    answered = self._ask(batch)
                    decided += answered
                    batch = batch[len(answered) :]
            return decided

    def reload_if_changed(self) -> str | None:
        """Load the policy anew if its files changed; return why it was refused, if it was.

        The old one then stays until the files change again. None when nothing changed or all is
        well. To be called every few seconds.
        """
        if not isinstance(self._source, Path):
            return None
        seen = state(self._source)
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            sources = read(self._source)
            fresh = self._started(sources)
        except (PolicyError, OSError, GarbageError) as failure:
            self.counts["refused_reloads"] += 1
            return str(failure)
        with self._lock:
            old, self._worker, self._sources = self._worker, fresh, sources
            self._failures, self._not_before = 0, 0.0
            self._end(old)
        self.counts["reloads"] += 1
        return None

    def close(self) -> None:
        """End the processes."""
        with self._lock, self._processes:
            if self._worker:
                self._worker.connection.close()
                self._worker = None
            if self._nursery:
                self._nursery.close()
                self._nursery = None

    def __enter__(self) -> Self:
        """Return the engine, ready."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes."""
        self.close()

    def _ask(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        """Return the decisions on as many events as one worker answers for, at least one."""
        asked = time.monotonic()
        large = [n for n, event in enumerate(events) if len(event) > MAX_EVENT_BYTES]
        if large[:1] == [0]:
            self.counts["errors"] += 1
            return [self._failed(asked, f"the event is larger than {MAX_EVENT_BYTES:,} bytes")]
        events = events[: large[0]] if large else events
        worker = self._ready_worker()
        if worker is None:
            self.counts["unavailable"] += len(events)
            return [self._failed(asked, "the policy worker is down") for _ in events]
        decided: list[PolicyDecision] = []
        try:
            deadline = self._deadline * (1 + max(map(len, events)) / BYTES_A_DEADLINE)
            for answer in worker.ask(events, deadline):
                decided.append(self._decision(answer, asked))
        except TimeoutError:
            decided.append(self._lost(worker, asked, "timeouts", "no decision in time"))
        except GarbageError:
            decided.append(self._lost(worker, asked, "garbage", "the policy worker told nonsense"))
        except OSError:
            decided.append(self._lost(worker, asked, "crashes", "the policy worker crashed"))
        else:
            self._failures = 0
            self._replace_if_grown(worker)
        return decided

    def _decision(self, answer: Answer, asked: float) -> PolicyDecision:
        self.counts["decisions"] += 1
        self.counts["undefined"] += answer.undefined
        self.counts["errors"] += answer.error is not None
        return PolicyDecision(
            decision=answer.decision,
            reasons=answer.reasons,
            rule=answer.rule,
            file=answer.file,
            id=self._next_id(),
            milliseconds=_milliseconds_since(asked),
            error=answer.error,
        )

    def _failed(self, asked: float, text: str) -> PolicyDecision:
        return PolicyDecision(
            decision=self._on_error,
            id=self._next_id(),
            milliseconds=_milliseconds_since(asked),
            error=text,
        )

    def _next_id(self) -> str:
        return f"{self._run}-{next(self._numbers)}"

    def _lost(self, worker: _Worker, asked: float, kind: str, text: str) -> PolicyDecision:
        """Bury a worker that failed; return the decision on the event that it failed of."""
        failed = self._failed(asked, text)
        self._worker = None
        status = self._end(worker)
        # Rust aborts when there is no memory left.
        if kind == "crashes" and status in (-signal.SIGABRT, OUT_OF_MEMORY):
            kind = "memory"
        self.counts[kind] += 1
        self._pause()
        return failed

    def _pause(self) -> None:
        """Count a failure, and say when the next worker may be started."""
        self._failures += 1
        beyond = self._failures - FAILURES_WITHOUT_PAUSE
        if beyond >= 0:
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(beyond, 32), MAX_PAUSE_SECONDS)
            self._not_before = time.monotonic() + pause

    def _ready_worker(self) -> _Worker | None:
        if self._worker is None and time.monotonic() >= self._not_before:
            try:
                self._worker = self._started(self._sources, tried=True)
                self.counts["restarts"] += 1
            except (OSError, GarbageError, PolicyError):
                self._pause()
        return self._worker

    def _started(self, sources: Sources, *, tried: bool = False) -> _Worker:
        """Return a new worker that has loaded the policy; raises when it cannot."""
        seconds = RESTART_SECONDS if tried else LOAD_SECONDS
        with self._processes:
            if self._nursery is None:
                self._nursery = _Nursery()
            try:
                worker = self._nursery.fork(self._memory)
            except (OSError, GarbageError):
                self._nursery.close()
                self._nursery = None
                raise
        try:
            worker.load(Load(sources, self._on_error, tried), seconds)
        except TimeoutError:
            self._end(worker)
            raise PolicyError((error("", f"not compiled within {seconds} s"),)) from None
        except (ConnectionError, GarbageError):
            self._end(worker)
            raise PolicyError((error("", "the worker that compiled it crashed"),)) from None
        except PolicyError:
            self._end(worker)
            raise
        return worker

    def _replace_if_grown(self, worker: _Worker) -> None:
        """End a worker that took half of its memory, before it fails in the midst of something."""
        if worker.asked < EVENTS_BETWEEN_LOOKS:
            return
        worker.asked = 0
        if worker.grown_bytes() > self._memory // 2:
            self.counts["memory"] += 1
            self._worker = None
            self._end(worker)

    def _end(self, worker: _Worker | None) -> int:
        """Kill a worker; return its exit status, or minus the signal, if it was dead already."""
        if worker is None:
            return 0
        worker.connection.close()
        with self._processes:
            if self._nursery is None:
                return 0
            try:
                return self._nursery.end(worker.pid)
            except (OSError, GarbageError):
                self._nursery.close()
                self._nursery = None
                return 0


class _Nursery:
    """This side of the process that workers are forked from."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # Nothing of the monitor's environment is the worker's business.
        environment = {"RUST_BACKTRACE": "0", "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-P", "-m", "busted.policy.nursery", str(theirs.fileno())]
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    env=environment,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    # regorus prints warnings about policies, and a dying worker what it died of.
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                )
        except BaseException:
            ours.close()
            raise
        ours.settimeout(LOAD_SECONDS)
        self._connection, self._frames = ours, Frames()

    def fork(self, memory_bytes: int) -> _Worker:
        """Return a new worker; raises OSError when there can be none."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._connection, [frame(Fork(memory_bytes))], [theirs.fileno()])
            forked = receive(self._connection, self._frames)
            if not isinstance(forked, Forked) or not forked.pid:
                raise ConnectionError("no process could be forked")
        except BaseException:
            ours.close()
            raise
        return _Worker(forked.pid, ours)

    def end(self, pid: int) -> int:
        """Kill a worker, or bury it; return what it died of."""
        self._connection.sendall(frame(End(pid)))
        ended = receive(self._connection, self._frames)
        if not isinstance(ended, Ended):
            raise ConnectionError("the nursery is gone")
        return ended.status

    def close(self) -> None:
        """End the process and, through it, its workers."""
        self._connection.close()
        try:
            self._process.wait(LOAD_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Worker:
    """This side of a worker."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid, self.connection = pid, connection
        self.asked = 0
        self.versions: dict[str, str] = {}
        self._frames = Frames()
        self._first_bytes = 0

    def load(self, load: Load, seconds: float) -> None:
        """Hand over the policy; raises PolicyError when it cannot be loaded."""
        self.connection.settimeout(seconds)
        self.connection.sendall(frame(load))
        loaded = self._next()
        if not isinstance(loaded, Loaded):
            raise GarbageError("not what was expected")
        if loaded.problems:
            raise PolicyError(loaded.problems)
        self._first_bytes = self._resident_bytes()
        self.versions = loaded.versions

    def ask(self, events: Sequence[bytes], deadline: float) -> Iterator[Answer]:
        """Yield an answer for each event; raises TimeoutError or what else the socket says."""
        self.asked += len(events)
        self.connection.settimeout(deadline)
        self.connection.sendall(frame(Ask(tuple(events), deadline * len(events))))
        for _ in events:
            answer = self._next()
            if not isinstance(answer, Answer):
                raise GarbageError("not what was expected")
            yield answer

    def grown_bytes(self) -> int:
        """Return how much memory it has taken since it loaded the policy."""
        return self._resident_bytes() - self._first_bytes

    def _next(self) -> Message:
        message = receive(self.connection, self._frames)
        if message is None:
            raise ConnectionError("the worker is gone")
        return message

    def _resident_bytes(self) -> int:
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")


def _batches(events: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the events in pieces of which each is read quickly."""
    first = size = 0
    for number, event in enumerate(events):
        full = number - first >= MAX_BATCH_EVENTS or size + len(event) > MAX_BATCH_BYTES
        if number > first and full:
            yield events[first:number]
            first, size = number, 0
        size += len(event)
    if first < len(events):
        yield events[first:]


def _milliseconds_since(asked: float) -> float:
    return round((time.monotonic() - asked) * 1e3, 3)
