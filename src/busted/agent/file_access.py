"""What agents do with files, and who touches sensitive ones: records of files to events.

The kernel side reports a superset, by words; here the whole path decides. How many bytes were
moved is told when a descriptor is closed; the content, if it is text, when that was the last one,
or the process that opened the file ends.

Content is told in one piece, from its beginning up to the first gap: a piece whose beginning is
missing could begin within a secret, where nothing would know it for one. For the same reason it
is told at the end, not as it comes. What was read from the middle of a file has no beginning and
is counted only.

Pure: no I/O, no clock. Left out: what was open already when nobody had read from it before the
agent did; mappings of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from busted import events
from busted.agent.clock import Clock
from busted.agent.process_tree import text
from busted.agent.told import Told
from busted.enrich.sensitive import SensitiveFiles, is_quiet
from busted.records import (
    Direction,
    FileAccess,
    FileBytes,
    FileData,
    FileKey,
    FileOperation,
    ProcessKey,
)

Mode = Literal["sensitive", "all"]

# As many as a few agents have open at once, and what they hold of their content in all.
MAX_OPEN = 1024
MAX_CONTENT_BYTES = 64 << 20
# Renames whose second name follows at once, unless it was lost, which the kernel side counts.
MAX_RENAMED = 64

# asm-generic/fcntl.h, in octal as it stands there.
_ACCESS_MODES: dict[int, Literal["read", "write", "read_write"]] = {
    0o0: "read",
    0o1: "write",
    0o2: "read_write",
}
_FLAGS = {
    0o100: "create",
    0o200: "exclusive",
    0o1000: "truncate",
    0o2000: "append",
    0o20000000: "temporary",
    0o10000000: "path",
}
_O_ACCMODE = 0o3
_DIRECTIONS: dict[Direction, Literal["read", "write"]] = {
    Direction.READ: "read",
    Direction.WRITE: "write",
}


class _Moved:
    """What was read from an open file, or what was written to it."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.begun = False
        self.begins = 0  # where in the file the content begins
        self.ended = False  # a gap follows the content
        self.bytes = 0  # as far as they were told

    def take(self, record: FileData) -> int:
        """Take a piece; return by how many bytes that made the content longer."""
        before = len(self.content)
        self.bytes += record.call_bytes
        if not self.begun:
            self.begun, self.begins = True, record.offset
            # Reading may begin anywhere; what is written is whole wherever it goes.
            self.ended = record.direction == Direction.READ and record.offset > 0
        if not self.ended and record.offset == self.begins + len(self.content):
            self.content += record.data
            self.ended = len(record.data) < record.call_bytes
        else:
            self.ended = True
        return len(self.content) - before

    def end(self) -> bytes:
        """Return the content. What is moved after this has no beginning of its own."""
        content, self.content = bytes(self.content), bytearray()
        self.ended = True
        return content


class _Open:
    """An open file."""

    def __init__(self, opened: FileAccess, process: events.Process, category: str | None) -> None:
        self.opened, self.process, self.category = opened, process, category
        self.path = text(opened.path)
        self.moved = {Direction.READ: _Moved(), Direction.WRITE: _Moved()}

    def holds(self) -> bool:
        """Tell whether there is content that is untold."""
        return any(moved.content for moved in self.moved.values())


