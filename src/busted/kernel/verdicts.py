"""Connections that the kernel refuses: verdicts on where a process or an agent may not connect to.

Programs at the root of the cgroups look every connect(2) up in a table that this module fills
(bpf/enforce.bpf.c). A verdict carries its end, so that nothing is refused for longer than policy
said, whatever becomes of the monitor; and the programs hang on links, which go with the process.
Programs of others at the same place stay, and what they refuse stays refused.

Where there is no root of the cgroups, the LSM hook stands for them, if the kernel has it. Refusing
takes no privileges once this is loaded: a monitor that gave its privileges up still does it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from busted import records
from busted.kernel.libbpf import BpfError, BpfObject, Link
from busted.kernel.names import MOUNTS, open_root
from busted.kernel.shared import SharedMaps
from busted.records import ProcessKey

# Programs of bpf/enforce.bpf.c, and what is not refused without each.
_AT_CGROUPS = {
    "enforce_connect4": "IPv4 connections",
    "enforce_connect6": "IPv6 connections",
    "enforce_sendmsg4": "unconnected datagrams over IPv4",
    "enforce_sendmsg6": "unconnected datagrams over IPv6",
}
_LSM = "enforce_lsm"
_ANYWHERE = bytes(16)


class ConnectVerdict(msgspec.Struct, frozen=True):
    """Who may not connect where.

    `process` is an agent, with all that it starts, or a process that belongs to none; None is
    anybody. `address` has 16 bytes, IPv4 as IPv4-mapped IPv6, and is that of the network namespace
    whose cookie `netns` is; None, which takes a process, is anywhere.
    """

    process: ProcessKey | None = None
    address: bytes | None = None
    port: int = 0
    netns: int = 0


class ConnectVerdicts:
    """The loaded programs and their table. Raises OSError when nothing of it works here.

    `left_out` says which programs could not be attached, and why.
    """

    def __init__(
        self, shared: SharedMaps, *, link_local: bool = False, mounts: Path = MOUNTS
    ) -> None:
        """Load and attach. `link_local`: verdicts may be about addresses of the link, too."""
        self.left_out: dict[str, str] = {}
        self._links: list[Link] = []
        self._until: dict[bytes, int] = {}
        self._refused_before = 0
        self.at_cgroups = True
        """Whether the programs are at the root of the cgroups; else it is the LSM hook."""
        try:
            root = open_root(mounts)
        except OSError as error:
            self.at_cgroups = False
            reason = error.strerror or str(error)
            self.left_out = {name: f"{what}: {reason}" for name, what in _AT_CGROUPS.items()}
            self.any_error = True
            self._object = _load(shared, [_LSM], link_local, any_error=True)
            self._attach_lsm()
        else:
            try:
                self._load_for_cgroups(shared, link_local)
                self._attach(root)
            finally:
                os.close(root)
        self._verdicts = self._object.map("connect_verdicts")

    def _load_for_cgroups(self, shared: SharedMaps, link_local: bool) -> None:
        try:
            # Before Linux 6.1 these programs cannot say which error it is.
            self._object = _load(shared, _AT_CGROUPS, link_local, any_error=True)
            self.any_error = True
        except BpfError:
            self._object = _load(shared, _AT_CGROUPS, link_local, any_error=False)
            self.any_error = False

    def _attach(self, root: int) -> None:
        for program, what in _AT_CGROUPS.items():
            try:
                self._links.append(self._object.attach_cgroup(program, root))
            except OSError as error:
                self.left_out[program] = f"{what}: {error.strerror}"
                last = error
        if not self._links:
            self._object.close()
            raise last

    def _attach_lsm(self) -> None:
        try:
            self._links.append(self._object.attach(_LSM))
        except OSError:
            self._object.close()
            raise

    def deny(self, verdict: ConnectVerdict, until_ns: int, error: int = errno.EPERM) -> None:
        """Refuse from now until then, on CLOCK_MONOTONIC, with an errno. Raises BpfError.

        ENOSPC is a full table. Kernels before Linux 6.1 always say EPERM. One that is there is
        given its new end.
        """
        key = _key(verdict)
        known = self._verdicts.lookup(key)
        refused = self._refused(known) if known else 0
        start_ns = verdict.process.start_ns if verdict.process else 0
        self._verdicts.update(
            key, records.CONNECT_VERDICT.pack(until_ns, start_ns, refused, 0, error)
        )
        self._until[key] = until_ns

    def allow(self, verdict: ConnectVerdict) -> None:
        """Take a verdict back, if it is there."""
        self._drop(_key(verdict))

    def clear(self) -> None:
        """Take all verdicts back."""
        for key in list(self._until):
            self._drop(key)

    def expire(self, now_ns: int) -> None:
        """Make room: let go of what means nothing any more."""
        for key, until_ns in list(self._until.items()):
            if until_ns <= now_ns:
                self._drop(key)

    def refused(self) -> int:
        """Return how often a connection was refused so far. Raises BpfError."""
        return self._refused_before + sum(
            self._refused(value) for key in self._until if (value := self._verdicts.lookup(key))
        )

    def count(self) -> int:
        """Return how many verdicts there are, those whose end has come included until `expire`."""
        return len(self._until)

    def _drop(self, key: bytes) -> None:
        if self._until.pop(key, None) is None:
            return
        with contextlib.suppress(BpfError):
            if value := self._verdicts.lookup(key):
                self._refused_before += self._refused(value)
        self._verdicts.delete(key)

    def _refused(self, value: bytes) -> int:
        _, _, refused, *_ = records.CONNECT_VERDICT.unpack_from(value)
        return int(refused)

    def detach(self) -> None:
        """Remove the programs: nothing is refused any more."""
        for link in self._links:
            link.close()
        self._links.clear()

    def close(self) -> None:
        """Detach and unload everything."""
        self.detach()
        self._object.close()


def _load(
    shared: SharedMaps, programs: Iterable[str], link_local: bool, *, any_error: bool
) -> BpfObject:
    loaded = shared.open("enforce")
    try:
        for program in programs:
            loaded.autoload(program, True)
        loaded.settings(records.ENFORCE_SETTINGS.pack(os.getpid(), link_local, any_error))
        loaded.load()
    except OSError:
        loaded.close()
        raise
    return loaded


def _key(verdict: ConnectVerdict) -> bytes:
    pid = verdict.process.pid if verdict.process else 0
    if verdict.address is None:
        if not pid:
            raise ValueError("a verdict on anywhere is about a process")
        return records.CONNECT_KEY.pack(0, _ANYWHERE, pid, 0)
    return records.CONNECT_KEY.pack(verdict.netns, verdict.address, pid, verdict.port)
