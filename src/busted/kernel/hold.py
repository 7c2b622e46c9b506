"""Holding what connections send until it is decided: the program at the sockets and its maps.

The TLS programs borrow the maps and say what is held; this side says what is allowed. A socket is
known by its cookie, which no other socket gets until the host restarts, so an entry that outlives
its socket means nothing. Nothing is held by an entry alone: the program hangs on a link, which goes
when the processes do that have its descriptor, however they end, and TCP then sends what it kept.
Where that must not be, a process beside the monitor has it too, and ends what is undecided first.

Left out: sockets whose ClientHello was sent before the program was attached.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path

import msgspec

from busted import records
from busted.kernel.destroy import TcpConnection
from busted.kernel.libbpf import BpfObject, Link, map_entries
from busted.kernel.names import MOUNTS, open_root
from busted.kernel.shared import SharedMaps
from busted.records import hash_word

_MAPS = ("holds", "permissions", "hello_sockets", "held_names")
_ALL = (1 << 64) - 1
_KEY = struct.Struct("<Q")


class Limits(msgspec.Struct, frozen=True):
    """How much the kernel side remembers; what finds no room is not held, and counted."""

    # As many as TLS connections are followed (the `connections` map of bpf/tls.bpf.c).
    sockets: int = 16384
    # Those of connections whose first write is to come; the one seen longest ago makes room.
    hellos: int = 16384
    # A few hundred rows of providers, and those that an operator adds.
    names: int = 4096


class Held(msgspec.Struct, frozen=True):
    """Packets of a socket: dropped, to be sent again, and sent undecided when time was over."""

    dropped: int
    passed: int


class HoldPrograms:
    """The loaded program, attached at the root of the cgroups. Raises OSError."""

    def __init__(
        self,
        shared: SharedMaps,
        *,
        fails_open: bool,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        mounts: Path = MOUNTS,
    ) -> None:
        """Load and attach; with `fails_open` what is undecided after its time is sent after all."""
        root = open_root(mounts)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, root)
            self._object = shared.open("hold")
            failed = undo.enter_context(contextlib.ExitStack())
            failed.callback(self._object.close)
            for name in ("holds", "permissions"):
                self._object.max_entries(name, limits.sockets)
            self._object.max_entries("hello_sockets", limits.hellos)
            self._object.max_entries("held_names", limits.names)
            self._object.settings(records.HOLD_SETTINGS.pack(fails_open))
            self._object.load()
            self._maps = {name: self._object.map(name) for name in _MAPS}
            self._link: Link = self._object.attach_cgroup("hold_sent", root)
            failed.pop_all()

    def lend(self, borrower: BpfObject) -> None:
        """Have another object, not loaded yet, use these maps. Raises BpfError."""
        for name, shared in self._maps.items():
            borrower.borrow(name, shared)

    def hold_names(self, patterns: Iterable[str]) -> None:
        """Have connections to hosts held from their first byte on, whoever opens them.

        A pattern is one of `classifier.providers.HostPattern`; more may be held than it says, never
        less. Raises BpfError when there are too many.
        """
        for pattern in patterns:
            self._maps["held_names"].update(held_name(pattern), bytes(4))

    def allow(self, cookie: int, position: int | None = None) -> None:
        """Let pass what was written up to a position, by default all, for good. Raises BpfError."""
        self._permit(cookie, _ALL if position is None else position, denied=False)

    def deny(self, cookie: int) -> None:
        """Let nothing pass any more. Raises BpfError."""
        self._permit(cookie, 0, denied=True)

    def _permit(self, cookie: int, position: int, *, denied: bool) -> None:
        value = records.PERMISSION.pack(position, denied)
        self._maps["permissions"].update(_key(cookie), value)

    def look(self, cookie: int) -> Held:
        """Return what became of what a socket sent while it was held. Raises BpfError."""
        raw = self._maps["holds"].lookup(_key(cookie))
        if raw is None:
            return Held(0, 0)
        _, _, dropped, passed, *_ = records.HOLD.unpack_from(raw)
        return Held(dropped, passed)

    def forget(self, cookie: int) -> None:
        """Let a socket be, which is never held again; for one that is closed."""
        for name in ("holds", "permissions"):
            # Held without a permission would be held, and a permission without a hold is nothing.
            self._maps[name].delete(_key(cookie))

    @property
    def kept(self) -> tuple[int, int, int]:
        """The descriptors of the link and of two maps, for a process that outlives this one."""
        return self._link.fd, self._maps["holds"].fd, self._maps["permissions"].fd

    def detach(self) -> None:
        """Hold nothing any more."""
        self._link.close()

    def close(self) -> None:
        """Detach and unload; to be called when no other object uses the maps."""
        self.detach()
        self._object.close()


def undecided(holds_fd: int, permissions_fd: int) -> list[tuple[TcpConnection, int]]:
    """Return the connections that are held, or denied, by the maps' descriptors, with a process."""
    allowed = {}
    for key, raw in map_entries(permissions_fd, _KEY.size, records.PERMISSION.size):
        position, denied = records.PERMISSION.unpack_from(raw)
        allowed[key] = -1 if denied else position
    found = []
    for key, raw in map_entries(holds_fd, _KEY.size, records.HOLD.size):
        (
            position, _, _, _, cookie, local_port, remote_port, local, remote, pid,
        ) = records.HOLD.unpack_from(raw)  # fmt: skip
        if allowed.get(key, -1) < position:
            found.append((TcpConnection(local, local_port, remote, remote_port, cookie), pid))
    return found


def held_name(pattern: str) -> bytes:
    """Return the key under which the kernel side finds the hosts of a pattern.

    It knows the end of a name, from a dot or hyphen on, and its first label.
    """
    before, star, after = pattern.partition("*")
    first = before.removesuffix(".") if before.endswith(".") else ""
    if "." in first:
        first = ""
    end = after[1:] if after[:1] in (".", "-") else after.partition(".")[2] if star else pattern
    return records.HELD_NAME.pack(hash_word(first.encode()), hash_word(end[::-1].encode()))


def _key(cookie: int) -> bytes:
    return _KEY.pack(cookie)
