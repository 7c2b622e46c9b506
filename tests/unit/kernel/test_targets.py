"""Reading /proc/PID/maps and choosing files, over made-up process directories."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.kernel.targets import (
    Identity,
    Mapping,
    Target,
    Targets,
    file_identity,
    mappings,
    running_processes,
)
from tests.unit.kernel.elf_bytes import elf

TLS = elf(bytes(64), {"SSL_write": 0, "SSL_read": 16})
SPAN = "7f0000000000-7f0000010000"


def line(path: str, *, span: str = SPAN, access: str = "r-xp", inode: int = 12) -> str:
    return f"{span} {access} 00001000 fe:00 {inode}".ljust(73) + path + "\n"


class Processes:
    """A made-up /proc whose processes map real files."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        self.proc.mkdir()
        self.targets = Targets("x86_64", self.proc)

    def maps(self, pid: int, text: str | bytes) -> None:
        directory = self.proc / str(pid)
        (directory / "map_files").mkdir(parents=True, exist_ok=True)
        (directory / "root").symlink_to("/")
        (directory / "maps").write_bytes(text.encode() if isinstance(text, str) else text)

    def map(self, pid: int, file: Path, *, by_address: bool = True) -> Mapping:
        """Let the process map `file`, and return the mapping as maps tells it."""
        self.maps(pid, line(str(file), inode=file.stat().st_ino))
        if by_address:
            os.link(file, self.proc / str(pid) / "map_files" / SPAN)
        (mapping,) = mappings(pid, self.proc)
        return mapping

    def examine(self, mapping: Mapping) -> Target | None:
        target = self.targets.examine(mapping)
        if target is not None:
            target.close()
        return target


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "libssl.so.3"
    path.write_bytes(TLS)
    return path


def identity(file: Path) -> Identity:
    fd = os.open(file, os.O_RDONLY)
    try:
        return file_identity(fd)
    finally:
        os.close(fd)


def read(processes: Processes, text: str | bytes) -> list[Mapping]:
    processes.maps(1, text)
    return list(mappings(1, processes.proc))


def test_processes_are_the_numbers_of_proc(processes: Processes) -> None:
    for name in ("1", "4194304", "self", "sys"):
        (processes.proc / name).mkdir()
    assert set(running_processes(processes.proc)) == {1, 4194304}


def test_executable_mappings_of_files_are_read(processes: Processes) -> None:
    text = (
        line("/usr/lib/libssl.so.3", access="r--p")
        + line("/usr/lib/libssl.so.3", inode=4242)
        + line("/usr/lib/shared", access="rwxs", inode=7)
        + line("", inode=0)
        + line("[vdso]", inode=0)
        + line("anon_inode:[perf_event]")
    )
    assert read(processes, text) == [
        Mapping(1, SPAN, "fe:00", 4242, "/usr/lib/libssl.so.3"),
        Mapping(1, SPAN, "fe:00", 7, "/usr/lib/shared"),
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/opt/my app/lib ssl.so",
        "/  two leading spaces",
        "/tmp/gone.so (deleted)",
        "/memfd:libssl.so (deleted)",
        "/a\\012b",
        "/a\rb\x0b\x0c\x1c\u0085\u2028c",
    ],
)
def test_a_path_is_taken_as_it_stands(processes: Processes, path: str) -> None:
    assert [m.path for m in read(processes, line(path) + line("/next"))] == [path, "/next"]


def test_a_path_of_any_bytes_comes_back_as_those_bytes(processes: Processes) -> None:
    (mapping,) = read(processes, line("/lib/").encode()[:-1] + b"\xff\xfe\x80\n")
    assert os.fsencode(mapping.path) == b"/lib/\xff\xfe\x80"


def test_a_path_cannot_pretend_to_be_another_mapping(processes: Processes) -> None:
    forged = "/tmp/x\r" + line("/usr/lib/libssl.so.3", inode=99).rstrip()
    assert [m.inode for m in read(processes, line(forged))] == [12]


@pytest.fixture(scope="module")
def proc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proc")
    (path / "1").mkdir()
    return path


@given(st.binary(max_size=200) | st.binary(max_size=9).map(lambda odd: line("/").encode() + odd))
def test_any_maps_gives_mappings_or_none(proc: Path, text: bytes) -> None:
    (proc / "1" / "maps").write_bytes(text)
    assert all(mapping.path.startswith("/") for mapping in mappings(1, proc))


def test_a_process_that_is_gone_maps_nothing(processes: Processes) -> None:
    assert list(mappings(5, processes.proc)) == []


