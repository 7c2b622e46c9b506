"""Whatever is said of files: content is bounded, and told once, from its beginning."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from busted import events
from busted.agent.clock import Clock
from busted.agent.file_access import Files
from busted.agent.told import Told
from busted.enrich.sensitive import SensitiveFiles
from busted.enrich.sensitive_table import SENSITIVE
from busted.records import (
    Direction,
    FileAccess,
    FileBytes,
    FileData,
    FileKey,
    FileOperation,
    ProcessKey,
)

MAX_OPEN, MAX_CONTENT_BYTES = 2, 20
PROCESSES = st.sampled_from([ProcessKey(7, 70), ProcessKey(8, 80)])
FILES = st.builds(FileKey, st.integers(0, 3), st.integers(0, 1))
COUNTS = st.integers(0, 40) | st.integers(0, 2**64 - 1)

ACCESS = st.builds(
    FileAccess,
    key=PROCESSES,
    time_ns=st.integers(0, 100),
    file=FILES,
    operation=st.sampled_from(FileOperation),
    path=st.sampled_from([b"/srv/.env", b"/srv/a", b"a", b""]) | st.binary(max_size=20),
    truncated=st.booleans(),
    flags=st.integers(0, 2**32 - 1),
    error=st.integers(0, 2) | st.integers(0, 2**31),
    inherited=st.booleans(),
    tid=st.integers(7, 8),
    ppid=st.just(1),
    uid=st.just(0),
    gid=st.just(0),
    cgroup_id=st.just(1),
    comm=st.binary(max_size=16),
)
DATA = st.builds(
    FileData,
    key=PROCESSES,
    time_ns=st.integers(0, 100),
    file=FILES,
    direction=st.sampled_from(Direction),
    offset=COUNTS,
    call_bytes=COUNTS,
    comm=st.just(b"cat"),
    data=st.text("ab \n", max_size=20).map(str.encode) | st.binary(max_size=20),
)
TOTAL = st.builds(
    FileBytes,
    key=PROCESSES,
    time_ns=st.integers(0, 100),
    file=FILES,
    written=COUNTS,
    read=COUNTS,
    last=st.booleans(),
    comm=st.just(b"cat"),
)


def followed() -> Files:
    sensitive = SensitiveFiles(SENSITIVE)
    return Files("all", sensitive, lambda _: True, Clock(0, 0), MAX_OPEN, MAX_CONTENT_BYTES)


def contents(told: list[Told]) -> list[str]:
    return [t.action.content or "" for t in told if isinstance(t.action, events.FileData)]


@given(st.lists(ACCESS | DATA | TOTAL | PROCESSES, max_size=30))
def test_nothing_is_too_much_and_all_is_told_in_the_end(
    records: list[FileAccess | FileData | FileBytes | ProcessKey],
) -> None:
    files, given_bytes = followed(), 0
    told: list[Told] = []
    for record in records:
        match record:
            case FileAccess():
                told += files.access(record)
            case FileData():
                given_bytes += len(record.data)
                told += files.data(record)
            case FileBytes():
                told += files.total(record)
            case ProcessKey():
                told += files.ended(record, 100)
    last = list(files.close(100))
    assert sum(map(len, contents(last))) <= MAX_CONTENT_BYTES
    assert sum(map(len, contents([*told, *last]))) <= given_bytes
    assert list(files.close(100)) == []


@given(
    st.lists(st.tuples(st.sampled_from(Direction), st.text("ab\n", min_size=1)), max_size=5),
    st.integers(1, 7),
)
def test_content_is_the_same_however_it_is_cut(
    moved: list[tuple[Direction, str]], size: int
) -> None:
    key, process = FileKey(1, 1), ProcessKey(7, 70)
    whole: dict[str, str] = defaultdict(str)
    files = Files("all", SensitiveFiles(SENSITIVE), lambda _: True, Clock(0, 0))
    access = FileAccess(
        process, 1, key, FileOperation.OPEN, b"/a", False, 2, 0, False, 7, 1, 0, 0, 1, b"cat"
    )
    list(files.access(access))
    for direction, text in moved:
        way = direction.name.lower()
        for start in range(0, len(text), size):
            piece = text[start : start + size].encode()
            offset = len(whole[way])
            whole[way] += piece.decode()
            record = FileData(process, 2, key, direction, offset, len(piece), b"cat", piece)
            assert list(files.data(record)) == []
    told = [t.action for t in files.close(3) if isinstance(t.action, events.FileData)]
    assert {action.direction: action.content for action in told} == whole
    assert not any(action.truncated for action in told)
