"""The decide step: every event gets what policy says of it, in order, before it is shown.

Strategy: an event is judged as its JSON with all that was said, which stays in this process and
the policy's. Events wait in a bounded queue; while the loop reads the ring, one thread asks the
engine about as many as wait, one batch at a time, and the loop takes the answers on. So a slow
policy delays what is told, never the ring, and what is done about an answer is done by one thread.

Nothing passes unjudged: where the engine has no answer, the event gets the operator's `--on-error`
decision with the reason, and is counted. What no room is left for is dropped and counted.

Left out: `Coverage` that tells of Busted itself is passed on in its place without a decision.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import msgspec

from busted.events import Coverage, Decision, Event, PolicyDecision, to_json

log = logging.getLogger(__name__)

Decide = Callable[[Event], PolicyDecision]
"""What policy says of an event; never raises."""

# A busy host makes a few hundred events a second: half a minute of a policy that stands still.
MAX_WAITING_EVENTS = 8192
# Prompts can be megabytes; the queue must not become the monitor's memory.
MAX_WAITING_BYTES = 64 << 20
# Answers are handed on together, so the first of many waits for the last: with the policies that
# come with Busted some 15 ms for this many, of which the way to the worker and back is nothing.
MAX_BATCH_EVENTS = 32
# A batch waits for its slowest event: one of large prompts ends here, or with its first event.
MAX_BATCH_BYTES = 4 << 20
# Of what an engine counts, what costs an event its decision; the rest is how it recovered.
FAILURES = ("errors", "timeouts", "crashes", "memory", "garbage", "unavailable")
# What waits when the monitor stops is judged for so long; whoever stopped it is waiting.
CLOSE_SECONDS = 5.0


class Engine(Protocol):
    """What is asked of `busted.policy.engine.PolicyEngine`."""

    counts: dict[str, int]
    """How often it failed so far, by kind, and what else it counts."""

    def evaluate_batch(self, events: Sequence[bytes]) -> list[PolicyDecision]:
        """Return a decision for the JSON of each event."""

    def reload_if_changed(self) -> str | None:
        """Take on what changed; the text says why it could not."""

    def close(self) -> None:
        """End its process."""


class Judge:
    """Asks an engine, and has an answer where the engine has none."""

    def __init__(self, engine: Engine, on_error: Decision) -> None:
        """`on_error` is decided where the engine itself fails."""
        self._engine, self._on_error = engine, on_error
        self._counts: Counter[str] = Counter()

    @property
    def failed(self) -> dict[str, int]:
        """How many events got the on-error decision so far, by what failed, where it is any."""
        counts = self._engine.counts
        told = {f"policy_{kind}": counts[kind] for kind in FAILURES if counts.get(kind)}
        return told | self._counts

    def decide(self, event: Event) -> PolicyDecision:
        """Return what policy says of an event, however it is to be judged."""
        return self.decisions([to_json(event)])[0]

    def decisions(self, batch: list[bytes]) -> list[PolicyDecision]:
        """Return what policy says of each event, given their JSON; never raises."""
        try:
            answers = self._engine.evaluate_batch(batch)
        except Exception as error:
            return [self.without(f"the engine failed: {error}") for _ in batch]
        if len(answers) == len(batch):
            return answers
        return [self.without("the engine gave another number of answers") for _ in batch]

    def without(self, why: str) -> PolicyDecision:
        """Return the on-error decision, counted."""
        self._counts["policy_unasked"] += 1
        if self._counts["policy_unasked"] == 1:
            log.warning("policy could not be asked: %s; others are counted, not logged", why)
        return PolicyDecision(decision=self._on_error, error=why)

    def reload(self) -> str | None:
        """Take on a changed policy; the text says why the old one stays."""
        try:
            return self._engine.reload_if_changed()
        except Exception as error:
            return str(error)


def judged(event: Event, decision: PolicyDecision) -> Event:
    """Return the event with what policy says of it."""
    return msgspec.structs.replace(event, policy=decision)


def is_judged(event: Event) -> bool:
    """Tell whether policy is asked about an event: not what we say of ourselves, and not twice."""
    if isinstance(event.action, Coverage) and event.action.of_busted:
        return False
    return event.policy is None


def judged_all(judge: Judge, events: Iterable[Event]) -> Iterator[Event]:
    """Yield events with what policy says of them, in order, asking for many at a time."""
    events = iter(events)
    while batch := list(itertools.islice(events, MAX_BATCH_EVENTS)):
        asked = [to_json(event) for event in batch if is_judged(event)]
        decisions = iter(judge.decisions(asked) if asked else ())
        for event in batch:
            yield judged(event, next(decisions)) if is_judged(event) else event


class _Waiting(msgspec.Struct, frozen=True):
    event: Event
    json: bytes | None  # None: not to be judged


class Decisions:
    """Judges events as they come and hands them on, in order, from the loop's thread."""

    def __init__(
        self,
        judge: Judge,
        decided: Callable[[Sequence[Event]], None],
        max_events: int = MAX_WAITING_EVENTS,
        max_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """`decided` is called with a batch of events; its thread starts with the first of them."""
        self.lost = 0
        """Events that there was no room for."""
        self.refused: str | None = None
        """Why a changed policy was not taken on; None when the one in use is the last one."""
        self._judge, self._decided = judge, decided
        self._max_events, self._max_bytes = max_events, max_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._asking: list[_Waiting] = []
        self._answer: Future[list[PolicyDecision]] | None = None
        self._thread = ThreadPoolExecutor(1, "busted-decisions")

    def take(self, event: Event) -> None:
        """Have an event judged and handed on soon, or count it as lost; never waits."""
        json = to_json(event) if is_judged(event) else None
        size = len(json or b"")
        if len(self._waiting) >= self._max_events or self._bytes + size > self._max_bytes:
            self.lost += 1
            return
        self._waiting.append(_Waiting(event, json))
        self._bytes += size
        self._ask()

    def reload(self) -> None:
        """Look whether the policy changed, behind what is being judged now."""
        self._thread.submit(self._reload)

    def later(self, call: Callable[[], object]) -> None:
        """Have something called that may wait for a disk, by the thread that may wait."""
        self._thread.submit(call)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Hand on all that waits; what policy has not judged in `timeout` seconds gets the
        on-error decision.
        """
        end = time.monotonic() + timeout
        while self._answer is not None or self._waiting:
            if self._answer is not None:
                self._hand_on(self._answer)
            elif time.monotonic() < end:
                self._hand_on(self._submit())
            else:
                self._without_policy()
        self._thread.shutdown()

    def _ask(self) -> None:
        if self._answer is not None or not self._waiting:
            return
        loop = asyncio.get_running_loop()
        answer = self._submit()
        answer.add_done_callback(lambda _: loop.call_soon_threadsafe(self._answered, answer))

    def _submit(self) -> Future[list[PolicyDecision]]:
        batch: list[bytes] = []
        size = 0
        while self._waiting and len(self._asking) < MAX_BATCH_EVENTS and size < MAX_BATCH_BYTES:
            waiting = self._waiting.popleft()
            self._asking.append(waiting)
            if waiting.json is not None:
                batch.append(waiting.json)
                size += len(waiting.json)
        self._bytes -= size
        self._answer = self._thread.submit(self._judge.decisions, batch)
        return self._answer

    def _answered(self, answer: Future[list[PolicyDecision]]) -> None:
        if answer is self._answer:  # else `close` was faster
            self._hand_on(answer)
            self._ask()

    def _hand_on(self, answer: Future[list[PolicyDecision]]) -> None:
        decisions = iter(answer.result())
        asked, self._asking, self._answer = self._asking, [], None
        self._decided([_with(waiting, lambda: next(decisions)) for waiting in asked])

    def _without_policy(self) -> None:
        rest = list(self._waiting)
        self._waiting.clear()
        self._decided(
            [_with(waiting, lambda: self._judge.without("the monitor ended")) for waiting in rest]
        )

    def _reload(self) -> None:
        refused = self._judge.reload()
        if refused and refused != self.refused:
            log.warning("the policy is not taken on, the old one stays: %s", refused)
        self.refused = refused


def _with(waiting: _Waiting, decision: Callable[[], PolicyDecision]) -> Event:
    return waiting.event if waiting.json is None else judged(waiting.event, decision())
