"""The programs that follow files, in the running kernel, with real programs that use files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from busted.kernel.files import FilePrograms, FileSettings
from busted.kernel.processes import ProcessPrograms
from busted.kernel.shared import Buffer, SharedMaps
from busted.records import (
    Direction,
    FileAccess,
    FileBytes,
    FileData,
    FileOperation,
    LostPlace,
    ProcessExit,
    Record,
    decode,
)
from tests.kernel.harness import DEADLINE_SECONDS
from tests.requirements import require

pytestmark = pytest.mark.needs("kernel")

WORD = "busted-test-agent"
QUIET = "busted-quiet"
# What Python itself reads at its start is of no interest here.
OURS = "/busted-files-"


class Followed:
    """The programs, a directory to use files in, and what was told of those."""

    def __init__(self, shared: SharedMaps, directory: Path, scripts: Path) -> None:
        """`scripts` is another directory."""
        self.shared, self.directory, self._scripts = shared, directory, scripts
        self.records: list[Record] = []
        self.deadline = time.monotonic() + DEADLINE_SECONDS

    def shell(self, script: str, *, agent: bool = True) -> int:
        """Run a shell script in the directory to its end, as an agent or not; return its pid."""
        return self._run("/bin/sh", script, agent)

    def python(self, script: str) -> int:
        """Run a Python script in the directory to its end, as an agent; return its pid."""
        return self._run(sys.executable, "import os, sys\n" + script, True)

    def _run(self, interpreter: str, script: str, agent: bool) -> int:
        path = self._scripts / "script"
        path.write_text(script)
        # The last argument alone makes it an agent's.
        command = [interpreter, str(path), *([WORD] if agent else [])]
        process = subprocess.Popen(command, cwd=self.directory, stdout=subprocess.DEVNULL)
        assert process.wait(DEADLINE_SECONDS) == 0
        return process.pid

    def all(self) -> list[Record]:
        """Everything told so far."""
        self.records += [decode(raw) for raw in self.shared.ring.read(1 << 30)]
        return self.records

    def accesses(self) -> list[FileAccess]:
        """What was told of names in the directory, paths cut to what is below it."""
        return [r for r in self.all() if isinstance(r, FileAccess) and OURS.encode() in r.path]

    def names(self) -> list[tuple[str, str]]:
        """The same as operations and paths below the directory."""
        return [(r.operation.name, self._below(r)) for r in self.accesses()]

    def flags(self) -> dict[str, int]:
        """The flags that each file of the directory was opened with last."""
        return {self._below(r): r.flags for r in self.accesses()}

    def data(self, name: str) -> list[FileData]:
        """What was read from and written to a file of the directory."""
        keys = {r.file for r in self.accesses() if self._below(r) == name and r.file.file}
        return [r for r in self.all() if isinstance(r, FileData) and r.file in keys]

    def bytes(self, name: str) -> list[tuple[int, int]]:
        """Bytes written and read of a file, each time that they were told."""
        keys = {r.file for r in self.accesses() if self._below(r) == name and r.file.file}
        told = [r for r in self.all() if isinstance(r, FileBytes) and r.file in keys]
        return [(r.written, r.read) for r in told]

    def _below(self, record: FileAccess) -> str:
        return os.fsdecode(record.path).removeprefix(f"{self.directory}/")


@contextmanager
def loaded(
    *,
    all: bool = True,
    max_file_bytes: int = 64 << 10,
    ring_bytes: int = 1 << 24,
    buffer: Buffer = "ring",
) -> Iterator[SharedMaps]:
    settings = FileSettings(
        frozenset({".env", ".pem", "CLAUDE.md"}), ("/usr", "/lib", QUIET), all, max_file_bytes
    )
    with ExitStack() as opened:
        shared = opened.enter_context(closing(SharedMaps(ring_bytes, buffer)))
        opened.enter_context(closing(FilePrograms(shared, settings)))
        opened.enter_context(closing(ProcessPrograms(shared, [WORD])))
        yield shared


@contextmanager
def used(shared: SharedMaps) -> Iterator[Followed]:
    with (
        tempfile.TemporaryDirectory(prefix=OURS[1:]) as directory,
        tempfile.TemporaryDirectory() as scripts,
    ):
        yield Followed(shared, Path(os.path.realpath(directory)), Path(scripts))


@contextmanager
def following(**settings: Any) -> Iterator[Followed]:
    """Programs of one test alone, with settings of its own."""
    with loaded(**settings) as shared, used(shared) as followed:
        yield followed


@pytest.fixture(scope="module")
def programs() -> Iterator[SharedMaps]:
    # Once for all tests: the verifier takes seconds.
    require("kernel")
    with loaded() as shared:
        yield shared
        assert shared.lost() == {}


@pytest.fixture
def followed(programs: SharedMaps) -> Iterator[Followed]:
    programs.ring.read(1 << 30)  # what was told after the test before
    with used(programs) as followed:
        yield followed


def written(records: list[FileData]) -> bytes:
    return b"".join(r.data for r in records if r.direction == Direction.WRITE)


def read(records: list[FileData]) -> bytes:
    return b"".join(r.data for r in records if r.direction == Direction.READ)


def test_what_an_agent_writes_and_reads_is_told_with_its_content(followed: Followed) -> None:
    pid = followed.shell("echo hello > a; cat a")
    assert followed.names() == [("OPEN", "a"), ("OPEN", "a")]
    first, second = followed.accesses()
    assert (first.key.pid, first.flags & os.O_ACCMODE) == (pid, os.O_WRONLY)
    assert first.flags & os.O_CREAT
    assert second.key.pid != pid, "it was told of the child, which is an agent's, too"
    assert second.comm == b"cat"
    assert not first.truncated
    assert (first.uid, first.gid, first.ppid) == (os.getuid(), os.getgid(), os.getpid())
    assert written(followed.data("a")) == b"hello\n"
    assert read(followed.data("a")) == b"hello\n"
    assert followed.bytes("a") == [(6, 0), (0, 6)]


def test_of_others_only_what_may_be_sensitive_is_told_without_content(followed: Followed) -> None:
    pid = followed.shell("echo 1 > a; echo 2 > .env; echo 3 > x.pem; cat .env", agent=False)
    assert followed.names() == [("OPEN", ".env"), ("OPEN", "x.pem"), ("OPEN", ".env")]
    assert followed.accesses()[0].key.pid == pid
    assert followed.data(".env") == []
    assert followed.bytes(".env") == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (".env", True),
        (".env.local", True),
        ("key.pem", True),
        ("CLAUDE.md", True),
        ("env", False),
        ("x.env", True),  # a superset: user space has the last word
        ("a.pemx", False),
        ("claude.md", False),
    ],
)
def test_words_are_whole_parts_beginnings_up_to_a_dot_or_suffixes(
    followed: Followed, name: str, told: bool
) -> None:
    followed.shell(f": > {name}", agent=False)
    assert bool(followed.names()) == told


def test_with_sensitive_only_other_files_of_agents_are_not_told() -> None:
    with following(all=False) as followed:
        followed.shell("echo 1 > a; cat a; echo 2 > .env; cat .env; mv a b; rm b")
        assert {name for _, name in followed.names()} == {".env"}
        assert read(followed.data(".env")) == b"2\n"


def test_a_path_is_absolute_whatever_it_was_given_as(followed: Followed) -> None:
    followed.shell(
        "mkdir -p d/e; : > d/e/f; ln -s d/e link; : < link/f; cd d; : < e/../../d/e/f;"
        f": < {followed.directory}//d/./e/f"
    )
    followed.python("os.open('f', os.O_RDONLY, dir_fd=os.open('d/e', os.O_RDONLY))")
    assert set(followed.names()) == {("OPEN", "d/e/f")}
    assert len(followed.names()) == 5


def test_a_path_is_told_across_mounts(followed: Followed) -> None:
    (followed.directory / "d").mkdir()
    followed.shell(
        "unshare --mount sh -c 'mount -t tmpfs none d; mkdir d/e; echo 1 > d/e/f; cd d/e; cat f'"
    )
    assert followed.names() == [("OPEN", "d/e/f")] * 2
    assert not any(r.truncated for r in followed.accesses())


@pytest.mark.parametrize("depth", [5, 12])
def test_a_long_path_is_whole_or_told_as_truncated(followed: Followed, depth: int) -> None:
    path = "/".join(["d" * 100] * depth)
    (followed.directory / path).mkdir(parents=True)
    followed.shell(f"cd {path}; echo 1 > file")
    (told,) = (r for r in followed.all() if isinstance(r, FileAccess) and b"/file" in r.path)
    whole = os.fsencode(followed.directory / path / "file")
    assert whole.endswith(told.path)
    assert len(told.path) > 500
    assert told.truncated == (depth == 12) == (told.path != whole)


def test_copied_descriptors_count_for_one_file(followed: Followed) -> None:
    followed.python(
        "a = os.open('a', os.O_RDWR | os.O_CREAT); b = os.dup(a); os.dup2(a, 50);"
        "os.write(a, b'one'); os.write(b, b'two'); os.write(50, b'three');"
        "os.close(a); os.lseek(b, 0, 0); os.read(b, 100); os.close(b); os.close(50)"
    )
    assert followed.names() == [("OPEN", "a")]
    assert written(followed.data("a")) == b"onetwothree"
    assert followed.bytes("a") == [(11, 0), (11, 11)]


def test_dup2_closes_its_target(followed: Followed) -> None:
    followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'one'); os.dup2(0, a)"
    )
    assert followed.bytes("a") == [(3, 0)]


def test_an_inherited_descriptor_is_the_same_file(followed: Followed) -> None:
    pid = followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'parent ')\n"
        "if os.fork() == 0: os.write(a, b'child'); os._exit(0)\n"
        "os.wait(); os.close(a)"
    )
    data = followed.data("a")
    assert written(data) == b"parent child"
    assert [r.key.pid == pid for r in data] == [True, False]
    assert followed.bytes("a")[-1] == (12, 0)


def test_what_was_open_before_is_told_once_it_is_used(followed: Followed) -> None:
    path = followed.directory / "output"
    with path.open("wb") as output:
        subprocess.run(["/bin/sh", "-c", "echo hello", WORD], stdout=output, check=True, timeout=30)
    (told,) = followed.accesses()
    assert told.inherited
    assert written(followed.data("output")) == b"hello\n"
    assert followed.bytes("output") == [(6, 0)]


def test_a_child_that_closes_its_copies_tells_nothing_of_what_is_still_open(
    followed: Followed,
) -> None:
    """As Python does before it runs another program."""
    followed.python(
        "import subprocess; a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'one')\n"
        "subprocess.run(['true'], close_fds=True); subprocess.run(['true'], close_fds=False)\n"
        "os.write(a, b'two'); os.close(a)"
    )
    assert followed.bytes("a") == [(6, 0)]


def test_whether_a_descriptor_was_the_last_one_is_told(followed: Followed) -> None:
    followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT); b = os.dup(a); os.write(a, b'1')\n"
        "os.close(a); os.write(b, b'2'); os.close(b)"
    )
    (file,) = {r.file for r in followed.accesses() if r.path.endswith(b"/a")}
    told = [r for r in followed.all() if isinstance(r, FileBytes) and r.file == file]
    assert [(r.written, r.last) for r in told] == [(1, False), (2, True)]


def test_the_last_one_to_close_a_file_tells_it_even_if_another_opened_it(
    followed: Followed,
) -> None:
    followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT); r, w = os.pipe()\n"
        "if os.fork() == 0: os.close(w); os.read(r, 1); os.write(a, b'child'); os.close(a)"
    )
    while not followed.bytes("a"):  # the child goes on after its parent's end
        assert time.monotonic() < followed.deadline
    assert followed.bytes("a") == [(5, 0)]


def test_what_closes_when_another_program_is_run_is_told(followed: Followed) -> None:
    """There is no call that closes it."""
    followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC); os.write(a, b'one')\n"
        "b = os.open('b', os.O_WRONLY | os.O_CREAT); os.set_inheritable(b, True)\n"
        "os.write(b, b'two'); os.execlp('sh', 'sh', '-c', f'echo 3 >&{b}')"
    )
    assert followed.bytes("a") == [(3, 0)]
    assert followed.bytes("b") == [(5, 0)]


def test_bytes_are_told_when_a_process_ends_without_closing(followed: Followed) -> None:
    pid = followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'one'); os._exit(0)"
    )
    assert followed.bytes("a") == [(3, 0)]
    last = [r for r in followed.all() if r.key.pid == pid][-1]
    assert isinstance(last, ProcessExit), "what belongs to it comes before its end"


def test_a_closed_range_of_descriptors_is_told(followed: Followed) -> None:
    followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'one'); os.closerange(a, a + 9);"
        "print(); os.write(1, b'x')"
    )
    assert followed.bytes("a") == [(3, 0)]


def test_each_way_to_read_and_to_write_is_seen(followed: Followed) -> None:
    (followed.directory / "in").write_bytes(b"0123456789")
    followed.python(
        "i = os.open('in', os.O_RDONLY); o = os.open('out', os.O_WRONLY | os.O_CREAT)\n"
        "assert os.read(i, 2) == b'01'\n"
        "assert os.pread(i, 2, 2) == b'23'\n"
        "a, b = bytearray(2), bytearray(2); os.lseek(i, 4, 0); os.readv(i, [a, b])\n"
        "os.preadv(i, [a], 8)\n"
        "os.write(o, b'AB'); os.pwrite(o, b'CD', 2); os.lseek(o, 4, 0)\n"
        "os.writev(o, [b'EF', b'GH']); os.pwritev(o, [b'IJ'], 8)\n"
        "os.lseek(i, 0, 0); os.lseek(o, 10, 0); os.sendfile(o, i, None, 3)\n"
        "os.copy_file_range(i, o, 4); r, w = os.pipe(); os.splice(i, w, 2); os.splice(r, o, 2)"
    )
    told = [(r.direction.name, r.offset, r.data, r.call_bytes) for r in followed.data("in")]
    assert told == [
        ("READ", 0, b"01", 2),
        ("READ", 2, b"23", 2),
        ("READ", 4, b"45", 4),
        ("READ", 8, b"89", 2),
    ]
    told = [(r.direction.name, r.offset, r.data, r.call_bytes) for r in followed.data("out")]
    assert told == [
        ("WRITE", 0, b"AB", 2),
        ("WRITE", 2, b"CD", 2),
        ("WRITE", 4, b"EF", 4),
        ("WRITE", 8, b"IJ", 2),
    ]
    assert followed.bytes("in") == [(0, 10 + 3 + 4 + 2)]
    assert followed.bytes("out") == [(10 + 3 + 4 + 2, 0)]


def test_each_way_to_open_is_seen(followed: Followed) -> None:
    source = followed.directory / "open.c"
    source.write_text(
        "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <linux/openat2.h>\n"
        "#include <sys/syscall.h>\n#include <unistd.h>\n"
        "int main(void) {\n"
        "  struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600};\n"
        '  creat("creat", 0600);\n'
        '  openat(AT_FDCWD, "openat", O_WRONLY | O_CREAT | O_APPEND, 0600);\n'
        '  syscall(SYS_openat2, AT_FDCWD, "openat2", &how, sizeof(how));\n'
        '#ifdef SYS_open\n  syscall(SYS_open, "open", O_WRONLY | O_CREAT, 0600);\n#else\n'
        '  openat(AT_FDCWD, "open", O_WRONLY | O_CREAT, 0600);\n#endif\n'
        '  open("creat", O_PATH);\n'
        "  return 0;\n}\n"
    )
    subprocess.run(["gcc", "-o", followed.directory / "opener", source], check=True)
    followed.shell("exec ./opener")
    opened = followed.flags()
    (path,) = (r for r in followed.accesses() if r.flags & 0o10000000)
    assert opened["openat"] & (os.O_ACCMODE | os.O_APPEND) == os.O_WRONLY | os.O_APPEND
    assert opened["openat2"] & os.O_ACCMODE == os.O_RDWR
    assert opened["open"] & os.O_ACCMODE == os.O_WRONLY
    assert path.path.endswith(b"/creat")


def test_names_that_go_are_told(followed: Followed) -> None:
    followed.python(
        "open('a', 'w').close(); os.rename('a', 'b'); d = os.open('.', os.O_RDONLY);"
        "os.rename('b', 'c', src_dir_fd=d, dst_dir_fd=d); os.unlink('c', dir_fd=d);"
        "open('d', 'w').close(); os.unlink('d')"
    )
    assert followed.names() == [
        ("OPEN", "a"),
        ("RENAME", "a"),
        ("RENAMED_TO", "b"),
        ("RENAME", "b"),
        ("RENAMED_TO", "c"),
        ("UNLINK", "c"),
        ("OPEN", "d"),
        ("UNLINK", "d"),
    ]


def test_a_file_that_was_renamed_or_unlinked_while_open_goes_on(followed: Followed) -> None:
    followed.python(
        "a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'1'); os.rename('a', 'b');"
        "os.write(a, b'2'); os.unlink('b'); os.write(a, b'3'); os.close(a)"
    )
    assert written(followed.data("a")) == b"123"
    assert followed.bytes("a") == [(3, 0)]


def test_what_is_refused_is_told_of_sensitive_files_only(followed: Followed) -> None:
    followed.shell("cat none .env 2> /dev/null; rm -f none none.pem; mv x.pem y 2> /dev/null; :")
    told = [(r.operation, r.error) for r in followed.accesses()]
    assert told == [
        (FileOperation.OPEN, 2),
        (FileOperation.UNLINK, 2),
        (FileOperation.RENAME, 2),
        (FileOperation.RENAMED_TO, 2),
    ]
    assert followed.accesses()[0].path == os.fsencode(followed.directory / ".env")


def test_reading_in_quiet_directories_is_not_told_but_writing_and_sensitive_files_are(
    followed: Followed,
) -> None:
    (followed.directory / QUIET).mkdir()
    followed.shell(f"cd {QUIET}; echo 1 > a; cat a; mkdir d; echo 2 > d/.env; cat d/.env < a")
    told = followed.flags()
    assert [name for _, name in followed.names()] == [f"{QUIET}/a", *[f"{QUIET}/d/.env"] * 2]
    assert told[f"{QUIET}/a"] & os.O_ACCMODE == os.O_WRONLY
    assert not any(r.path.startswith(b"/usr/") for r in followed.all() if isinstance(r, FileAccess))


def test_directories_devices_pipes_and_the_kernels_own_files_are_not_told(
    followed: Followed,
) -> None:
    followed.shell("ls . > /dev/null; cat /proc/self/status /sys/kernel/uevent_seqnum | cat")
    told = [r.path for r in followed.all() if isinstance(r, FileAccess)]
    assert not any(path.startswith((b"/proc", b"/sys", b"/dev")) for path in told)
    assert followed.accesses() == []


@pytest.mark.parametrize("size", [1, 255, 256, 257, 2048, 2049, 16384, 16385, 50_000])
def test_a_piece_of_any_size_arrives_whole(followed: Followed, size: int) -> None:
    followed.python(f"a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'x' * {size})")
    assert written(followed.data("a")) == b"x" * size


def test_content_ends_at_the_limits_and_bytes_do_not() -> None:
    with following(max_file_bytes=20_000) as followed:
        followed.python(
            "a = os.open('a', os.O_WRONLY | os.O_CREAT)\n"
            "for _ in range(3): os.write(a, b'x' * 17_000)\n"
            "os.close(a)"
        )
        told = [(r.offset, len(r.data), r.call_bytes) for r in followed.data("a")]
        assert told == [(0, 16384, 16384), (16384, 616, 616), (17_000, 3000, 17_000)]
        assert followed.bytes("a") == [(51_000, 0)]


def test_what_one_call_moves_comes_in_pieces_up_to_a_limit() -> None:
    with following(max_file_bytes=1 << 20) as followed:
        followed.python("a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'xy' * 150_000)")
        data = followed.data("a")
        assert [r.offset for r in data] == [16384 * number for number in range(8)]
        assert sum(r.call_bytes for r in data) == 300_000
        assert written(data) == b"xy" * (8 * 16384 // 2)


def test_no_content_is_told_where_none_is_asked_for() -> None:
    with following(max_file_bytes=0) as followed:
        followed.shell("echo 1 > a")
        assert followed.data("a") == []
        assert followed.bytes("a") == [(2, 0)]


def test_perf_buffers_bring_the_same() -> None:
    with following(buffer="perf", ring_bytes=1 << 20) as followed:
        followed.python("a = os.open('a', os.O_WRONLY | os.O_CREAT); os.write(a, b'x' * 40_000)")
        assert followed.names() == [("OPEN", "a")]
        assert written(followed.data("a")) == b"x" * 40_000
        assert followed.bytes("a") == [(40_000, 0)]
        assert followed.shared.lost() == {}


def test_threads_share_a_file(followed: Followed) -> None:
    followed.python(
        "import threading\n"
        "a = os.open('a', os.O_WRONLY | os.O_CREAT)\n"
        "work = lambda: [os.write(a, b'xy') for _ in range(100)]\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
        "os.close(a)"
    )
    assert followed.bytes("a") == [(1600, 0)]
    assert len({r.key.pid for r in followed.data("a")}) == 1


def test_ten_thousand_opens_are_told_or_counted_as_lost() -> None:
    with following(ring_bytes=1 << 20) as followed:
        followed.python("for i in range(10_000): os.close(os.open(f'{i % 7}', os.O_CREAT))")
        told = len(followed.accesses())
        lost = followed.shared.lost()
    # What Python opens at its start comes first, and is not counted here.
    assert 0 < told < 10_000
    assert told + lost.pop(LostPlace.FILE_RECORDS) >= 10_000
    assert lost.keys() <= {LostPlace.RECORDS, LostPlace.FILE_DATA}


def test_a_reused_descriptor_is_another_file(followed: Followed) -> None:
    followed.python(
        "for i in range(50):\n"
        "  a = os.open(f'f{i}', os.O_WRONLY | os.O_CREAT); os.write(a, b'x' * i); os.close(a)"
    )
    assert [followed.bytes(f"f{i}") for i in range(1, 50)] == [[(i, 0)] for i in range(1, 50)]
    assert len({r.file for r in followed.accesses()}) == 50


def test_nothing_is_told_after_detaching() -> None:
    settings = FileSettings(frozenset({".env"}), (), True, 100)
    with ExitStack() as opened:
        shared = opened.enter_context(closing(SharedMaps(1 << 20)))
        programs = opened.enter_context(closing(FilePrograms(shared, settings)))
        followed = opened.enter_context(used(shared))
        followed.shell(": > .env")
        assert followed.names() == [("OPEN", ".env")]
        programs.detach()
        followed.shell("cat .env")
        assert followed.names() == [("OPEN", ".env")]
