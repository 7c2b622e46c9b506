"""Reading the kernel's buffers of new mappings, over images made by hand."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from busted.kernel import mappings
from busted.kernel.mappings import MappingWatch
from busted.kernel.targets import Mapping
from tests.unit.kernel.perf_bytes import SIZE, Buffer

LOST, COMM, MMAP2 = 2, 3, 10


class Mappings(Buffer):
    """One that tells of mappings."""

    def map(self, path: bytes, *, pid: int = 7, inode: int = 12) -> None:
        record = struct.pack(
            "<IIQQQIIQQII", pid, pid + 1, 0x7F00_0000_1000, 0x2000, 0, 0xFE, 1, inode, 3, 5, 2
        )  # fmt: skip
        self.add(MMAP2, record + path + bytes(8 - len(path) % 8))


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> list[Mappings]:
    made = [Mappings(), Mappings()]
    monkeypatch.setattr(mappings, "online_cpus", lambda: range(2))
    monkeypatch.setattr(mappings, "open_event", lambda cpu, *_, **__: made[cpu].fd)
    return made


@pytest.fixture
def watch(buffers: list[Mappings]) -> Iterator[MappingWatch]:
    watch = MappingWatch(SIZE)
    yield watch
    watch.close()


def mapped(path: str) -> Mapping:
    return Mapping(7, "7f0000001000-7f0000003000", "fe:01", 12, path)


def test_mappings_of_all_processors_come_once(watch: MappingWatch, buffers: list[Mappings]) -> None:
    buffers[0].map(b"/usr/bin/curl")
    buffers[0].map(b"/usr/lib/libssl.so.3")
    buffers[1].map(b"/opt/node")
    assert watch.read() == [
        mapped("/usr/bin/curl"), mapped("/usr/lib/libssl.so.3"), mapped("/opt/node")
    ]  # fmt: skip
    assert watch.read() == []
    assert not watch.missed


def test_the_kernel_is_told_what_was_taken(watch: MappingWatch, buffers: list[Mappings]) -> None:
    buffers[0].map(b"/a")
    watch.read()
    assert buffers[0].tail == buffers[0].head


@pytest.mark.parametrize("before_the_end", range(0, 120, 8))
def test_a_record_that_wraps_around_reads_as_one(
    watch: MappingWatch, buffers: list[Mappings], before_the_end: int
) -> None:
    buffers[0].start_at(3 * SIZE - before_the_end)
    buffers[0].map(b"/usr/lib/libssl.so.3")
    buffers[0].map(b"/b")
    assert watch.read() == [mapped("/usr/lib/libssl.so.3"), mapped("/b")]


@pytest.mark.parametrize("path", [b"//anon", b"[vdso]", b"anon_inode:[perf_event]", b""])
def test_memory_without_a_file_is_left_out(
    watch: MappingWatch, buffers: list[Mappings], path: bytes
) -> None:
    buffers[0].map(path, inode=0)
    assert watch.read() == []


def test_paths_of_odd_bytes_come_back_as_those_bytes(
    watch: MappingWatch, buffers: list[Mappings]
) -> None:
    buffers[0].map(b"/tmp/a b\n\xff (deleted)")
    (mapping,) = watch.read()
    assert os.fsencode(mapping.path) == b"/tmp/a b\n\xff (deleted)"


def test_records_of_other_kinds_are_skipped(watch: MappingWatch, buffers: list[Mappings]) -> None:
    buffers[0].add(COMM, struct.pack("<II8s", 7, 7, b"curl"))
    buffers[0].map(b"/a")
    assert watch.read() == [mapped("/a")]


def test_what_the_kernel_lost_is_counted_and_asks_for_a_look_at_all_processes(
    watch: MappingWatch, buffers: list[Mappings]
) -> None:
    buffers[1].add(LOST, struct.pack("<QQ", 1, 5))
    buffers[1].map(b"/a")
    assert watch.read() == [mapped("/a")]
    assert (watch.lost, watch.missed) == (5, True)
    buffers[1].add(LOST, struct.pack("<QQ", 1, 2))
    watch.read()
    assert watch.lost == 7


def test_a_full_buffer_asks_for_it_before_the_kernel_tells_of_a_loss(
    watch: MappingWatch, buffers: list[Mappings]
) -> None:
    path = b"/" + b"d" * 1000
    while buffers[0].head < SIZE - 4000:
        buffers[0].map(path)
    watch.read()
    assert (watch.lost, watch.missed) == (0, True)
    watch.missed = False
    buffers[0].map(b"/a")
    watch.read()
    assert not watch.missed


def test_a_watch_that_is_closed_reads_nothing(buffers: list[Mappings]) -> None:
    watch = MappingWatch(SIZE)
    buffers[0].map(b"/a")
    watch.close()
    assert watch.read() == []
    assert watch.fds == []


def test_a_refusal_by_one_processor_leaves_nothing_open(
    buffers: list[Mappings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(cpu: int, *_: int, **__: int) -> int:
        if cpu == 1:
            raise PermissionError(1, "watching for new mappings")
        return buffers[cpu].fd

    monkeypatch.setattr(mappings, "open_event", refuse)
    with pytest.raises(PermissionError):
        MappingWatch(SIZE)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(buffers[0].fd)
    os.close(buffers[1].fd)
