"""The TLS programs, loaded: attach them to targets, tell them what to mute and what is wanted.

There are three ways to attach a uprobe, best first: a session (entry and return in one, and
no return probe for a muted call), a multi link (quick to attach and detach, and content with
CAP_BPF and CAP_PERFMON), a perf event (every kernel; a tenth of a second to detach). They
differ in how the programs are loaded, so the choice is made once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from typing import Literal

from busted import records
from busted.kernel.client_random import RandomPath
from busted.kernel.features import Features
from busted.kernel.hold import HoldPrograms
from busted.kernel.libbpf import (
    TRACE_UPROBE_MULTI,
    TRACE_UPROBE_SESSION,
    BpfError,
    BpfObject,
    Link,
)
from busted.kernel.places import AEAD_PROGRAMS, PROGRAMS, Place
from busted.kernel.shared import Buffer, SharedMaps
from busted.kernel.targets import Target
from busted.records import ConnectionKey, Verdict

Way = Literal["session", "multi", "perf"]

# What an undecided connection may report while the ring is half full, in bytes of each direction:
# twice an agent's usual request of 90 KB. What one call moves is never cut by it.
UNDECIDED_BYTES = 256 << 10

KILLS_FILTERED = (
    "left alone, since this kernel kills programs under seccomp when a probed function returns; "
    "Linux 6.14 has that repaired"
)

_RETURN_PROGRAM = "tls_return"
SESSION_SUFFIX = "_session"
# Session programs hold by themselves; of the others these have twins that do.
_HELD_SUFFIX = "_held"
_HOLDING = ("tls_write", "tls_write_ex", _RETURN_PROGRAM)


def best_way(features: Features) -> Way:
    """Return the best way to attach that the kernel offers."""
    if features.has("session uprobe"):
        return "session"
    return "multi" if features.has("multi uprobe") else "perf"


def best_buffer(features: Features) -> Buffer:
    """Return the better kind of buffer that the kernel offers."""
    return "ring" if features.has("ring buffer") else "perf"


def left_out(features: Features) -> dict[str, str]:
    """Return what the TLS programs cannot do on this kernel, and why."""
    if features.has("attach cookie"):
        return {}
    # One program serves all libraries, and each keeps the random elsewhere.
    return {"tls_random": "it takes attach cookies, which came with Linux 5.15"}


class TlsPrograms:
    """The loaded object and its links. Raises BpfError when the kernel refuses."""

    def __init__(
        self,
        way: Way,
        shared: SharedMaps,
        *,
        max_call_bytes: int,
        undecided_bytes: int = UNDECIDED_BYTES,
        spare_filtered: bool = False,
        hold: HoldPrograms | None = None,
        hold_seconds: float = 0.0,
    ) -> None:
        """Load; `max_call_bytes` bounds what one call reports.

        `undecided_bytes` of each direction of a connection are reported before anybody called
        it wanted, even though the ring buffer is half full. `spare_filtered`: return probes kill
        processes under seccomp here (see kernel.filtered), so those are left alone. With `hold`
        what AI connections write is told before the library has it, and their sockets are held for
        so many seconds at most.
        """
        self._refuses = spare_filtered and way != "session"
        self._holds = hold is not None
        self.shared, self._way = shared, way
        self._links: dict[int, list[Link]] = {}
        self._object = shared.open("tls")
        if hold:
            hold.lend(self._object)
        for program, at_return in PROGRAMS.items():
            self._choose(program, at_return)
        if way != "session":
            self._choose(_RETURN_PROGRAM, False)
        self._object.settings(
            records.SETTINGS.pack(
                max_call_bytes,
                undecided_bytes,
                int(hold_seconds * 1_000_000_000) if hold else 0,
                os.getpid(),
                spare_filtered,
            )
        )
        self._object.load()
        self._verdicts = self._object.map("verdicts")
        self._random_paths = self._object.map("random_paths")
        self._always = [self._object.attach("thread_exit")]
        self._sees_calls = False

    def _choose(self, program: str, at_return: bool) -> None:
        if self._way == "session" and at_return:
            self._object.autoload(program + SESSION_SUFFIX, True)
            self._object.attach_type(program + SESSION_SUFFIX, TRACE_UPROBE_SESSION)
            return
        program = self._twin(program)
        self._object.autoload(program, True)
        if self._way != "perf":
            self._object.attach_type(program, TRACE_UPROBE_MULTI)

    def _twin(self, program: str) -> str:
        return program + _HELD_SUFFIX if self._holds and program in _HOLDING else program

    def attach(self, target: Target, cookie: int) -> None:
        """Probe a file in every process that maps it; `cookie` comes back in its records.

        A cookie is used once. All or nothing. Raises BpfError.
        """
        if self._refuses:
            # Without sessions the kernel prepares the return before a program could object.
            raise BpfError(KILLS_FILTERED, errno.EOPNOTSUPP)
        path = f"/proc/self/fd/{target.fd}"
        with contextlib.ExitStack() as undo:
            if target.random_path is not None:
                self._random_paths.update(_cookie_key(cookie), _packed(target.random_path))
                undo.callback(self._random_paths.delete, _cookie_key(cookie))
            if not self._sees_calls and any(p.program in AEAD_PROGRAMS for p in target.places):
                # From now on, whatever becomes of this file.
                self._always.append(self._object.attach("aead_call"))
                self._sees_calls = True
            links = []
            for place in target.places:
                for link in self._attach(path, place, cookie):
                    undo.callback(link.close)
                    links.append(link)
            undo.pop_all()
        self._links[cookie] = links

    def detach_target(self, cookie: int) -> None:
        """Remove the probes of a file; with perf events that takes about a second."""
        for link in self._links.pop(cookie, []):
            with contextlib.suppress(BpfError, OSError):
                link.close()
        self._random_paths.delete(_cookie_key(cookie))

    def _attach(self, path: str, place: Place, cookie: int) -> list[Link]:
        attach = self._object.attach_uprobe_multi
        program, offset = self._twin(place.program), place.offset
        at_return = self._twin(_RETURN_PROGRAM)
        if self._way == "perf":
            entry = [self._object.attach_uprobe(program, path, offset, cookie=cookie)]
            if place.at_return:
                entry.append(
                    self._object.attach_uprobe(
                        at_return, path, offset, at_return=True, cookie=cookie
                    )
                )
            return entry
        if not place.at_return:
            return [attach(program, path, [offset], cookie=cookie)]
        if self._way == "session":
            name = place.program + SESSION_SUFFIX
            kind = TRACE_UPROBE_SESSION
            return [attach(name, path, [offset], attach_type=kind, cookie=cookie)]
        # The return probe first: an entry without its return would leave a call remembered.
        return [
            attach(at_return, path, [offset], at_return=True, cookie=cookie),
            attach(program, path, [offset], cookie=cookie),
        ]

    def lend(self, borrower: BpfObject) -> None:
        """Have another object, not loaded yet, obey `mute` and `want`. Raises BpfError."""
        borrower.borrow("verdicts", self._verdicts)

    def mute(self, key: ConnectionKey) -> None:
        """Tell the kernel that a connection is of no interest. Raises BpfError."""
        self._judge(key, Verdict.MUTED)

    def want(self, key: ConnectionKey) -> None:
        """Tell the kernel that all of a connection is of interest. Raises BpfError."""
        self._judge(key, Verdict.WANTED)

    def _judge(self, key: ConnectionKey, verdict: Verdict) -> None:
        self._verdicts.update(
            records.CONNECTION_ID.pack(key.connection, key.pid),
            records.JUDGEMENT.pack(key.since_ns, verdict),
        )

    def detach(self) -> None:
        """Remove all probes; what the ring holds can still be read."""
        for cookie in list(self._links):
            self.detach_target(cookie)
        for link in self._always:
            link.close()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()


def _cookie_key(cookie: int) -> bytes:
    return struct.pack("<Q", cookie)


def _packed(path: RandomPath) -> bytes:
    zero, pointer, bio = (
        records.NO_OFFSET if n is None else n for n in (path.zero, path.pointer, path.bio)
    )
    return records.RANDOM_PATH.pack(zero, pointer, path.offset, bio)
