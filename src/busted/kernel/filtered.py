"""Whether a return probe kills a process under a seccomp filter, on this kernel.

From Linux 6.11 on, a probed function returns on x86-64 through a system call made for that. A
filter that does not know it ends the process, until Linux 6.14 let it pass all filters (commit
cf6cb56ef244, "seccomp: passthrough uretprobe systemcall without filtering"). Distributions took
that over or not, so where the version leaves it open it is tried: on a child of ours, whose
filter forbids that call alone.

The caller spares such processes where a session probe lets it (Linux 6.13), and sets no return
probes where not. Entry probes are harmless everywhere.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

from busted.kernel.elf import ElfFile
from busted.kernel.libbpf import LIBRARY, BpfObject
from busted.kernel.shared import object_path

# The kernels with the call and, as far as their version says, without its passage.
_FIRST, _REPAIRED = (6, 11), (6, 14)
# A function of a library that we have anyway, without arguments or effect.
_FUNCTION = "libbpf_version_string"
# Python starts in a tenth of this.
_SECONDS = 10.0

# struct sock_filter and SECCOMP_RET_* of linux/filter.h and linux/seccomp.h; 335 is uretprobe(2),
# 38 is PR_SET_NO_NEW_PRIVS, 22 and 2 are PR_SET_SECCOMP and SECCOMP_MODE_FILTER.
_CHILD = f"""
import ctypes, struct, sys
libc, library = ctypes.CDLL(None), ctypes.CDLL({LIBRARY!r})
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 335), (6, 0, 0, 0x80000000), (6, 0, 0, 0x7fff0000)]
filter = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *row) for row in code))
program = struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(filter))
line = next(line for line in open("/proc/self/maps") if {LIBRARY.partition(".so")[0]!r} in line)
print(line.split(maxsplit=5)[5], end="", flush=True)
sys.stdin.readline()
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):
    sys.exit(1)
library.{_FUNCTION}()
print("alive")
"""


def return_probes_kill(machine: str | None = None, release: str | None = None) -> bool:
    """Tell whether processes under seccomp filters must be spared; needs privileges.

    The arguments are for tests: what `platform` says of a machine and its kernel.
    """
    if (machine or platform.machine()) != "x86_64":
        return False
    version = re.match(r"(\d+)\.(\d+)", release or platform.release())
    if version is None or not _FIRST <= (int(version[1]), int(version[2])) < _REPAIRED:
        return False
    return not survives()


def survives() -> bool:
    """Return-probe a child of ours under a filter; tell whether it lives. Raises BpfError."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        path = child.stdout.readline().rstrip("\n")
        trial = BpfObject(object_path("trial"))
        try:
            trial.autoload("trial_return", True)
            trial.load()
            with Path(path).open("rb") as file:
                offset = ElfFile(file.fileno()).functions([_FUNCTION])[_FUNCTION]
            link = trial.attach_uprobe("trial_return", path, offset, at_return=True, pid=child.pid)
            try:
                said, _ = child.communicate("\n", timeout=_SECONDS)
            finally:
                link.close()
        finally:
            trial.close()
            child.kill()
        return said == "alive\n"