class Files:
    """The open files, bounded, and what is told of them."""

    def __init__(
        self,
        mode: Mode,
        sensitive: SensitiveFiles,
        is_agent: Callable[[ProcessKey], bool],
        clock: Clock,
        max_open: int = MAX_OPEN,
        max_content_bytes: int = MAX_CONTENT_BYTES,
    ) -> None:
        """`forgotten` counts files whose content had to make room before they were closed."""
        self._mode, self._sensitive, self._is_agent = mode, sensitive, is_agent
        self._clock, self._max_open, self._max_bytes = clock, max_open, max_content_bytes
        self._open: dict[FileKey, _Open] = {}
        self._held = 0  # bytes of content
        self._renamed: dict[int, FileAccess] = {}
        self.forgotten = 0

    def learn(self, sensitive: SensitiveFiles) -> None:
        """Take what is sensitive from now on; of open files that was told."""
        self._sensitive = sensitive

    def access(self, record: FileAccess) -> Iterator[Told]:
        """Take an access; yield what it tells."""
        if record.operation == FileOperation.RENAME:
            if len(self._renamed) >= MAX_RENAMED:
                del self._renamed[next(iter(self._renamed))]
            self._renamed[record.tid] = record
            return
        if record.operation == FileOperation.RENAMED_TO:
            old = self._renamed.pop(record.tid, None)
            if old is not None and old.key == record.key:
                yield from self._name(old, "rename", text(record.path))
        elif record.operation == FileOperation.UNLINK:
            yield from self._name(record, "unlink")
        else:
            yield from self._opened(record)

    def data(self, record: FileData) -> Iterator[Told]:
        """Take a piece of content; it is told when the file is closed, or others need the room."""
        known = self._open.get(record.file)
        if known is None:
            return
        self._held += known.moved[record.direction].take(record)
        while self._held > self._max_bytes:
            holding = next(k for k in self._open.values() if k.holds())
            self.forgotten += 1
            yield from self._contents(holding, record.time_ns)

    def total(self, record: FileBytes) -> Iterator[Told]:
        """Take how much was moved; yield that, after the content where no more follows."""
        known = self._open.get(record.file)
        if known is None:
            return
        known.moved[Direction.READ].bytes = record.read
        known.moved[Direction.WRITE].bytes = record.written
        if record.last:
            yield from self._contents(known, record.time_ns)
        yield self._told(
            known.opened,
            record.time_ns,
            known.process,
            events.FileAccess(
                path=known.path,
                operation="close",
                category=known.category,
                bytes_read=record.read,
                bytes_written=record.written,
                truncated=known.opened.truncated,
            ),
        )

    def ended(self, process: ProcessKey, now_ns: int) -> Iterator[Told]:
        """Yield the content of the files that a process had opened, now that it ended.

        They stay known: others may have them open still.
        """
        for known in self._open.values():
            if known.opened.key == process:
                yield from self._contents(known, now_ns)

    def close(self, now_ns: int) -> Iterator[Told]:
        """Yield what is untold of all files: the monitor stops."""
        for known in self._open.values():
            yield from self._contents(known, now_ns)

    def _opened(self, record: FileAccess) -> Iterator[Told]:
        path = text(record.path)
        category = self._sensitive.category(path)
        agent = self._is_agent(record.key)
        quiet = not record.flags & _O_ACCMODE and is_quiet(path)
        if category is None and (not agent or self._mode == "sensitive" or quiet):
            return
        process = _process(record, self._clock)
        yield self._told(
            record,
            record.time_ns,
            process,
            events.FileAccess(
                path=path,
                operation="open",
                mode=None if record.inherited else _ACCESS_MODES.get(record.flags & _O_ACCMODE),
                flags=_flags(record),
                category=category,
                error=record.error or None,
                truncated=record.truncated,
            ),
        )
        if agent and not record.error:
            known = self._open.pop(record.file, None)
            if known is None and len(self._open) >= self._max_open:
                known = self._open.pop(next(iter(self._open)))
            if known is not None:
                self.forgotten += known.holds()
                yield from self._contents(known, record.time_ns)
            self._open[record.file] = _Open(record, process, category)

    def _name(
        self, record: FileAccess, operation: Literal["unlink", "rename"], new: str | None = None
    ) -> Iterator[Told]:
        path = text(record.path)
        category = self._sensitive.category(path)
        if category is None and new is not None:
            category = self._sensitive.category(new)
        agent = self._is_agent(record.key)
        if category is None and (not agent or self._mode == "sensitive"):
            return
        yield self._told(
            record,
            record.time_ns,
            _process(record, self._clock),
            events.FileAccess(
                path=path,
                new_path=new,
                operation=operation,
                category=category,
                error=record.error or None,
                truncated=record.truncated,
            ),
        )

    def _contents(self, known: _Open, time_ns: int) -> Iterator[Told]:
        for direction, moved in known.moved.items():
            content = moved.end()
            self._held -= len(content)
            if not content or b"\0" in content:
                continue  # no text; how much it was is told beside
            said = text(content)
            action = events.FileData(
                path=known.path,
                direction=_DIRECTIONS[direction],
                offset=moved.begins,
                content=said,
                category=known.category,
                bytes=moved.bytes,
                truncated=len(content) < moved.bytes,
            )
            yield self._told(known.opened, time_ns, known.process, action)

    def _told(
        self, record: FileAccess, time_ns: int, process: events.Process, action: events.Action
    ) -> Told:
        return Told(time_ns, record.key, process, action)


def _flags(record: FileAccess) -> tuple[str, ...]:
    flags = tuple(name for flag, name in _FLAGS.items() if record.flags & flag)
    return ("inherited", *flags) if record.inherited else flags


def _process(record: FileAccess, clock: Clock) -> events.Process:
    return events.Process(
        pid=record.key.pid,
        name=text(record.comm),
        tid=record.tid,
        ppid=record.ppid,
        uid=record.uid,
        gid=record.gid,
        start_time=clock.start_time(record.key.start_ns),
        cgroup_id=str(record.cgroup_id),
    )
