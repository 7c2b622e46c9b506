"""What of the loader needs no kernel."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

from busted.kernel.libbpf import give_back_memory


def resident_bytes() -> int:
    match = re.search(r"^RssAnon:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) * 1024


def test_memory_that_is_free_below_what_is_used_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    block, count = 8192, 2000
    blocks = [libc.malloc(block) for _ in range(count)]
    for address in blocks:
        ctypes.memset(address, 1, block)
    last = blocks.pop()
    try:
        for address in blocks:
            libc.free(address)
        before = resident_bytes()
        give_back_memory()
        assert before - resident_bytes() > block * count // 2
    finally:
        libc.free(last)
