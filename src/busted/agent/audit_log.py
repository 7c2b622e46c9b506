"""The audit log: every decision, one JSON object a line, each line tied to the one before.

Strategy: a line carries its number, the hash of the line before (`previous`) and its own (`hash`),
SHA-256 over all that stands before it. Besides, `FILE.head` holds number and hash of the last
line that was written whole: only so is the end of the log known, and a line that a crash cut
short told from lines that somebody took away. A file that is full is renamed to `FILE.` and
the number of its first line, and the next one continues the chain.

Lines are written when a batch of events is decided, so that they outlive the monitor, and reach
the disk (fdatasync) once a second: a power cut costs a second at most. What cannot be written
is counted, in the log too as soon as it takes lines again.

No content and no secrets: a line is made from the event as `--content none` shows it, and tells
what `Decided` lists.

Left out: a key. Who may write the file and knows this page can make a new chain from any line on.
Against that, keep a hash elsewhere and verify the log with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import logging
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from busted import __version__
from busted.agent.content import ContentFilter
from busted.classifier.options import DEFAULT_SCANNER
from busted.classifier.pii import Scanner
from busted.events import Connection, Decision, Enforced, Event, Process, Value
from busted.sinks.history import kind, subject, text_of

log = logging.getLogger(__name__)

# A day of a busy host; small enough to be looked through and copied.
MAX_FILE_BYTES = 64 << 20
# Of a policy's own words; more than a line of them is what somebody said.
MAX_REASON_CHARACTERS = 300
MAX_REASONS = 16
# The last line of a log is looked for in so much of its end: more than any line has.
MAX_LINE_BYTES = 1 << 20

FIRST_PREVIOUS = "0" * 64
"""What the first line of all has in place of the hash of the line before."""

# Of the number in the name of a rotated file: they sort by name.
_DIGITS = 12
_HASH = b',"hash":"'
_HASH_BYTES = len(_HASH) + 64 + len('"}')


class AuditError(Exception):
    """The audit log cannot be opened or read; the message is one line that names the file."""


class Decided(Value, frozen=True, kw_only=True, tag="decision"):
    """A decision as the log tells it: who did what, and what policy said; not what was said.

    `subject` is what it was done with: a tool, a method, a program, a file, a host or address.
    """

    event: str
    time: str
    host: str
    process: Process
    session_id: str | None = None
    exchange_id: str | None = None
    action: str
    provider: str | None = None
    model: str | None = None
    subject: str | None = None
    decision: Decision
    id: str | None = None
    rule: str | None = None
    file: str | None = None
    reasons: tuple[str, ...] = ()
    error: str | None = None
    enforced: Enforced | None = None
    hindrance: str | None = None


class Started(Value, frozen=True, kw_only=True, tag="start"):
    """A monitor began to write; `cut` bytes of a line that a crash cut short were taken away.

    `missing` lines that had been written were not there any more; `changed` when the last one
    was another.
    """

    time: str
    host: str
    pid: int
    busted: str = __version__
    cut: int = 0
    missing: int = 0
    changed: bool = False


class Continued(Value, frozen=True, kw_only=True, tag="file"):
    """The first line of a file that continues another, named `file` then."""

    file: str


class Lost(Value, frozen=True, kw_only=True, tag="lost"):
    """So many decisions before this line could not be written."""

    count: int


class Revealed(Value, frozen=True, kw_only=True, tag="reveal"):
    """Somebody had an event shown as it was said; the line is written before it is shown.

    `uid` and `pid` are those of the process that asked, as the kernel knows them; `by` is what that
    process says of whom it asked for.
    """

    event: str
    time: str
    host: str
    uid: int
    pid: int
    by: str


Entry = Decided | Revealed | Started | Continued | Lost


class Link(msgspec.Struct, frozen=True):
    """What ties lines together: how many there were, and the hash of the last."""

    number: int = 0
    hash: str = FIRST_PREVIOUS


class _Tied(msgspec.Struct, frozen=True):
    number: int
    previous: str
    hash: str


def line(entry: Entry, before: Link) -> tuple[bytes, Link]:
    """Return an entry as the line after another, without its end, and what ties the next to it."""
    number = before.number + 1
    body = b'{"number":%d,"previous":"%b",%b' % (
        number,
        before.hash.encode(),
        msgspec.json.encode(entry)[1:-1],
    )
    digest = hashlib.sha256(body).hexdigest()
    return b'%b%b%b"}' % (body, _HASH, digest.encode()), Link(number, digest)


def links(raw: bytes) -> tuple[Link, str] | None:
    """Return what a line ties the next to and the hash of the line before; None: it is no line
    of a log as it was written.
    """
    try:
        told = msgspec.json.decode(raw, type=_Tied)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    body = raw[:-_HASH_BYTES]
    if raw[len(body) :] != b'%b%b"}' % (_HASH, hashlib.sha256(body).hexdigest().encode()):
        return None
    return Link(told.number, told.hash), told.previous


def decided(event: Event) -> Decided | None:
    """Return what the log tells of an event, None when policy said nothing of it."""
    policy, process = event.policy, event.process
    if policy is None:
        return None
    return Decided(
        event=event.id,
        time=event.time,
        host=event.host,
        # Not its arguments: keys are typed there.
        process=msgspec.structs.replace(process, argv=(), tid=None, build_id=None),
        session_id=event.session_id,
        exchange_id=event.exchange_id,
        action=kind(event),
        provider=text_of(event.action, "provider"),
        model=text_of(event.action, "model"),
        subject=subject(event) or _place(event.connection),
        decision=policy.decision,
        id=policy.id,
        rule=policy.rule,
        file=policy.file,
        reasons=tuple(reason[:MAX_REASON_CHARACTERS] for reason in policy.reasons[:MAX_REASONS]),
        error=policy.error and policy.error[:MAX_REASON_CHARACTERS],
        enforced=policy.enforced,
    )


def _place(connection: Connection | None) -> str | None:
    if connection is None or connection.dst_ip is None:
        return None
    return f"{connection.dst_ip} port {connection.dst_port}"


class AuditLog:
    """Appends to a log; only opening it raises."""

    def __init__(
        self,
        path: Path,
        time: str,
        host: str,
        scanner: Scanner = DEFAULT_SCANNER,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        """Open `path`, readable by its owner only, and continue its chain. Raises AuditError.

        `time` (RFC 3339) and `host` are those of the start, for its line; `scanner` says what is
        redacted.
        """
        self.lost = 0
        """Decisions that could not be written."""
        self._path = path
        self._max_bytes = self._full_bytes = max_file_bytes
        self._redact = ContentFilter("none", os.urandom(32), scanner)
        self._rotating = threading.Lock()  # what is synced must not be closed meanwhile
        self._entries: list[Entry] = []
        self._untold = 0  # lost, and no line says so yet
        with contextlib.ExitStack() as opened:
            self._file = _open(path, os.O_APPEND)
            opened.callback(os.close, self._file)
            try:
                # Before anything is made beside a file that is not ours.
                self._size, cut, last = _end(path, self._file)
                self._head = _open(head_path(path))
                opened.callback(os.close, self._head)
                self._continue(last, cut, time, host)
            except OSError as error:
                raise _refused(path, error.strerror) from error
            opened.pop_all()

    def write(self, event: Event) -> None:
        """Add the decision about an event; it reaches the file with the next `flush`."""
        entry = decided(self._redact(event))
        if entry is not None:
            self._entries.append(entry)

    def reveal(self, entry: Revealed) -> bool:
        """Write at once, to the disk, that an event is shown; False where that is not possible."""
        lost = self.lost
        self._entries.append(entry)
        self.flush()
        self.sync()
        return self.lost == lost

    def flush(self) -> None:
        """Hand what was added to the kernel, so that only a crash of the machine can lose it."""
        entries, self._entries = self._entries, []
        if not entries:
            return
        try:
            self._append([Lost(count=self._untold), *entries] if self._untold else entries)
        except OSError as error:
            if not self.lost:
                log.warning(
                    "the audit log %s takes no lines: %s; lost ones are counted, not logged",
                    *(self._path, error.strerror),
                )
            self.lost += len(entries)
            self._untold += len(entries)
            return
        self._untold = 0
        if self._size >= self._full_bytes:
            self._rotate()

    def sync(self) -> None:
        """Have the kernel bring what was flushed to the disk; waits for it, in any thread."""
        try:
            with self._rotating:
                os.fdatasync(self._file)
                os.fdatasync(self._head)
        except OSError as error:
            log.warning("the audit log may not be on the disk: %s", error.strerror)

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self.sync()
        os.close(self._file)
        os.close(self._head)

    def _continue(self, last: Link, cut: int, time: str, host: str) -> None:
        head = read_head(self._path)
        if head is None and os.fstat(self._head).st_size:
            raise _refused(head_path(self._path), "it holds something else")
        missing, changed = 0, False
        if head is not None and self._size == 0:
            # A crash came between two files, or somebody took this one away.
            last, missing = head, max(0, head.number - _former(self._path).number)
        elif head is not None:
            missing = max(0, head.number - last.number)
            changed = head.number == last.number and head.hash != last.hash
        # Not before it is known to be ours.
        os.fchmod(self._file, 0o600)
        os.fchmod(self._head, 0o600)
        if cut:
            os.ftruncate(self._file, self._size)
        self._written = last
        started = Started(
            time=time, host=host, pid=os.getpid(), cut=cut, missing=missing, changed=changed
        )
        self._append([started])

    def _append(self, entries: Sequence[Entry]) -> None:
        link, data = self._written, b""
        for entry in entries:
            raw, link = line(entry, link)
            data += raw + b"\n"
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            # Half a line would look as if somebody had cut it.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self._written = link
        # In place and of constant length: there is never half of it.
        os.pwrite(self._head, b"%020d %b\n" % (link.number, link.hash.encode()), 0)

    def _rotate(self) -> None:
        first = links(os.pread(self._file, MAX_LINE_BYTES, 0).split(b"\n", 1)[0])
        number = first[0].number if first else self._written.number
        former = self._path.with_name(f"{self._path.name}.{number:0{_DIGITS}}")
        try:
            os.fdatasync(self._file)
            os.rename(self._path, former)
            file = _open(self._path, os.O_APPEND)
            with self._rotating:
                os.close(self._file)
                self._file, self._size = file, 0
            self._full_bytes = self._max_bytes
            self._append([Continued(file=former.name)])
        except (OSError, AuditError) as error:
            log.warning("the audit log is not continued in a new file: %s", error)
            # It grows on, and the next attempt is made when it has grown as much again.
            self._full_bytes = self._size + self._max_bytes


def head_path(path: Path) -> Path:
    """Return where the number and hash of a log's last whole line are kept."""
    return path.with_name(f"{path.name}.head")


