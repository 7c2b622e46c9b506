import logging
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busted.agent import recording
from busted.agent.clock import Clock
from busted.agent.config import Selection
from busted.agent.coverage import Stack
from busted.agent.pipeline import Origin
from busted.agent.recording import (
    Frame,
    Header,
    LibraryFacts,
    RawRecord,
    RecordingError,
    RecordingWriter,
    Tick,
    read,
)
from busted.enrich.containers import Cgroup, CgroupFacts
from busted.enrich.pods import PodFacts
from busted.enrich.processes import ProcessFacts
from busted.enrich.runtime_files import ContainerFacts
from busted.enrich.users import UserFacts
from busted.events import Coverage, Event, Library, Process
from busted.records import ProcessKey

HEADER = Header(
    origin=Origin("host", Clock(1_700_000_000_000_000_000, 5), b"\x00seed\xff"),
    selection=Selection(frozenset({7}), frozenset({"python3"})),
)
LIBRARY = Library(path="/usr/lib/libssl.so.3", kind="openssl", processes=2)
FRAMES: list[Frame] = [
    ProcessFacts(7, "2026-11-22T14:03:22Z", exe="/usr/bin/python3", argv=("python3", "é")),
    CgroupFacts(Cgroup("ab" * 32, "docker", user=1000), cgroup_id="44"),
    CgroupFacts(Cgroup("ab" * 32, pod_uid="uid-1", nested=True), pid=7, start_time="2026"),
    ContainerFacts("ab" * 32, "docker", "web", "nginx:1.27"),
    PodFacts("uid-1", "web-0", "shop", labels={"app": "é"}, containers={"ab": ("web", "nginx")}),
    UserFacts(1000, "alice"),
    Stack(ProcessKey(7, 70), "no_hook", "java_jsse", "/usr/lib/jvm/libjvm.so"),
    LibraryFacts(1, LIBRARY),
    RawRecord(b"\x03raw"),
    RawRecord(b""),
    Event(
        schema=1,
        id="1",
        time="2026-11-22T14:03:22Z",
        host="host",
        process=Process(pid=1, name="busted"),
        action=Coverage(libraries=(LIBRARY,), lost={"ring_full": 2}),
    ),
    Tick(99),
    Tick(100, last=True),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.recording"


def write(path: Path) -> bytes:
    writer = RecordingWriter(path, HEADER)
    for frame in FRAMES:
        if isinstance(frame, RawRecord):
            writer.record(frame.raw)
        else:
            writer.add(frame)
    writer.close()
    writer.close()
    assert writer.lost == 0
    return path.read_bytes()


def test_what_is_written_is_read_back_in_order(path: Path) -> None:
    write(path)

    header, frames = read(path)

    assert header == HEADER
    assert list(frames) == FRAMES
    assert not frames.cut


def test_an_answer_stands_before_what_was_taken_in_when_it_was_asked_for(path: Path) -> None:
    facts, library = FRAMES[0], LibraryFacts(1, LIBRARY)
    assert isinstance(facts, ProcessFacts)
    user = UserFacts(1000, "alice")
    writer = RecordingWriter(path, HEADER)
    writer.add(library)
    writer.record(b"asks")
    writer.add(facts)
    writer.answer(b"first")
    writer.found(user)
    writer.answer(b"second")
    writer.record(b"does not")
    writer.add(Tick(99))
    writer.answer(b"third")
    writer.flush()
    writer.record(b"later")
    writer.answer(b"fourth")
    writer.close()

    _, frames = read(path)
    asked = [frame.raw if isinstance(frame, RawRecord) else frame for frame in frames]
    before = [library, b"first", user, b"second", b"asks", facts, b"does not"]
    assert asked == [*before, b"third", Tick(99), b"fourth", b"later"]


def test_only_its_owner_can_read_it(path: Path) -> None:
    write(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_never_replaced(path: Path) -> None:
    path.write_text("evidence")

    with pytest.raises(RecordingError, match=r"exists already; remove it or choose another name"):
        RecordingWriter(path, HEADER)

    assert path.read_text() == "evidence"


def test_a_planted_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    path.symlink_to(target)

    with pytest.raises(RecordingError):
        RecordingWriter(path, HEADER)

    assert not target.exists()


def test_flushed_frames_can_be_read_before_the_end(path: Path) -> None:
    writer = RecordingWriter(path, HEADER)
    writer.record(b"one")
    writer.flush()

    assert list(read(path)[1]) == [RawRecord(b"one")]
    writer.close()


def test_any_cut_gives_the_whole_frames_and_is_told(path: Path, tmp_path: Path) -> None:
    RecordingWriter(tmp_path / "empty", HEADER).close()
    header_end = (tmp_path / "empty").stat().st_size
    whole = write(path)
    uncut = []

    for size in range(header_end, len(whole)):
        path.write_bytes(whole[:size])
        _, frames = read(path)
        got = list(frames)
        assert got == FRAMES[: len(got)]
        if not frames.cut:
            uncut.append(len(got))

    assert uncut == [*range(len(FRAMES))]


@given(st.data())
def test_garbage_is_read_or_told_never_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "a.recording"
    whole = bytearray(write(path))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)

    try:
        list(read(path)[1])
    except RecordingError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a recording"),
        (b"\x7fELF" + bytes(100), "is not a recording"),
        (recording.MAGIC + b"\x05", "damaged at offset 17: the header is cut"),
        (recording.MAGIC + b"\x00\x00\x00\x00\x02", "kind 2 stands where the header should"),
        (recording.MAGIC + b"\xff\xff\xff\xff\x01", "offset 17: a frame of 4,294,967,295 bytes"),
        (recording.MAGIC + b"\x02\x00\x00\x00\x01[]", "offset 17: not readable"),
    ],
)
def test_what_is_not_a_recording_is_told_with_its_place(
    path: Path, content: bytes, message: str
) -> None:
    path.write_bytes(content)

    with pytest.raises(RecordingError, match=message) as error:
        read(path)

    assert str(path) in str(error.value)


def test_an_unknown_frame_is_told_with_its_place(path: Path) -> None:
    whole = write(path)
    path.write_bytes(whole + b"\x00\x00\x00\x00\x63")

    with pytest.raises(RecordingError, match=f"offset {len(whole)}: unknown kind 99"):
        list(read(path)[1])


def test_a_newer_format_says_which_busted_reads_it(path: Path) -> None:
    newer = msgspec.structs.replace(HEADER, format=2, busted="9.0.0")
    RecordingWriter(path, newer).close()

    with pytest.raises(RecordingError, match=r"format 2.*reads 1; replay it with Busted 9\.0\.0"):
        read(path)


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read(path)
    with pytest.raises(RecordingError, match="Is a directory"):
        read(path.parent)
    with pytest.raises(RecordingError, match="No such file"):
        RecordingWriter(path / "no" / "where", HEADER)


def test_a_frame_over_the_limit_is_counted_as_lost(path: Path) -> None:
    writer = RecordingWriter(path, HEADER)

    writer.record(bytes(recording.MAX_FRAME_BYTES + 1))
    writer.record(b"next")
    writer.close()

    assert writer.lost == 1
    assert list(read(path)[1]) == [RawRecord(b"next")]


@pytest.mark.needs("full device")
def test_a_full_disk_is_logged_once_and_never_stops_the_monitor(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = RecordingWriter(path, HEADER)
    writer._file.close()
    writer._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 (the writer closes it)

    with caplog.at_level(logging.WARNING):
        writer.record(b"one")
        writer.flush()
        writer.record(b"two")
        writer.close()

    assert writer.lost == 2
    (message,) = caplog.messages
    assert "No space left on device" in message
