"""What is told of files: which ones, what was done, and their content from its beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from busted import events
from busted.agent.clock import Clock
from busted.agent.file_access import MAX_RENAMED, Files, Mode
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

AGENT, OTHER = ProcessKey(7, 70), ProcessKey(8, 80)
KEY = FileKey(0xAB, 5)
READ_ONLY, WRITE_ONLY, CREATE, APPEND = 0, 1, 0o100, 0o2000


def files(mode: Mode = "all", max_open: int = 10, max_content_bytes: int = 1000) -> Files:
    sensitive = SensitiveFiles(SENSITIVE)
    return Files(mode, sensitive, AGENT.__eq__, Clock(0, 0), max_open, max_content_bytes)


def access(path: str, key: ProcessKey = AGENT, **changes: Any) -> FileAccess:
    record = FileAccess(
        key, 9, KEY, FileOperation.OPEN, path.encode(), False, 0, 0, False,
        7, 1, 1000, 100, 44, b"cat",
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def data(
    content: bytes,
    offset: int = 0,
    direction: Direction = Direction.READ,
    moved: int | None = None,
    file: FileKey = KEY,
) -> FileData:
    size = len(content) if moved is None else moved
    return FileData(AGENT, 10, file, direction, offset, size, b"cat", content)


def total(written: int = 0, read: int = 0, file: FileKey = KEY, *, last: bool = True) -> FileBytes:
    return FileBytes(AGENT, 11, file, written, read, last, b"cat")


def feed(followed: Files, records: Iterable[FileAccess | FileData | FileBytes]) -> list[Told]:
    told: list[Told] = []
    for record in records:
        match record:
            case FileAccess():
                told += followed.access(record)
            case FileData():
                told += followed.data(record)
            case FileBytes():
                told += followed.total(record)
    return told


def actions(*records: FileAccess | FileData | FileBytes, mode: Mode = "all") -> list[events.Action]:
    return [one.action for one in feed(files(mode), records)]


def contents(*records: FileAccess | FileData | FileBytes) -> list[events.FileData]:
    return [one for one in actions(*records) if isinstance(one, events.FileData)]


def test_a_file_is_told_when_it_is_opened_and_with_its_content_when_it_is_closed() -> None:
    opened, content, closed = actions(
        access("/srv/.env", flags=WRITE_ONLY | CREATE | APPEND),
        data(b"TOKEN=1\n", 100, Direction.WRITE),
        total(written=8),
    )
    assert opened == events.FileAccess(
        path="/srv/.env",
        operation="open",
        mode="write",
        flags=("create", "append"),
        category="environment",
        truncated=False,
    )
    assert content == events.FileData(
        path="/srv/.env",
        direction="write",
        offset=100,
        content="TOKEN=1\n",
        category="environment",
        bytes=8,
        truncated=False,
    )
    assert closed == events.FileAccess(
        path="/srv/.env",
        operation="close",
        category="environment",
        bytes_written=8,
        truncated=False,
    )


def test_who_did_it_is_told() -> None:
    (told,) = feed(files(), [access("/srv/a")])
    assert (told.key, told.time_ns) == (AGENT, 9)
    process = told.process
    assert (process.pid, process.name, process.ppid, process.tid) == (7, "cat", 1, 7)
    assert (process.uid, process.gid, process.cgroup_id) == (1000, 100, "44")


@pytest.mark.parametrize(
    ("mode", "key", "path", "flags", "told"),
    [
        ("all", AGENT, "/srv/a", READ_ONLY, True),
        ("sensitive", AGENT, "/srv/a", READ_ONLY, False),
        ("sensitive", AGENT, "/srv/.env", READ_ONLY, True),
        ("all", OTHER, "/srv/a", READ_ONLY, False),
        ("all", OTHER, "/srv/.env", READ_ONLY, True),
        ("sensitive", OTHER, "/srv/.env", READ_ONLY, True),
        ("all", AGENT, "/usr/lib/libc.so.6", READ_ONLY, False),
        ("all", AGENT, "/usr/lib/libc.so.6", WRITE_ONLY, True),
        ("all", AGENT, "/srv/node_modules/a/.env", READ_ONLY, True),
    ],
)
def test_all_files_of_agents_or_sensitive_ones_are_told_and_of_others_sensitive_ones(
    mode: Mode, key: ProcessKey, path: str, flags: int, told: bool
) -> None:
    for operation in (FileOperation.OPEN, FileOperation.UNLINK):
        if operation == FileOperation.UNLINK and path.startswith("/usr"):
            continue  # libraries are quiet to read; to remove one is told
        record = access(path, key, flags=flags, operation=operation)
        assert bool(actions(record, mode=mode)) == told


def test_the_content_of_a_file_of_somebody_else_is_not_held() -> None:
    assert contents(access("/srv/.env", OTHER), data(b"TOKEN=1"), total(read=7)) == []


def test_pieces_are_put_together_so_that_a_secret_in_two_of_them_is_whole() -> None:
    key = "sk-" + "a" * 40
    (told,) = contents(
        access("/srv/a"), data(b"key: sk-" + b"a" * 10), data(b"a" * 30, 18), total(read=48)
    )
    assert told.content == f"key: {key}"
    assert not told.truncated


@pytest.mark.parametrize(
    ("pieces", "content"),
    [
        # The end of what one call moved was left out: what follows has no beginning.
        ([data(b"one", moved=100), data(b"two", 100)], "one"),
        # A part of the file was passed over.
        ([data(b"one"), data(b"two", 50)], "one"),
        # It was read again.
        ([data(b"one"), data(b"one")], "one"),
    ],
)
def test_content_ends_at_the_first_gap(pieces: list[FileData], content: str) -> None:
    moved = sum(piece.call_bytes for piece in pieces)
    (told,) = contents(access("/srv/a"), *pieces, total(read=moved))
    assert (told.content, told.bytes, told.truncated) == (content, moved, True)


def test_what_was_read_from_the_middle_of_a_file_is_counted_only() -> None:
    """It could begin within a secret."""
    told = actions(access("/srv/a"), data(b"bcdef", 30), total(read=5))
    assert [type(action).__name__ for action in told] == ["FileAccess", "FileAccess"]
    assert msgspec.to_builtins(told[1])["bytes_read"] == 5


def test_what_follows_content_that_was_told_is_counted_only() -> None:
    told = contents(access("/srv/a"), data(b"one"), total(read=3), data(b"two", 3), total(read=6))
    assert [one.content for one in told] == ["one"]


def test_reading_and_writing_are_told_apart() -> None:
    read, wrote = contents(
        access("/srv/a"), data(b"old"), data(b"new", 3, Direction.WRITE), total(3, 3)
    )
    assert (read.direction, read.content) == ("read", "old")
    assert (wrote.direction, wrote.content) == ("write", "new")


def test_binary_content_is_counted_only() -> None:
    assert contents(access("/srv/a"), data(b"\x7fELF\0\1"), total(read=6)) == []


def test_text_that_was_cut_within_a_character_is_text() -> None:
    content = "é".encode()[:1]
    (told,) = contents(access("/srv/a"), data(b"caf" + content), total(read=4))
    assert told.content == "caf\ufffd"


def test_a_rename_is_told_once_with_both_names() -> None:
    (told,) = actions(
        access("/srv/a", operation=FileOperation.RENAME, file=FileKey(0, 0)),
        access("/srv/.env", operation=FileOperation.RENAMED_TO, file=FileKey(0, 0)),
        mode="sensitive",
    )
    assert isinstance(told, events.FileAccess)
    assert (told.operation, told.path, told.new_path) == ("rename", "/srv/a", "/srv/.env")
    assert told.category == "environment"


def test_the_new_name_alone_tells_nothing() -> None:
    renamed = access("/srv/.env", operation=FileOperation.RENAMED_TO)
    assert actions(renamed) == []
    other = access("/srv/a", OTHER, operation=FileOperation.RENAME)
    assert actions(other, renamed) == []


def test_renames_whose_second_name_was_lost_are_bounded() -> None:
    followed = files()
    for tid in range(MAX_RENAMED + 1):
        feed(followed, [access("/srv/a", operation=FileOperation.RENAME, tid=tid)])
    second = access("/srv/b", operation=FileOperation.RENAMED_TO)
    assert feed(followed, [msgspec.structs.replace(second, tid=0)]) == []
    assert len(feed(followed, [msgspec.structs.replace(second, tid=1)])) == 1


def test_a_refusal_is_told_with_its_error_and_opens_nothing() -> None:
    told = actions(access("/srv/.env", error=13, file=FileKey(0, 0)), data(b"x"), total(read=1))
    (refused,) = told
    assert isinstance(refused, events.FileAccess)
    assert (refused.error, refused.operation) == (13, "open")


def test_a_file_that_was_open_already_has_no_mode() -> None:
    (told,) = actions(access("/srv/a", inherited=True))
    assert isinstance(told, events.FileAccess)
    assert (told.mode, told.flags) == (None, ("inherited",))


def test_a_path_that_was_cut_is_told_as_such() -> None:
    opened, closed = actions(access("b/c", truncated=True), total(read=1))
    assert isinstance(opened, events.FileAccess)
    assert isinstance(closed, events.FileAccess)
    assert opened.truncated
    assert closed.truncated


def test_content_is_told_when_the_process_or_the_monitor_ends() -> None:
    ends: list[Callable[[Files], Iterable[Told]]] = [
        lambda followed: followed.ended(AGENT, 20),
        lambda followed: followed.close(20),
    ]
    for end in ends:
        followed = files()
        feed(followed, [access("/srv/a"), data(b"one", moved=5)])
        (told,) = end(followed)
        assert isinstance(told.action, events.FileData)
        assert (told.action.content, told.action.truncated) == ("one", True)
        assert told.time_ns == 20
        assert list(end(followed)) == []


def test_open_files_are_bounded_and_the_oldest_is_told_before_it_is_forgotten() -> None:
    followed = files(max_open=3)
    told = feed(
        followed,
        (
            record
            for number in range(1, 6)
            for record in (
                access(f"/srv/{number}", file=FileKey(number, 5)),
                data(b"%d" % number, file=FileKey(number, 5)),
            )
        ),
    )
    assert [one.action.content for one in told if isinstance(one.action, events.FileData)] == [
        "1",
        "2",
    ]
    assert followed.forgotten == 2


def test_files_without_content_make_room_unnoticed() -> None:
    followed = files(max_open=1)
    feed(followed, [access("/srv/a", file=FileKey(n, 5)) for n in range(1, 4)])
    assert followed.forgotten == 0


def test_content_is_bounded_and_the_oldest_is_told_before_its_end() -> None:
    one, other = FileKey(1, 5), FileKey(2, 5)
    followed = files(max_content_bytes=10)
    told = feed(
        followed,
        [
            *(access("/srv/1", file=one), access("/srv/2", file=other)),
            *(data(b"a" * 6, file=one), data(b"b" * 5, file=other)),
            *(data(b"a", 6, file=one), data(b"b", 5, file=other), total(read=6, file=other)),
        ],
    )
    said = [one.action for one in told if isinstance(one.action, events.FileData)]
    assert [(one.path, one.content) for one in said] == [("/srv/1", "a" * 6), ("/srv/2", "b" * 6)]
    assert followed.forgotten == 1
    assert list(followed.close(20)) == []


def test_content_is_told_with_the_last_descriptor_and_bytes_with_each() -> None:
    told = actions(
        access("/srv/a", flags=WRITE_ONLY),
        data(b"one ", 0, Direction.WRITE),
        total(written=4, last=False),
        data(b"two", 4, Direction.WRITE),
        total(written=7),
    )
    first, content, second = told[1:]
    assert isinstance(first, events.FileAccess)
    assert isinstance(content, events.FileData)
    assert isinstance(second, events.FileAccess)
    assert (first.bytes_written, second.bytes_written) == (4, 7)
    assert (content.content, content.bytes, content.truncated) == ("one two", 7, False)


def test_what_is_moved_after_the_end_of_the_process_that_opened_it_is_told() -> None:
    followed = files()
    feed(followed, [access("/srv/a", flags=WRITE_ONLY), data(b"one", 0, Direction.WRITE)])
    (content,) = followed.ended(AGENT, 20)
    (closed,) = feed(followed, [data(b"two", 3, Direction.WRITE), total(written=6)])
    assert isinstance(content.action, events.FileData)
    assert content.action.content == "one"
    assert isinstance(closed.action, events.FileAccess)
    assert closed.action.bytes_written == 6


def test_records_of_unknown_files_tell_nothing() -> None:
    assert actions(data(b"x"), total(read=1)) == []
