"""`python -m benchmarks.produce FD`: runs the producer's program, inherited as FD, until ended."""

from __future__ import annotations

import ctypes
import sys

from busted.kernel.libbpf import bpf_system_call

# enum bpf_cmd in linux/bpf.h; the older name of BPF_PROG_RUN.
_PROG_TEST_RUN = 10


class _TestRun(ctypes.Structure):
    """The `test` part of union bpf_attr; a SEC("syscall") program takes nothing else."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_sizes", ctypes.c_uint32 * 2),
        ("data", ctypes.c_uint64 * 2),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("context_sizes", ctypes.c_uint32 * 2),
        ("context", ctypes.c_uint64 * 2),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
    )


def main() -> None:
    run = _TestRun(prog_fd=int(sys.argv[1]))
    while True:
        bpf_system_call(_PROG_TEST_RUN, run)


if __name__ == "__main__":
    main()