def read_head(path: Path) -> Link | None:
    """Return what is kept of a log's last whole line, None when there is nothing to read."""
    try:
        number, _, digest = head_path(path).read_text().partition(" ")
        return Link(int(number), digest.strip())
    except (OSError, ValueError):
        return None


def _refused(path: Path, why: str | None) -> AuditError:
    return AuditError(f"cannot write the audit log {path}: {why}")


def _open(path: Path, flags: int = 0) -> int:
    flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise _refused(path, error.strerror) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _refused(path, "it is no regular file")
        # Two that write would tie their lines to the same one.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise _refused(path, "another monitor does") from None
    except AuditError:
        os.close(descriptor)
        raise
    return descriptor


def _former(path: Path) -> Link:
    """Return the last line of the file before this one, if it lies beside it."""
    rotated = sorted(path.parent.glob(f"{glob.escape(path.name)}.{'[0-9]' * _DIGITS}"))
    try:
        with open(rotated[-1], "rb") as file:
            return _end(rotated[-1], file.fileno())[2]
    except (IndexError, OSError, AuditError):
        return Link()


def _end(path: Path, file: int) -> tuple[int, int, Link]:
    """Return how many bytes of a file are whole lines, how many are not, and its last line."""
    size = os.fstat(file).st_size
    tail = os.pread(file, MAX_LINE_BYTES, max(0, size - MAX_LINE_BYTES))
    cut = len(tail) - (tail.rfind(b"\n") + 1)
    lines = tail[: len(tail) - cut].split(b"\n")[:-1]
    # A first line that was cut cannot be told from notes of somebody: only a log has a head.
    if size == 0 or (cut == size and read_head(path)):
        return 0, cut, Link()
    tied = links(lines[-1]) if lines else None
    if tied is None:
        raise AuditError(
            f"{path}: its last line is not as the audit log wrote it. Look at it with "
            "`busted audit verify`, move it away, and start again."
        )
    return size - cut, cut, tied[0]
