"""What the monitor may do, what each capability is for, and how those not needed are given up.

One table serves all who ask: the monitor before it starts, `busted doctor`, docs/privileges.md,
and the lock-down after the start. A thread has its own capabilities: they are dropped before any
other thread is there, and later ones inherit what is left.

Reference: capabilities(7); linux/capability.h; capset(2); prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Collection
from pathlib import Path

import msgspec

# linux/capability.h, in the order of their numbers.
CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID"),
        *("SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST"),
        *("NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO"),
        *("SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
        *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE"),
        *("AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM"),
        *("BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"),
    )
)

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522


class Privilege(msgspec.Struct, frozen=True):
    """One capability: what it is needed for, and what is lost without it.

    `required`: nothing works without. `kept`: hooking libraries that are mapped later needs it.
    `until` is the kernel from which on it is not needed any more.
    """

    name: str
    needed_for: str
    without: str
    required: bool = False
    kept: bool = True
    until: str = ""


PRIVILEGES = (
    Privilege("CAP_BPF", "loading eBPF programs and making maps", "no monitor", required=True),
    Privilege(
        "CAP_PERFMON",
        "programs that trace, and the watch for new programs and libraries",
        "no monitor",
        required=True,
        kept=False,
    ),
    Privilege(
        "CAP_SYS_PTRACE",
        "looking into other users' processes and containers (/proc/PID/root, maps, exe)",
        "programs of other users, and in containers, are not hooked",
    ),
    Privilege(
        "CAP_DAC_READ_SEARCH",
        "reading libraries in directories that are closed to others",
        "libraries in such directories are not hooked",
    ),
    Privilege(
        "CAP_CHECKPOINT_RESTORE",
        "opening mapped files that have no path any more (/proc/PID/map_files)",
        "libraries that were replaced while in use are not hooked",
    ),
    Privilege(
        "CAP_NET_ADMIN",
        "programs that see sockets and packets of control groups",
        "no addresses, no names from the wire",
        kept=False,
    ),
    Privilege(
        "CAP_SYS_ADMIN",
        "uprobes through perf events",
        "no library is hooked",
        until="6.6",
    ),
    Privilege(
        "CAP_SYS_RESOURCE",
        "lifting the limit of locked memory, which maps count against",
        "no monitor where that limit is low",
        kept=False,
        until="5.11",
    ),
)

# capabilities(7): each was split off from CAP_SYS_ADMIN, which still stands for it.
_SPLIT_OFF = frozenset({"CAP_BPF", "CAP_PERFMON", "CAP_CHECKPOINT_RESTORE"})


def held(names: Collection[str], capability: str) -> bool:
    """Tell whether these capabilities allow what this one allows."""
    return capability in names or (capability in _SPLIT_OFF and "CAP_SYS_ADMIN" in names)


def names_of(mask: int) -> frozenset[str]:
    """Return the capabilities in a mask as /proc/PID/status has it; unknown ones are left out."""
    return frozenset(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)


def capabilities(which: str = "CapEff", status: Path = Path("/proc/self/status")) -> frozenset[str]:
    """Return one of a process's sets of capabilities. Raises OSError or ValueError."""
    for line in status.read_text(errors="replace").splitlines():
        name, _, mask = line.partition(":")
        if name == which:
            return names_of(int(mask, 16))
    raise ValueError(f"no {which} in {status}")


def kept(*, by_perf_events: bool) -> frozenset[str]:
    """Return what the monitor keeps once it watches, by the way in which it sets its probes."""
    by_way = {"CAP_PERFMON", "CAP_SYS_ADMIN"}
    names = {privilege.name for privilege in PRIVILEGES if privilege.kept} - by_way
    return frozenset(names | by_way if by_perf_events else names)


def keep_only(names: Collection[str]) -> None:
    """Give up all other capabilities of this thread, and the means to get any back.

    The bounding set takes CAP_SETPCAP to change; without it, no_new_privs alone stands between
    a program that this one would start and more privileges. Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    mask = sum(1 << CAPABILITIES.index(name) for name in names)
    if "CAP_SETPCAP" in capabilities():
        for bit in range(_last_capability() + 1):
            if not mask >> bit & 1:
                _checked(libc.prctl(_PR_CAPBSET_DROP, bit, 0, 0, 0), "bounding set")
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    mask &= _permitted()
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    # Effective, permitted, inheritable, twice 32 bits. An empty inheritable set empties the
    # ambient one (capabilities(7)).
    sets = struct.pack("<6I", low, low, 0, high, high, 0)
    _checked(libc.capset(header, sets), "capset")


def _permitted() -> int:
    return sum(1 << CAPABILITIES.index(name) for name in capabilities("CapPrm"))


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
