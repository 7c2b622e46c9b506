"""Runs the `busted` command with the given capabilities and no others, as another user.

Usage: python -m tests.kernel.launch CAP_BPF,CAP_PERFMON monitor --duration 1
       python -m tests.kernel.launch --refused      what a locked-down process is refused

All modules are loaded before: the interpreter itself may lie where that user cannot read.
"""

from __future__ import annotations

import codecs
import ctypes
import json
import os
import subprocess
import sys

from busted.cli import doctor, monitor
from busted.cli.main import main
from busted.kernel import lockdown, privileges

NOBODY = 65534
_PR_SET_KEEPCAPS = 8
# Both are open to everybody, root or not.
_PTRACE_TRACEME, _CLONE_NEWUSER = 0, 0x10000000


def become_nobody(names: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    privileges.keep_only(names)


def refused() -> dict[str, str]:
    """Lock this process down and try what it must not be able to do, and what it must."""
    lockdown.lock_down(by_perf_events=False)
    libc = ctypes.CDLL(None, use_errno=True)
    answers = {}
    for name, argument in (("ptrace", _PTRACE_TRACEME), ("unshare", _CLONE_NEWUSER)):
        result = getattr(libc, name)(argument, 0, None, None)
        answers[name] = os.strerror(ctypes.get_errno()) if result < 0 else "allowed"
    try:
        subprocess.run(["/bin/true"])
        answers["execve"] = "allowed"
    except OSError as error:
        answers["execve"] = error.strerror or ""
    child = os.fork()
    if not child:
        os._exit(7)
    answers["fork"] = str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return answers


if __name__ == "__main__":
    if sys.argv[1] == "--refused":
        print(json.dumps(refused()))
    else:
        assert doctor and monitor  # loaded here
        codecs.lookup("unicode_escape")  # of paths in /proc/mounts
        become_nobody([name for name in sys.argv[1].split(",") if name])
        main(sys.argv[2:], prog_name="busted")
