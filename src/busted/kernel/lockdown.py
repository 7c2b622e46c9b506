"""A seccomp filter: system calls that the monitor never needs are refused for good.

A list of what is refused, not of what is allowed: the interpreter, its libraries and the C
library change what they call with every version, and a monitor that dies of an update watches
nothing. Refused is what would turn a hole in a parser of foreign bytes into more: running
programs, other processes' memory, mounts and namespaces, kernel modules, the clock, other users,
new eBPF programs. A refused call fails with EPERM.

Child processes may be forked but not run another program: what needs one is started before.

Left out: Landlock. A process in a Landlock domain may not look into processes outside of it
(Documentation/userspace-api/landlock.rst, "Ptrace restrictions"), which is how libraries in
containers are found. And libseccomp, whose Python binding on PyPI has rested since 2021.

Reference: seccomp(2); Documentation/userspace-api/seccomp_filter.rst; linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Collection
from pathlib import Path

from busted.kernel import privileges

# system call: its number on x86_64 and on aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
REFUSED = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "personality": (135, 92),
    "mknodat": (259, 33),
    "open_by_handle_at": (304, 265),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "setuid": (105, 146),
    "setreuid": (113, 145),
    "setresuid": (117, 147),
    "setfsuid": (122, 151),
    "setgid": (106, 144),
    "setregid": (114, 143),
    "setresgid": (119, 149),
    "setfsgid": (123, 152),
    "setgroups": (116, 159),
    "capset": (126, 91),
}
# Those that only x86_64 has: before the *at family, and ports of the processor.
_REFUSED_X86_64 = (133, 172, 173)  # mknod, iopl, ioperm

_MACHINES = ("x86_64", "aarch64")
_ARCHITECTURE = (0xC000003E, 0xC00000B7)  # linux/audit.h
_BPF, _CLONE, _SECCOMP = (321, 280), (56, 220), (317, 277)
_CLONE3 = 435
# x32 calls have this bit, and numbers of their own (asm/unistd.h).
_X32 = 0x40000000
# New namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h).
_NEW_NAMESPACES = 0x7E020000
# linux/bpf.h: what makes or keeps something new in the kernel.
_MAP_CREATE, _PROG_LOAD, _OBJ_PIN = 0, 5, 6

_INSTRUCTION = struct.Struct("<HBBI")
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


def lock_down(*, by_perf_events: bool) -> None:
    """Keep only the privileges that watching takes, and refuse what watching never does.

    To be called by the only thread, when all programs are loaded and all outputs are open.
    `by_perf_events`: probes are set through perf events, for which libbpf loads programs of its
    own. Raises OSError where the kernel does not have it.
    """
    kept = privileges.kept(by_perf_events=by_perf_events)
    keep_only(kept, filter_program(platform.machine(), loads_programs=by_perf_events))


def keep_only(capabilities: Collection[str], filter: bytes) -> None:
    """Keep these capabilities alone, behind a filter; by the only thread. Raises OSError."""
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise RuntimeError("other threads would keep their privileges")
    privileges.keep_only(capabilities)
    _install(filter)


def filter_program(machine: str, *, loads_programs: bool, allowed: Collection[str] = ()) -> bytes:
    """Return the filter as an array of `struct sock_filter`; `machine` as platform.machine().

    `allowed` are system calls that are refused otherwise.
    """
    column = _MACHINES.index(machine)
    numbers = [numbers[column] for name, numbers in REFUSED.items() if name not in allowed]
    if machine == "x86_64":
        numbers += _REFUSED_X86_64
    commands = [_OBJ_PIN] if loads_programs else [_MAP_CREATE, _PROG_LOAD, _OBJ_PIN]
    refuse = _FAIL | errno.EPERM
    parts = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURE[column]),
        (_RETURN, 0, 0, refuse),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, refuse),
    ]
    for number in numbers:
        parts += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, refuse)]
    # Its flags are behind a pointer; the C library takes clone() where there is no clone3().
    parts += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    parts += [
        (_EQUAL, 0, 4, _CLONE[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_ANY_BIT, 0, 1, _NEW_NAMESPACES),
        (_RETURN, 0, 0, refuse),
        (_RETURN, 0, 0, _ALLOW),
    ]
    parts += [(_EQUAL, 0, 1 + 2 * len(commands), _BPF[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
    for command in commands:
        parts += [(_EQUAL, 0, 1, command), (_RETURN, 0, 0, refuse)]
    parts.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_INSTRUCTION.pack(*part) for part in parts)


def _install(program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog
    filters = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SECCOMP[_MACHINES.index(platform.machine())]
    if libc.syscall(number, _SET_MODE_FILTER, _ALL_THREADS, filters) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"seccomp: {os.strerror(error)}")
