"""Real processes that map TLS libraries in unusual ways: each is found, and hooked once."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from busted.kernel.features import probe
from busted.kernel.mappings import BUFFER_BYTES, MappingWatch
from busted.kernel.programs import TlsPrograms, best_way
from busted.kernel.shared import SharedMaps
from busted.kernel.targets import Mapping, Targets, file_identity, mappings
from busted.records import TlsData, TlsOpen, decode
from tests.kernel.harness import DEADLINE_SECONDS, PROLOGUE, SOURCE, build_library, open_target
from tests.requirements import require

PROGRAM = Path(__file__).parent / "programs" / "static_tls.c"

# Every process tells with a line that it mapped its library, then waits for one.
READY = "print('ready', flush=True); step();"
WRITE = READY + "then(5); write(1, b'hello')"


class Process:
    """A process under way; `go` lets it make its call and end."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def wait_ready(self) -> None:
        assert self._process.stdout is not None
        while (line := self._process.stdout.readline()) != "ready\n":
            assert line == "here\n"  # of a step before

    def step(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def go(self) -> None:
        assert self._process.communicate("\n", timeout=DEADLINE_SECONDS) is not None
        assert self._process.returncode == 0

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


class Host:
    """The programs and a search for targets, as the monitor joins them."""

    def __init__(self) -> None:
        way = best_way(probe())
        self.targets = Targets(platform.machine())
        self.hooked: dict[int, str] = {}
        self._open = ExitStack()
        shared = self._open.enter_context(closing(SharedMaps(1 << 20)))
        self.programs = TlsPrograms(way, shared, max_call_bytes=1 << 20)
        self._open.callback(self.programs.close)

    def close(self) -> None:
        self._open.close()

    def start(self, *command: str | Path) -> Process:
        process = Process([str(word) for word in command])
        self._open.callback(process.close)
        return process

    def python(self, library: Path | str, script: str = WRITE, *before: str | Path) -> Process:
        process = self.start(*before, sys.executable, "-c", PROLOGUE + script, library)
        process.wait_ready()
        return process

    def examine(self, found: list[Mapping]) -> list[str]:
        """Hook what is new, and return its paths."""
        new = []
        for mapping in found:
            target = self.targets.examine(mapping)
            if target is not None:
                cookie = len(self.hooked) + 1
                self.programs.attach(target, cookie)
                target.close()
                self.hooked[cookie] = target.path
                new.append(target.path)
        return new

    def hook(self, process: Process) -> list[str]:
        return self.examine(list(mappings(process.pid)))

    def written(self, process: Process) -> list[bytes]:
        """Let the process make its call, and return what of it was captured."""
        process.go()
        records = [decode(raw) for raw in self.programs.shared.ring.read()]
        assert all(r.key.pid == process.pid for r in records)
        # A kernel without cookies tells no library from another.
        known = set(self.hooked) if probe().has("attach cookie") else {0}
        assert {r.library for r in records if isinstance(r, TlsOpen)} <= known
        assert self.programs.shared.lost() == {}
        return [r.data for r in records if isinstance(r, TlsData)]


@pytest.fixture
def host() -> Iterator[Host]:
    require("kernel", "gcc")
    host = Host()
    yield host
    host.close()


@pytest.fixture
def library(tmp_path: Path, host: Host) -> Path:
    return build_library(tmp_path)


def in_own_mounts(commands: str, *arguments: str | Path) -> list[str | Path]:
    """Run shell commands in a mount namespace of its own, then the command that follows."""
    script = f'set -e; {commands}; shift {len(arguments)}; exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", *arguments]


@pytest.mark.needs("unshare")
def test_a_library_that_only_its_process_can_see_is_captured(
    host: Host, library: Path, tmp_path: Path
) -> None:
    place = tmp_path / "private"
    place.mkdir()
    before = in_own_mounts('mount -t tmpfs none "$1"; cp "$2" "$1/own.so"', place, library)
    process = host.python(place / "own.so", WRITE, *before)
    assert list(place.iterdir()) == []  # nothing of it out here
    assert host.hook(process) == [str(place / "own.so")]
    assert host.written(process) == [b"hello"]


@pytest.mark.needs("unshare")
def test_it_is_found_through_its_root_where_map_files_cannot_be_read(
    host: Host, library: Path, tmp_path: Path
) -> None:
    place = tmp_path / "private"
    place.mkdir()
    before = in_own_mounts('mount -t tmpfs none "$1"; cp "$2" "$1/own.so"', place, library)
    process = host.python(place / "own.so", WRITE, *before)
    proc = tmp_path / "proc" / str(process.pid)
    proc.mkdir(parents=True)
    (proc / "root").symlink_to(f"/proc/{process.pid}/root")
    host.targets = Targets(platform.machine(), tmp_path / "proc")
    assert host.hook(process) == [str(place / "own.so")]
    assert host.written(process) == [b"hello"]


OVERLAY = (
    'mount -t tmpfs none "$1"; mkdir "$1/upper" "$1/work" "$1/merged";'
    'mount -t overlay none -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/merged"'
)


@pytest.mark.needs("unshare")
def test_a_file_seen_through_two_overlays_is_hooked_once_and_each_call_told_once(
    host: Host, library: Path, tmp_path: Path
) -> None:
    image, processes = tmp_path / "image", []
    image.mkdir()
    shutil.copy(library, image / "libtls.so")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        before = in_own_mounts(OVERLAY, tmp_path / name, image)
        processes.append(host.python(tmp_path / name / "merged/libtls.so", WRITE, *before))
    first, second = processes
    assert host.hook(first) == [str(tmp_path / "first/merged/libtls.so")]
    assert host.hook(second) == []
    assert host.written(first) == [b"hello"]
    assert host.written(second) == [b"hello"]


@pytest.mark.needs("unshare")
def test_a_containers_own_copy_of_an_images_file_is_another_file(
    host: Host, library: Path, tmp_path: Path
) -> None:
    image, processes = tmp_path / "image", []
    image.mkdir()
    shutil.copy(library, image / "libtls.so")
    for name, change in {"first": "true", "second": 'chmod 700 "$1/merged/libtls.so"'}.items():
        (tmp_path / name).mkdir()
        before = in_own_mounts(f"{OVERLAY}; {change}", tmp_path / name, image)
        processes.append(host.python(tmp_path / name / "merged/libtls.so", WRITE, *before))
    first, second = processes
    assert len(host.hook(first)) == 1
    assert len(host.hook(second)) == 1
    assert host.written(first) == [b"hello"]
    assert host.written(second) == [b"hello"]


def test_two_processes_with_one_file_are_one_target(host: Host, library: Path) -> None:
    first, second = host.python(library), host.python(library)
    assert host.hook(first) == [str(library)]
    assert host.hook(second) == []
    assert host.written(first) == [b"hello"]
    assert host.written(second) == [b"hello"]


def test_a_library_deleted_after_it_was_mapped_is_found(host: Host, library: Path) -> None:
    process = host.python(library)
    library.unlink()
    assert host.hook(process) == [f"{library} (deleted)"]
    assert host.written(process) == [b"hello"]


def test_a_library_with_a_strange_name_is_found(host: Host, library: Path) -> None:
    odd = library.rename(library.with_name("lib tls\r\n(deleted) ü.so"))
    process = host.python(odd)
    assert len(host.hook(process)) == 1
    assert host.written(process) == [b"hello"]


def test_a_library_that_is_no_file_at_all_is_found(host: Host, library: Path) -> None:
    script = (
        "fd = os.memfd_create('tls'); os.write(fd, open(sys.argv[1], 'rb').read());"
        "library = ctypes.CDLL(f'/proc/self/fd/{fd}');" + WRITE
    )
    process = host.python(library, script)
    assert "/memfd:tls (deleted)" in host.hook(process)
    assert host.written(process) == [b"hello"]


@contextmanager
def watching(buffer_bytes: int = BUFFER_BYTES) -> Iterator[MappingWatch]:
    watch = MappingWatch(buffer_bytes)
    try:
        yield watch
    finally:
        watch.close()


def wait_for(watch: MappingWatch, wanted: Callable[[Mapping], bool]) -> Mapping:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        for mapping in watch.read():
            if wanted(mapping):
                return mapping
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_library_loaded_later_is_noticed(host: Host, library: Path, tmp_path: Path) -> None:
    later = Path(shutil.copy(library, tmp_path / "later.so"))
    script = READY + f"library = ctypes.CDLL({str(later)!r});" + WRITE
    with watching() as watch:
        process = host.python(library, script)
        assert host.hook(process) == [str(library)]
        process.step()
        mapping = wait_for(watch, lambda m: m.path == str(later))
        assert mapping.pid == process.pid
        assert host.examine([mapping]) == [str(later)]
    process.wait_ready()
    assert host.written(process) == [b"hello"]


def test_a_program_started_later_that_carries_its_library_is_noticed(
    host: Host, tmp_path: Path
) -> None:
    program = tmp_path / "static"
    subprocess.run(["gcc", "-O1", "-rdynamic", "-o", program, PROGRAM, SOURCE], check=True)
    with watching() as watch:
        process = host.start(program)
        mapping = wait_for(watch, lambda m: m.path == str(program))
        assert mapping.pid == process.pid
        assert host.examine([mapping]) == [str(program)]
    assert host.written(process) == [b"static"]


def test_a_noticed_mapping_names_the_file_as_maps_does(host: Host, library: Path) -> None:
    with watching() as watch:
        process = host.python(library)
        noticed = wait_for(watch, lambda m: m.path == str(library))
    assert noticed in list(mappings(process.pid))


MAP_OFTEN = (
    "b = open(sys.argv[1], 'rb')\nfor _ in range(500): mmap.mmap(b.fileno(), 4096, prot=5)\n"
)


def test_mappings_that_found_no_room_are_told_and_counted(host: Host, library: Path) -> None:
    with watching(buffer_bytes=4096) as watch:
        host.python(library, MAP_OFTEN + READY)
        watch.read()
        assert watch.missed
        # The count comes with the next mapping on the same processor.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not watch.lost:
            assert time.monotonic() < deadline
            host.python(library, READY)
            watch.read()
        assert watch.lost > 100


def test_a_program_start_misses_nothing(host: Host, library: Path) -> None:
    with watching() as watch:
        host.python(library)
        wait_for(watch, lambda m: m.path == str(library))
        assert (watch.missed, watch.lost) == (False, 0)


def test_probes_are_taken_from_one_file_and_stay_on_the_others(
    host: Host, library: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copy(library, tmp_path / "other.so"))
    processes = [host.python(library), host.python(other)]
    for process in processes:
        host.hook(process)
    host.programs.detach_target(1)
    assert [host.written(process) for process in processes] == [[], [b"hello"]]
    host.programs.detach_target(1)  # again does nothing


def test_a_file_in_use_is_told_as_long_as_somebody_maps_it(host: Host, library: Path) -> None:
    process = host.python(library)
    target = open_target(library)
    identity = file_identity(target.fd)
    target.close()
    assert identity in (host.targets.in_use(mappings(process.pid)) or ())
    process.go()
    assert host.targets.in_use(mappings(process.pid)) == set()