def test_a_tls_library_is_a_target_once(processes: Processes, library: Path) -> None:
    first = processes.examine(processes.map(1, library))
    assert first is not None
    assert (first.path, first.kind) == (str(library), "openssl")
    assert {place.program for place in first.places} == {"tls_write", "tls_read"}
    assert processes.examine(processes.map(2, library)) is None


def test_a_file_without_the_functions_is_none(processes: Processes, tmp_path: Path) -> None:
    for name, content in {"libz.so": elf(b"", {}), "text": b"text", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert processes.examine(processes.map(len(name), tmp_path / name)) is None
    assert processes.targets.unreadable == {}


def test_a_file_is_found_by_its_path_where_map_files_cannot_be_read(
    processes: Processes, library: Path
) -> None:
    assert processes.examine(processes.map(1, library, by_address=False)) is not None


def test_another_file_at_the_path_by_now_is_not_taken_for_it(
    processes: Processes, library: Path
) -> None:
    mapping = processes.map(1, library, by_address=False)
    library.rename(library.with_suffix(".old"))
    library.write_bytes(TLS)
    assert processes.examine(mapping) is None


def test_a_process_gone_before_it_was_looked_at_leaves_the_file_to_the_next(
    processes: Processes, library: Path
) -> None:
    gone = Mapping(9, SPAN, "fe:00", library.stat().st_ino, str(library.with_name("elsewhere")))
    assert processes.examine(gone) is None
    assert processes.targets.unreadable == {}
    assert processes.examine(processes.map(1, library)) is not None


def test_a_path_through_what_is_no_directory_is_gone_too(
    processes: Processes, library: Path
) -> None:
    mapping = Mapping(9, SPAN, "fe:00", 1, str(library / "below"))
    assert processes.examine(mapping) is None
    assert processes.targets.unreadable == {}


def test_a_file_that_cannot_be_opened_is_told(processes: Processes, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    processes.maps(1, line(str(loop)))
    (mapping,) = mappings(1, processes.proc)
    assert processes.examine(mapping) is None
    assert set(processes.targets.unreadable) == {str(loop)}
    assert "symbolic links" in processes.targets.unreadable[str(loop)]


def test_what_is_told_as_unreadable_is_bounded_and_the_latest(processes: Processes) -> None:
    count = Targets.MAX_UNREADABLE
    for number in range(count + 3):
        processes.targets.failed(f"/lib/{number}", OSError(5, "broken"))
    assert len(processes.targets.unreadable) == count
    assert f"/lib/{count + 2}" in processes.targets.unreadable
    assert "/lib/0" not in processes.targets.unreadable


def test_a_file_that_changed_is_looked_at_again(processes: Processes, library: Path) -> None:
    """Inode numbers are used again: the same one may be a TLS library now."""
    library.write_bytes(b"not yet")
    mapping = processes.map(1, library)
    assert processes.examine(mapping) is None
    library.write_bytes(TLS)
    assert processes.examine(mapping) is not None


def test_a_probed_file_that_only_changed_its_mode_is_not_probed_again(
    processes: Processes, library: Path
) -> None:
    mapping = processes.map(1, library)
    assert processes.examine(mapping) is not None
    library.chmod(0o600)
    assert processes.examine(mapping) is None


def test_forgetting_a_file_lets_it_be_found_again(processes: Processes, library: Path) -> None:
    mapping = processes.map(1, library)
    assert processes.examine(mapping) is not None
    assert processes.examine(mapping) is None
    processes.targets.forget(identity(library))
    assert processes.examine(mapping) is not None


def test_the_files_in_use_are_those_mapped(processes: Processes, library: Path) -> None:
    mapping = processes.map(1, library)
    assert processes.targets.in_use([mapping, mapping]) == {identity(library)}
    assert processes.targets.in_use([]) == set()


def test_files_of_a_process_that_is_gone_are_not_in_use(processes: Processes) -> None:
    assert processes.targets.in_use([Mapping(9, SPAN, "fe:00", 1, "/gone")]) == set()


def test_where_one_file_cannot_be_opened_nobody_can_tell_what_is_in_use(
    processes: Processes, library: Path
) -> None:
    mapping = processes.map(1, library, by_address=False)
    library.unlink()
    assert processes.targets.in_use([mapping]) is None


def test_remembered_files_are_bounded(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Targets, "MAX_SEEN", 3)
    found: list[Target | None] = []
    files: Iterable[Path] = (tmp_path / f"lib{number}.so" for number in range(6))
    for number, file in enumerate(files):
        file.write_bytes(TLS)
        found.append(processes.examine(processes.map(number + 1, file)))
    assert all(found)
    # Those dropped are looked at again; what has probes is not given twice.
    (first,) = mappings(1, processes.proc)
    assert processes.examine(first) is None
